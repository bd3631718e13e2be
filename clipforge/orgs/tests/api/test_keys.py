"""The keys of an organization over HTTP: scopes, addresses, rotation, and what a key may give."""

from __future__ import annotations

import datetime
import ipaddress
import threading
import uuid
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import (
    REASON,
    TESTER,
    make_api_key,
    make_client,
    make_organization,
    make_user,
)
from clipforge.devtools.testing.queries import round_trips
from clipforge.devtools.testing.races import run_together, until_a_lock_is_waited_for
from clipforge.devtools.testing.state import lasting_breaker, nothing_changes
from clipforge.devtools.testing.tenancy import METHODS, client_with, routes
from clipforge.orgs import admission, api_keys, services
from clipforge.orgs.api.views import OrgView
from clipforge.orgs.models import APIKey, Membership, Organization, Role, Scope
from clipforge.orgs.tasks import mail_rotated

pytestmark = pytest.mark.django_db

KEYS, ME, TOKENS = "/api/v1/keys", "/api/v1/me", "/api/v1/tokens"
HOUR = datetime.timedelta(hours=1)


def asking(organization: Organization, **limits: Any) -> tuple[APIClient, APIKey]:
    """A client with its key, used just now."""
    new = make_api_key(organization, last_used_at=timezone.now(), **limits)
    return client_with(new.secret), new.api_key


def made(client: APIClient, **asked: Any) -> dict[str, Any]:
    response = client.post(KEYS, {"name": "made", **asked}, format="json")
    assert response.status_code == 201, response.content
    body: dict[str, Any] = response.json()
    return body


def refusal(client: APIClient, **asked: Any) -> Any:
    with nothing_changes():
        return client.post(KEYS, {"name": "made", **asked}, format="json")


# --- scopes: every operation has one ----------------------------------------------------


def operations() -> list[tuple[str, str, type[OrgView]]]:
    """Every method of every route that a key opens, as (method, path, view)."""
    return [
        (method, route.pattern, route.view)
        for route in routes()
        if isinstance(route.view, type) and issubclass(route.view, OrgView)
        for method in METHODS
        if method not in {"HEAD", "OPTIONS", "TRACE"} and hasattr(route.view, method.lower())
    ]


def test_every_operation_needs_exactly_one_scope_of_the_five_and_the_schema_says_it():
    document: Any = SchemaGenerator().get_schema(request=None, public=True)
    said = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "responses" in operation:
                scopes = [
                    scope for each in operation["security"] for scope in each.get("apiKey", [])
                ]
                said[method.upper(), path] = scopes
                needs = [f"Needs the scope `{scope}`." for scope in scopes]
                assert all(sentence in operation["description"] for sentence in needs)
    found = operations()
    assert len(found) >= 55
    needed = {
        (method, path.replace("<uuid:", "{").replace("<str:", "{").replace(">", "}")): [
            view.needed_scope(method)
        ]
        for method, path, view in found
    }
    assert said == needed
    assert {scope for scopes in said.values() for scope in scopes} == set(Scope.values)


def test_a_key_without_the_scope_is_refused_by_name_on_every_operation_and_changes_nothing():
    organization = make_organization(tier="ENTERPRISE")
    Organization.objects.filter(pk=organization.pk).update(rate_limit_override=10_000)
    clients = {
        scope: make_client(organization, scopes=" ".join({*Scope.values} - {scope}))
        for scope in Scope.values
    }
    pk = "018f0000-0000-7000-8000-000000000000"
    with nothing_changes():
        for method, pattern, view in operations():
            path = pattern
            while "<" in path:
                before, _, rest = path.partition("<")
                path = before + pk + rest.partition(">")[2]
            scope = view.needed_scope(method)
            answer: Any = getattr(clients[scope], method.lower())(path)
            problem = assert_problem(answer, 403, "scope_missing")
            assert problem["scope"] == scope, (method, path)


def test_a_key_with_one_scope_is_let_through_to_the_operations_of_that_scope_only():
    organization = make_organization(tier="ENTERPRISE")
    Organization.objects.filter(pk=organization.pk).update(rate_limit_override=10_000)
    reads = {
        ME: "read",
        "/api/v1/projects": "read",
        "/api/v1/credits/balance": "read",
        "/api/v1/billing/payments": "billing",
        "/api/v1/billing/subscription": "billing",
        "/api/v1/webhooks/endpoints": "webhooks",
        KEYS: "keys",
    }
    for scope in Scope.values:
        client = make_client(organization, scopes=scope)
        answers = {path: client.get(path).status_code for path in reads}
        assert answers == {path: 200 if needed == scope else 403 for path, needed in reads.items()}


def test_a_key_of_before_has_all_scopes_and_me_says_so(organization: Organization):
    client = make_client(organization)
    assert APIKey.objects.get().scopes == ""
    assert client.get(ME).json()["api_key"]["scopes"] == list(Scope.values)


# --- addresses --------------------------------------------------------------------------


def behind(*trusted: str) -> list[Any]:
    return [ipaddress.ip_network(each) for each in trusted]


@pytest.mark.parametrize("is_redis_dead", [False, True])
def test_a_key_works_from_its_networks_only_whatever_the_client_says(
    organization: Organization, settings: Any, is_redis_dead: bool
):
    settings.TRUSTED_PROXIES = behind("10.0.0.1/32")
    client, _ = asking(organization, allowed_addresses="203.0.113.0/24 2001:db8::/32")
    if is_redis_dead:
        lasting_breaker().failed()
    sent = {
        ("203.0.113.255", ""): 200,
        ("203.0.114.0", ""): 403,
        ("2001:db8::7", ""): 200,
        ("2001:db9::7", ""): 403,
        # What the client says of itself counts for nothing; what our proxy says does.
        ("198.51.100.1", "203.0.113.1"): 403,
        ("10.0.0.1", "203.0.113.1"): 200,
        ("10.0.0.1", "198.51.100.1"): 403,
        ("10.0.0.1", "203.0.113.1, 198.51.100.1"): 403,
        ("10.0.0.1", ""): 403,
        ("", ""): 403,  # a Unix socket without a proxy has no address
    }
    for (peer, forwarded), status in sent.items():
        headers = {"X-Forwarded-For": forwarded} if forwarded else {}
        answer: Any = client.get(ME, REMOTE_ADDR=peer, headers=headers)
        assert answer.status_code == status, (peer, forwarded)
        if status == 403:
            assert_problem(answer, 403, "address_not_allowed")


def test_a_refused_address_is_told_so_before_its_scope(organization: Organization):
    client, _ = asking(organization, allowed_addresses="203.0.113.0/24", scopes="read")
    assert_problem(client.get(KEYS), 403, "address_not_allowed")


@pytest.mark.django_db(transaction=True)
def test_scopes_and_addresses_cost_no_query_and_no_round_trip(
    organization: Organization, django_assert_num_queries: Any
):
    client, _ = asking(organization, allowed_addresses="127.0.0.0/8", scopes="read")
    client.get(ME)
    with django_assert_num_queries(0), round_trips() as trips:
        assert client.get(ME).status_code == 200
    assert trips == ["EVALSHA orgs:key"]


# --- making keys ------------------------------------------------------------------------


def test_a_key_is_shown_once_and_then_listed_with_what_it_may_do(organization: Organization):
    client, own = asking(organization)
    response = client.post(
        KEYS,
        {
            "name": "render farm",
            "scopes": ["write", "read"],
            "allowed_addresses": ["127.0.0.1", "2001:db8::/32"],
            "monthly_credit_cap": 500,
        },
        format="json",
    )
    assert (response.status_code, response["Cache-Control"]) == (201, "no-store")
    shown = response.json()
    assert shown["key"].startswith(f"cf_live_{shown['prefix']}_")
    assert response["Location"] == f"{KEYS}/{shown['id']}"
    rest = {name: value for name, value in shown.items() if name != "key"}
    assert client.get(response["Location"]).json() == rest
    assert client.get(KEYS).json()["results"][0] == rest
    assert rest == {
        "id": shown["id"],
        "name": "render farm",
        "prefix": shown["prefix"],
        "mode": "live",
        "scopes": ["read", "write"],
        "allowed_addresses": ["127.0.0.1/32", "2001:db8::/32"],
        "monthly_credit_cap": 500,
        "credits_used": 0,
        "created_at": shown["created_at"],
        "created_by": own.prefix,
        "last_used_at": None,
        "expires_at": None,
        "revoked_at": None,
        "replaces": None,
    }
    entry = AuditEntry.objects.latest("pk")
    assert (entry.verb, entry.actor_name, entry.after["scopes"]) == (
        "issue_key",
        own.prefix,
        "read write",
    )
    assert shown["key"] not in str(entry.after)
    mine = client_with(shown["key"])
    assert mine.get(ME).json()["api_key"]["scopes"] == ["read", "write"]
    assert_problem(mine.get(KEYS), 403, "scope_missing")


def test_what_is_left_out_is_as_the_asking_key_has_it(organization: Organization):
    ends = timezone.now() + HOUR
    client, own = asking(
        organization,
        scopes="read keys",
        expires_at=ends,
        allowed_addresses="127.0.0.0/8",
        monthly_cap=9,
    )
    shown = made(client)
    assert shown["scopes"] == ["read", "keys"]
    assert shown["allowed_addresses"] == ["127.0.0.0/8"]
    assert shown["monthly_credit_cap"] == 9
    assert datetime.datetime.fromisoformat(shown["expires_at"]) == ends
    assert APIKey.objects.get(pk=shown["id"]).family_id == own.pk


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"scopes": ["read", "billing"]}, "scope_missing"),
        ({"expires_at": "2999-01-01T00:00:00Z"}, "beyond_own_key"),
        ({"allowed_addresses": []}, "beyond_own_key"),
        ({"allowed_addresses": ["126.0.0.0/7"]}, "beyond_own_key"),
        ({"allowed_addresses": ["::/0"]}, "beyond_own_key"),
        ({"monthly_credit_cap": 10}, "beyond_own_key"),
        ({"monthly_credit_cap": 1}, "beyond_own_key"),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_key_can_never_give_more_than_it_has(
    organization: Organization, asked: dict[str, Any], code: str
):
    client, _ = asking(
        organization,
        scopes="read keys",
        expires_at=timezone.now() + HOUR,
        allowed_addresses="127.0.0.0/8",
        monthly_cap=9,
    )
    assert_problem(refusal(client, **asked), 403, code)


@pytest.mark.parametrize(
    "asked",
    [
        {"name": ""},
        {"scopes": []},
        {"scopes": ["admin"]},
        {"scopes": "read"},
        {"allowed_addresses": ["everywhere"]},
        {"monthly_credit_cap": -1},
        {"monthly_credit_cap": None},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"mode": "production"},
        {"secret": "chosen"},
    ],
    ids=str,
)
def test_what_is_wrong_in_a_request_makes_no_key(organization: Organization, asked: dict[str, Any]):
    client, _ = asking(organization)
    assert refusal(client, **asked).status_code == 422


@pytest.mark.django_db(transaction=True)
def test_of_a_hundred_keys_and_one_more_at_the_same_moment_a_hundred_work(monkeypatch: Any):
    monkeypatch.setattr(api_keys, "MAX_KEYS", 5)
    organization = make_organization()
    for _ in range(3):
        make_api_key(organization)
    made_or_not = run_together(
        4,
        lambda number: services.create_api_key(
            organization=organization, name=str(number), reason=REASON, actor=TESTER
        ),
    )
    codes = sorted(getattr(each, "error_code", "made") for each in made_or_not)
    assert codes == ["made", "made", "too_many_keys", "too_many_keys"]
    assert APIKey.objects.count() == 5


# --- rotation ---------------------------------------------------------------------------


def rotate(client: APIClient, key: APIKey, **asked: Any) -> Any:
    return client.post(f"{KEYS}/{key.pk}/rotate", asked, format="json")


def test_a_rotated_key_works_for_its_hours_and_its_successor_does_the_same(
    organization: Organization, settings: Any
):
    owner = make_user(email="owner@example.com")
    Membership.objects.create(user=owner, organization=organization, role=Role.OWNER)
    client, own = asking(organization, scopes="read keys", monthly_cap=7)
    before = timezone.now()
    response = rotate(client, own, overlap_hours=2)
    assert (response.status_code, response["Cache-Control"]) == (201, "no-store")
    shown = response.json()
    assert (shown["replaces"], shown["name"]) == (str(own.pk), own.name)
    assert (shown["scopes"], shown["monthly_credit_cap"]) == (["read", "keys"], 7)
    assert shown["expires_at"] is None
    own.refresh_from_db()
    assert own.expires_at is not None
    assert before + 2 * HOUR <= own.expires_at <= timezone.now() + 2 * HOUR
    # Both work, and both are listed.
    assert client.get(ME).status_code == 200
    listed = client_with(shown["key"]).get(KEYS).json()["results"]
    assert [each["id"] for each in listed] == [shown["id"], str(own.pk)]
    APIKey.objects.filter(pk=own.pk).update(expires_at=timezone.now())
    assert_problem(client.get(ME), 401, "invalid_api_key")
    assert client_with(shown["key"]).get(ME).status_code == 200
    entry = AuditEntry.objects.latest("pk")
    assert (entry.verb, entry.after["replaces"]) == ("rotate_key", own.prefix)
    mail_rotated(shown["id"])
    (sent,) = mail.outbox
    assert sent.to == ["owner@example.com"]
    assert (own.prefix in sent.body, shown["prefix"] in sent.body) == (True, True)
    assert shown["key"] not in sent.body


def test_a_rotation_is_told_to_people_and_of_a_long_name_a_hundred_characters(
    organization: Organization,
):
    def told(key_id: Any) -> list[str]:
        mail.outbox.clear()
        mail_rotated(str(key_id))
        return [str(sent.subject) for sent in mail.outbox]

    client, own = asking(organization, scopes="read keys")
    successor = rotate(client, own).json()["id"]
    assert told(successor) == []  # it has no owner
    user = make_user(email="owner@example.com")
    Membership.objects.create(user=user, organization=organization, role=Role.OWNER)
    Organization.objects.filter(pk=organization.pk).update(name="n" * 101)
    assert told(successor) == [f"{'n' * 100}: an API key was rotated"]
    assert told(own.pk) == []  # it takes no other's place
    assert told(uuid.uuid4()) == []


def test_a_key_is_rotated_once_and_never_after_its_end(organization: Organization):
    client, _ = asking(organization)
    other = make_api_key(organization).api_key
    assert rotate(client, other, overlap_hours=0).status_code == 201
    assert_problem(rotate(client, other), 409, "key_not_usable")
    another = make_api_key(organization).api_key
    assert rotate(client, another).status_code == 201
    with nothing_changes():
        assert_problem(rotate(client, another), 409, "key_rotated")
    for overlap in (-1, 169):
        assert rotate(client, another, overlap_hours=overlap).status_code == 422


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"scopes": "read billing"}, "scope_missing"),
        ({"expires_at": None}, "beyond_own_key"),
        ({"allowed_addresses": ""}, "beyond_own_key"),
        ({"monthly_cap": 9}, "beyond_own_key"),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_key_that_may_do_more_is_rotated_by_no_key_that_may_do_less(
    organization: Organization, limits: dict[str, Any], code: str
):
    equal = {
        "scopes": "read keys",
        "expires_at": timezone.now() + HOUR,
        "allowed_addresses": "127.0.0.0/8",
    }
    client, own = asking(organization, **equal, monthly_cap=9)
    other = make_api_key(organization, **{**equal, "monthly_cap": 9, "family": own.pk, **limits})
    if "monthly_cap" in limits:
        APIKey.objects.filter(pk=other.api_key.pk).update(family=None)
    with nothing_changes():
        assert_problem(rotate(client, other.api_key), 403, code)


@pytest.mark.django_db(transaction=True)
def test_two_rotations_at_once_make_one_successor():
    organization = make_organization()
    first, second = (make_api_key(organization).api_key for _ in range(2))

    def act(number: int) -> object:
        key, by = (first, second) if number % 2 else (second, first)
        return services.rotate_api_key(api_key=key, created_with=by, reason=REASON, actor=TESTER)

    results = run_together(6, act)
    codes = [getattr(each, "error_code", type(each).__name__) for each in results]
    # The other, once it has an end itself, can make no key without one; nobody waits for ever.
    assert set(codes) <= {"NewKey", "key_rotated", "beyond_own_key"}
    made_now = codes.count("NewKey")
    assert 1 <= made_now <= 2
    assert APIKey.objects.filter(replaces__isnull=False).count() == made_now


# --- the end of a key and of its tokens ----------------------------------------------------


def token_of(client: APIClient, **asked: Any) -> APIClient:
    response = client.post(TOKENS, asked)
    assert response.status_code == 201, response.content
    return client_with(response.json()["token"])


def test_a_revoked_key_is_refused_at_once_and_its_tokens_with_it(organization: Organization):
    client, own = asking(organization)
    other, _ = asking(organization)
    mine, theirs = token_of(client, minutes=60), token_of(other, minutes=60)
    assert mine.get(ME).status_code == 200
    assert other.delete(f"{KEYS}/{own.pk}").status_code == 204
    for refused in (client, mine):
        assert_problem(refused.get(ME), 401, "invalid_api_key")
    assert theirs.get(ME).status_code == 200
    assert other.delete(f"{KEYS}/{own.pk}").status_code == 204  # again: nothing left to do
    assert AuditEntry.objects.filter(verb="revoke_key").count() == 1


def test_a_key_may_revoke_itself(organization: Organization):
    client, own = asking(organization)
    assert client.delete(f"{KEYS}/{own.pk}").status_code == 204
    assert_problem(client.get(ME), 401, "invalid_api_key")


def test_tokens_end_with_a_rotated_key(organization: Organization):
    client, own = asking(organization)
    page = token_of(client, minutes=60)
    rotate(client, own, overlap_hours=0)
    assert_problem(page.get(ME), 401, "invalid_api_key")


def test_a_token_has_no_scope_that_its_key_has_not(organization: Organization):
    client, own = asking(organization, scopes="read keys", monthly_cap=5)
    with nothing_changes():
        problem = assert_problem(client.post(TOKENS, {"scope": "write"}), 403, "scope_missing")
    assert problem["scope"] == "write"
    token_of(client, scope="read")
    token = APIKey.objects.get(is_publishable=True)
    assert (token.family_id, token.monthly_cap) == (own.family_id, 5)


@pytest.mark.django_db(transaction=True)
def test_no_token_is_made_by_a_key_that_is_revoked_meanwhile():
    organization = make_organization()
    for _ in range(5):
        key = make_api_key(organization).api_key
        ends = timezone.now() + HOUR

        def act(number: int, key: APIKey = key, ends: datetime.datetime = ends) -> object:
            if number == 0:
                return services.revoke_api_key(api_key=key, reason=REASON, actor=TESTER)
            return services.create_token(
                created_with=key, scopes="read", expires_at=ends, reason=REASON, actor=TESTER
            )

        run_together(4, act)
        assert not APIKey.objects.filter(created_with=key, revoked_at=None).exists()


def test_a_key_that_loses_a_scope_loses_the_tokens_that_had_it(organization: Organization):
    client, own = asking(organization)
    look, write = token_of(client, scope="read"), token_of(client, scope="write")
    assert services.limit_api_key(
        api_key=own,
        scopes="read keys",
        allowed_addresses=["127.0.0.0/8"],
        monthly_cap=3,
        reason=REASON,
        actor=TESTER,
    )
    assert look.get(ME).status_code == 200
    assert_problem(write.get(ME), 401, "invalid_api_key")
    assert set(APIKey.objects.values_list("monthly_cap", flat=True)) == {3}
    entry = AuditEntry.objects.latest("pk")
    assert (entry.verb, entry.before["monthly_cap"], entry.after["monthly_cap"]) == (
        "limit_key",
        None,
        3,
    )


# --- changing keys --------------------------------------------------------------------------


def changed(client: APIClient, key: APIKey | Any, **asked: Any) -> Any:
    pk = key["id"] if isinstance(key, dict) else key.pk
    return client.patch(f"{KEYS}/{pk}", asked, format="json")


def test_a_key_is_limited_over_http_from_the_next_request_on(organization: Organization):
    client, own = asking(organization)
    other, key = asking(organization)
    assert other.get(ME).status_code == 200
    answer = changed(
        client, key, scopes=["read"], allowed_addresses=["203.0.113.0/24"], monthly_credit_cap=7
    )
    shown = answer.json()
    assert (answer.status_code, shown) == (200, client.get(f"{KEYS}/{key.pk}").json())
    assert (shown["scopes"], shown["allowed_addresses"], shown["monthly_credit_cap"]) == (
        ["read"],
        ["203.0.113.0/24"],
        7,
    )
    assert_problem(other.get(ME), 403, "address_not_allowed")
    entry = AuditEntry.objects.latest("pk")
    assert (entry.verb, entry.actor_name, entry.object_id) == ("limit_key", own.prefix, str(key.pk))
    assert entry.after == {
        "scopes": "read",
        "allowed_addresses": "203.0.113.0/24",
        "monthly_cap": 7,
    }
    # What is left out stays; null and an empty list take a limit away.
    shown = changed(client, key, allowed_addresses=[], monthly_credit_cap=None).json()
    assert (shown["scopes"], shown["allowed_addresses"], shown["monthly_credit_cap"]) == (
        ["read"],
        [],
        None,
    )
    assert other.get(ME).status_code == 200
    with nothing_changes():
        assert changed(client, key).status_code == 200
        assert changed(client, key, scopes=["read"]).status_code == 200


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"scopes": ["read", "billing", "keys"]}, "scope_missing"),
        ({"allowed_addresses": []}, "beyond_own_key"),
        ({"allowed_addresses": ["126.0.0.0/7"]}, "beyond_own_key"),
        ({"monthly_credit_cap": 10}, "beyond_own_key"),
        ({"monthly_credit_cap": None}, "beyond_own_key"),
    ],
    ids=str,
)
def test_a_key_gives_itself_and_others_no_more_than_it_has(
    organization: Organization, asked: dict[str, Any], code: str
):
    limits: dict[str, Any] = {
        "scopes": "read keys",
        "allowed_addresses": "127.0.0.0/8",
        "monthly_cap": 9,
    }
    client, own = asking(organization, **limits)
    _, other = asking(organization, **{**limits, "monthly_cap": 8})
    for key in (own, other):
        with nothing_changes():
            assert_problem(changed(client, key, **asked), 403, code)


def test_a_key_that_can_do_more_may_be_narrowed_and_is_given_nothing_besides(
    organization: Organization,
):
    client, _ = asking(organization, scopes="read keys", expires_at=timezone.now() + HOUR)
    _, strong = asking(organization, scopes="read write billing")
    shown = changed(client, strong, scopes=["write"], monthly_credit_cap=5).json()
    assert (shown["scopes"], shown["monthly_credit_cap"]) == (["write"], 5)
    # A scope that the asking key has: but the key would outlive it, with others that it has not.
    with nothing_changes():
        assert_problem(changed(client, strong, scopes=["read", "write"]), 403, "scope_missing")
        assert_problem(changed(client, strong, scopes=["read"]), 403, "beyond_own_key")


def test_a_cap_over_http_is_that_of_all_keys_that_share_it(organization: Organization):
    admin, _ = asking(organization)
    client, own = asking(organization, monthly_cap=9)
    child = made(client)
    assert changed(client, child, monthly_credit_cap=4).json()["monthly_credit_cap"] == 4
    assert APIKey.objects.get(pk=own.pk).monthly_cap == 4
    with nothing_changes():
        assert_problem(changed(client, child, monthly_credit_cap=9), 403, "beyond_own_key")
    assert changed(admin, child, monthly_credit_cap=50).status_code == 200
    assert APIKey.objects.get(pk=own.pk).monthly_cap == 50


@pytest.mark.parametrize(
    "asked",
    [
        {"scopes": []},
        {"scopes": None},
        {"scopes": ["admin"]},
        {"allowed_addresses": ["everywhere"]},
        {"monthly_credit_cap": -1},
        {"name": "another"},
        {"expires_at": "2999-01-01T00:00:00Z"},
    ],
    ids=str,
)
def test_limits_that_are_none_are_422_and_change_nothing(
    organization: Organization, asked: dict[str, Any]
):
    client, own = asking(organization)
    with nothing_changes():
        assert changed(client, own, **asked).status_code == 422


def test_a_key_that_is_over_is_not_changed(organization: Organization):
    client, _ = asking(organization)
    _, ended = asking(organization, expires_at=timezone.now() - HOUR)
    _, revoked = asking(organization, revoked_at=timezone.now())
    for key in (ended, revoked):
        with nothing_changes():
            assert_problem(changed(client, key, scopes=["read"]), 409, "key_not_usable")


@pytest.mark.django_db(transaction=True)
def test_a_key_that_is_revoked_meanwhile_changes_no_other():
    organization = make_organization()
    for _ in range(5):
        own = make_api_key(organization).api_key
        key = make_api_key(organization, scopes="read").api_key

        def act(number: int, own: APIKey = own, key: APIKey = key) -> object:
            if number == 0:
                return services.revoke_api_key(api_key=own, reason=REASON, actor=TESTER)
            return services.limit_api_key(
                api_key=key,
                scopes="read write",
                allowed_addresses=[],
                monthly_cap=None,
                changed_with=own,
                reason=REASON,
                actor=TESTER,
            )

        run_together(4, act)
        verbs = AuditEntry.objects.filter(object_id__in=[str(own.pk), str(key.pk)])
        order = [each.verb for each in verbs.order_by("pk")]
        # Changed once at the most, and then before the revocation.
        assert order in (["revoke_key"], ["limit_key", "revoke_key"])
        key.refresh_from_db()
        assert key.scopes == ("read write" if len(order) == 2 else "read")


@pytest.mark.django_db(transaction=True)
def test_what_a_change_leaves_out_stays_as_another_has_just_made_it():
    organization = make_organization()
    client, _ = asking(organization)
    _, key = asking(organization)
    is_narrowed = threading.Event()

    def act(number: int) -> object:
        if number == 1:
            assert is_narrowed.wait(60)
            return changed(client, key, monthly_credit_cap=5).status_code
        with transaction.atomic():
            services.limit_api_key(
                api_key=key,
                scopes="read",
                allowed_addresses=["203.0.113.0/24"],
                monthly_cap=None,
                reason=REASON,
                actor=TESTER,
            )
            is_narrowed.set()
            until_a_lock_is_waited_for()
        return 200

    assert run_together(2, act) == [200, 200]
    key.refresh_from_db()
    limits = key.scopes, key.allowed_addresses, key.monthly_cap
    assert limits == ("read", "203.0.113.0/24", 5)


def test_from_outside_of_its_networks_a_key_takes_nothing_of_the_limits(
    organization: Organization, settings: Any
):
    settings.ANONYMOUS_REQUESTS_PER_MINUTE = 3
    client, _ = asking(organization, allowed_addresses="203.0.113.0/24")
    inside: Any = client.get(ME, REMOTE_ADDR="203.0.113.9")
    assert inside["RateLimit"].startswith('"api";r=199;')
    for _ in range(3):
        outside: Any = client.get(ME, REMOTE_ADDR="198.51.100.7")
        assert_problem(outside, 403, "address_not_allowed")
        assert "RateLimit" not in outside.headers
    # They count for the address, as those with a bad key do.
    refused: Any = client.get(ME, REMOTE_ADDR="198.51.100.7")
    assert assert_problem(refused, 429, "rate_limited")["limit"] == "anonymous"
    inside = client.get(ME, REMOTE_ADDR="203.0.113.9")
    assert inside["RateLimit"].startswith('"api";r=198;')


@pytest.mark.django_db(transaction=True)
def test_a_process_that_knows_other_networks_of_a_key_asks_twice_once(organization: Organization):
    client, own = asking(organization, allowed_addresses="127.0.0.0/8")
    client.get(ME)
    for known in {}, {own.prefix: "127.0.0.1/32"}, {own.prefix: "::1/128"}:
        admission._networks_of.clear()
        admission._networks_of.update(known)
        for expected in 2, 1:
            with round_trips() as trips:
                assert client.get(ME).status_code == 200
            assert trips == ["EVALSHA orgs:key"] * expected, known
    services.limit_api_key(
        api_key=own,
        scopes="",
        allowed_addresses=["203.0.113.0/24"],
        monthly_cap=None,
        reason=REASON,
        actor=TESTER,
    )
    assert_problem(client.get(ME), 403, "address_not_allowed")


# --- descendants ----------------------------------------------------------------------------


def revoke(client: APIClient, key: APIKey, **asked: Any) -> Any:
    return client.post(f"{KEYS}/{key.pk}/revoke", asked, format="json")


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [each["id"] for each in answer.json()["keys"]]


@pytest.mark.parametrize("descendants", [0, 1, "true", "yes", None])
def test_whether_to_revoke_descendants_is_true_or_false_and_nothing_like_it(
    organization: Organization, descendants: Any
):
    admin, key = asking(organization)
    with nothing_changes():
        assert_problem(revoke(admin, key, descendants=descendants), 422, "invalid")
    assert admin.get("/api/v1/me").status_code == 200


def test_a_key_in_wrong_hands_is_revoked_with_all_that_come_from_it(organization: Organization):
    admin, _ = asking(organization)
    thief, leaked = asking(organization)
    first = made(thief)
    second = client_with(first["key"]).post(KEYS, {"name": "second"}, format="json").json()
    tested = made(thief, mode="test")
    third = rotate(client_with(second["key"]), APIKey.objects.get(pk=second["id"])).json()
    page = token_of(client_with(third["key"]))
    bystander = made(admin)
    descendants = [first["id"], second["id"], tested["id"], third["id"]]
    preview = admin.get(f"{KEYS}/{leaked.pk}/descendants")
    assert ids(preview) == descendants
    # Without them it is that key alone, as ever.
    assert ids(revoke(admin, leaked, descendants=False)) == [str(leaked.pk)]
    assert client_with(second["key"]).get(ME).status_code == 200
    assert ids(revoke(admin, leaked)) == descendants
    for secret in (each["key"] for each in (first, second, tested, third)):
        assert_problem(client_with(secret).get(ME), 401, "invalid_api_key")
    assert_problem(page.get(ME), 401, "invalid_api_key")
    assert client_with(bystander["key"]).get(ME).status_code == 200
    assert AuditEntry.objects.filter(verb="revoke_key").count() == 5
    with nothing_changes():
        assert ids(revoke(admin, leaked)) == []
    assert ids(admin.get(f"{KEYS}/{leaked.pk}/descendants")) == []


@pytest.mark.django_db(transaction=True)
def test_no_key_that_is_made_meanwhile_outlives_the_one_it_comes_from():
    organization = make_organization()
    for _ in range(4):
        leaked = make_api_key(organization).api_key

        def act(number: int, leaked: APIKey = leaked) -> object:
            if number == 0:
                return services.revoke_with_descendants(api_key=leaked, reason=REASON, actor=TESTER)
            if number == 1:
                return services.rotate_api_key(
                    api_key=leaked, created_with=leaked, reason=REASON, actor=TESTER
                )
            child = services.create_api_key(
                organization=organization,
                name="child",
                created_with=leaked,
                reason=REASON,
                actor=TESTER,
            )
            return services.rotate_api_key(
                api_key=child.api_key, created_with=child.api_key, reason=REASON, actor=TESTER
            )

        run_together(4, act)
        assert not APIKey.objects.filter(revoked_at=None).exists()


# --- whose keys ---------------------------------------------------------------------------


def test_keys_of_another_organization_and_tokens_are_not_there(organization: Organization):
    client, _ = asking(organization)
    stranger, theirs = asking(make_organization())
    token_of(client)
    token = APIKey.objects.get(is_publishable=True)
    with nothing_changes():
        for key in (theirs, token):
            for answer in (
                client.get(f"{KEYS}/{key.pk}"),
                rotate(client, key),
                changed(client, key, scopes=["read"]),
                revoke(client, key),
                client.get(f"{KEYS}/{key.pk}/descendants"),
                client.delete(f"{KEYS}/{key.pk}"),
            ):
                assert_problem(answer, 404, "not_found")
    assert len(client.get(KEYS).json()["results"]) == 1
    assert [each["id"] for each in stranger.get(KEYS).json()["results"]] == [str(theirs.pk)]


@pytest.mark.django_db(transaction=True)
def test_a_page_of_keys_is_two_queries(organization: Organization, django_assert_num_queries: Any):
    client, _ = asking(organization)
    for _ in range(5):
        make_api_key(organization)
    client.get(KEYS)
    with django_assert_num_queries(2):
        assert len(client.get(KEYS).json()["results"]) == 6
