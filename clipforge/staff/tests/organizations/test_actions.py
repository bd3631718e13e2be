"""Actions on an organization: one change a form, its permission, its reason, its effect at once."""

from __future__ import annotations

import datetime
import re
import uuid
from collections import Counter
from typing import Any

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.tests.makers import make_payment
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import (
    make_api_key,
    make_client,
    make_endpoint,
    make_grant,
    make_organization,
    make_user,
)
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.staff import signed_in
from clipforge.devtools.testing.staff_client import REASON, hidden_fields, open_form, staff_client
from clipforge.devtools.testing.state import fingerprint
from clipforge.events.models import Endpoint
from clipforge.orgs.models import APIKey, IdempotencyRecord, Organization, TierLimits
from clipforge.staff import tokens
from credits.tests.makers import make_hold

pytestmark = pytest.mark.django_db

# Keys that staff issue have an end.
TODAY = timezone.now().replace(hour=12)
SOON = (TODAY + datetime.timedelta(days=30)).date()

# The page of each action, its permission, and what is filled in besides the reason.
ACTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "change-tier": ("staff.change_tier", {"tier": "BUSINESS"}),
    "override-limit": ("staff.override_limit", {"requests_per_minute": "77"}),
    "suspend": ("staff.suspend_organization", {"slug": "acme"}),
    "restore": ("staff.suspend_organization", {}),
    "issue-key": (
        "staff.manage_keys",
        {"name": "for the robot", "expiry": str(SOON), "scopes": "read"},
    ),
    "revoke-key": ("staff.manage_keys", {}),
    "rotate-key": ("staff.manage_keys", {"hours": "3"}),
    "limit-key": (
        "staff.manage_keys",
        {"scopes": "read", "allowed_addresses": "10.0.0.0/8", "monthly_cap": "5"},
    ),
    "allow-origins": ("staff.manage_keys", {"origins": "https://app.example.com"}),
    "add-endpoint": ("staff.manage_keys", {"url": "https://example.com/new"}),
    "change-endpoint": ("staff.manage_keys", {"url": "https://example.com/other"}),
    "rotate-endpoint": ("staff.manage_keys", {}),
}
VERBS = {
    "add-endpoint": "add",
    "change-endpoint": "change",
    "rotate-endpoint": "rotate_secret",
}
# Their answer shows a secret, once.
SHOWING = {"issue-key", "rotate-key", "add-endpoint", "rotate-endpoint"}
every_action = pytest.mark.parametrize("name", ACTIONS)


@pytest.fixture
def acme(db: None) -> Organization:
    return make_organization(name="Acme", tier="PRO")


def subject(name: str, org: Organization) -> Any:
    if name == "restore":
        Organization.objects.filter(pk=org.pk).update(is_active=False)
    if name in {"change-endpoint", "rotate-endpoint"}:
        return make_endpoint(org)
    return make_api_key(org).api_key if name in {"revoke-key", "rotate-key", "limit-key"} else org


def url(name: str, pk: Any) -> str:
    return reverse(f"admin:{name}", args=[pk])


def act(client: Client, name: str, pk: Any, /, **fields: Any) -> Any:
    form = open_form(client, url(name, pk), **{**ACTIONS[name][1], **fields})
    return client.post(url(name, pk), form)


def client_for(name: str) -> Client:
    return staff_client(ACTIONS[name][0], "orgs.view_organization")


def text(answer: Any) -> str:
    return str(answer.content.decode())


def untouched(org: Organization) -> dict[str, str]:
    """Of the organization and all staff did; a session that is used is no change."""
    actions = list(AuditEntry.objects.values_list("pk", flat=True))
    return {**fingerprint(org), "actions": str(actions)}


# --- every action -----------------------------------------------------------------------


@every_action
def test_an_action_is_done_and_leaves_who_before_after_and_why(acme, name):
    row = subject(name, acme)
    client = client_for(name)
    answer = act(client, name, row.pk)
    assert answer.status_code == (200 if name in SHOWING else 302), text(answer)
    action = AuditEntry.objects.get()
    verb = VERBS.get(name, name.replace("-", "_"))
    assert (action.verb, action.org, action.reason) == (verb, acme, REASON)
    assert action.before != action.after


@every_action
def test_only_who_has_the_permission_may(acme, name):
    row = subject(name, acme)
    permissions = {each for each, _ in ACTIONS.values()} - {ACTIONS[name][0]}
    without = staff_client(*permissions, "orgs.view_organization", "orgs.change_organization")
    before = untouched(acme)
    assert without.get(url(name, row.pk)).status_code == 403
    assert without.post(url(name, row.pk), ACTIONS[name][1]).status_code == 403
    assert Client().post(url(name, row.pk), ACTIONS[name][1]).status_code == 302
    assert untouched(acme) == before


@every_action
@pytest.mark.parametrize("reason", ["", "ok", "   because   "])
def test_without_a_reason_that_says_something_nothing_is_done(acme, name, reason):
    row = subject(name, acme)
    before = untouched(acme)
    answer = act(client_for(name), name, row.pk, reason=reason)
    assert (answer.status_code, "errorlist" in text(answer)) == (200, True)
    assert untouched(acme) == before


@every_action
def test_what_is_typed_is_shown_as_text(acme, name):
    attack = "<script>alert(1)</script>"
    Organization.objects.filter(pk=acme.pk).update(name=attack)
    row = subject(name, acme)
    client = client_for(name)
    wrong = dict.fromkeys(ACTIONS[name][1], attack) | {"reason": attack[:9]}
    for answer in (client.get(url(name, row.pk)), act(client, name, row.pk, **wrong)):
        assert attack not in text(answer)
        assert "alert(1)" in text(answer)


@every_action
def test_a_page_takes_few_queries(acme, name, django_assert_max_num_queries):
    row = subject(name, acme)
    client = client_for(name)
    with django_assert_max_num_queries(8):
        assert client.get(url(name, row.pk)).status_code == 200


@every_action
def test_what_is_not_there_is_not_found(name):
    assert client_for(name).get(url(name, uuid.uuid4())).status_code == 404


@pytest.mark.parametrize("name", [name for name in ACTIONS if name not in SHOWING])
def test_doing_it_again_changes_nothing_and_says_so(acme, name):
    row = subject(name, acme)
    client = client_for(name)
    form = open_form(client, url(name, row.pk), **ACTIONS[name][1])
    client.post(url(name, row.pk), form)
    before = untouched(acme)
    answer = client.post(url(name, row.pk), form)
    assert answer.status_code == 302
    assert "Nothing was changed" in text(client.get(answer["Location"]))
    assert untouched(acme) == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", [name for name in ACTIONS if name not in SHOWING])
def test_eight_at_once_are_one_action(name):
    org = make_organization(name="Acme", tier="PRO")
    row = subject(name, org)
    client = client_for(name)
    form = open_form(client, url(name, row.pk), **ACTIONS[name][1])
    answers = run_together(8, lambda _: client.post(url(name, row.pk), form))
    assert Counter(getattr(each, "status_code", each) for each in answers) == {302: 8}
    assert AuditEntry.objects.count() == 1


# --- the tier ---------------------------------------------------------------------------


def test_a_tier_shows_what_each_may_and_warns_of_a_plan_that_is_paid(acme):
    client = client_for("change-tier")
    page = text(client.get(url("change-tier", acme.pk)))
    assert "Limits of each tier" in page
    assert "Paid plan" not in page
    make_payment(acme, code="plan-starter")
    page = text(client.get(url("change-tier", acme.pk)))
    assert "Billing set STARTER from a plan that was paid for" in page


def test_who_was_slower_is_told_what_it_is_now_and_can_send_it_again(acme):
    client = client_for("change-tier")
    form = open_form(client, url("change-tier", acme.pk), tier="BUSINESS")
    Organization.objects.filter(pk=acme.pk).update(tier="STARTER")
    before = untouched(acme)
    answer = client.post(url("change-tier", acme.pk), form)
    assert "changed the tier meanwhile: it is STARTER now" in text(answer)
    assert untouched(acme) == before
    again = {**form, **hidden_fields(answer)}
    assert client.post(url("change-tier", acme.pk), again).status_code == 302
    assert AuditEntry.objects.get().before == {"tier": "STARTER"}


def test_a_tier_that_is_none_is_refused(acme):
    before = untouched(acme)
    assert act(client_for("change-tier"), "change-tier", acme.pk, tier="GOLD").status_code == 200
    assert untouched(acme) == before


# --- the limit --------------------------------------------------------------------------


def test_an_own_limit_holds_from_the_next_request_and_can_be_cleared(acme):
    customer, client = make_client(acme), client_for("override-limit")
    limit_of_tier = TierLimits.objects.get(tier="PRO").requests_per_minute

    def limit() -> int:
        return int(customer.get("/api/v1/me").json()["limits"]["requests_per_minute"])

    assert limit() == limit_of_tier
    act(client, "override-limit", acme.pk)
    assert limit() == 77
    assert act(client, "override-limit", acme.pk, requests_per_minute="").status_code == 302
    assert limit() == limit_of_tier
    last = AuditEntry.objects.latest("pk")
    assert (last.before, last.after) == (
        {"requests_per_minute": 77},
        {"requests_per_minute": None},
    )


@pytest.mark.parametrize("limit", ["0", "-1", "1.5", "1000001", str(2**63), "many"])
def test_a_limit_that_is_none_is_said_at_its_field(acme, limit):
    before = untouched(acme)
    answer = act(client_for("override-limit"), "override-limit", acme.pk, requests_per_minute=limit)
    assert (answer.status_code, 'aria-invalid="true"' in text(answer)) == (200, True)
    assert untouched(acme) == before


# --- suspending -------------------------------------------------------------------------


def test_a_suspension_holds_from_the_next_request_until_it_is_restored(acme):
    customer, client = make_client(acme), client_for("suspend")
    assert customer.get("/api/v1/me").status_code == 200
    act(client, "suspend", acme.pk)
    assert customer.get("/api/v1/me").status_code == 403
    act(client, "restore", acme.pk)
    assert customer.get("/api/v1/me").status_code == 200


def test_a_suspension_says_what_becomes_of_running_jobs(acme):
    make_grant(acme, 10)
    make_hold(acme, 3)
    page = text(client_for("suspend").get(url("suspend", acme.pk)))
    assert "Jobs that wait or run: 1. They are finished, and charged" in page


@pytest.mark.parametrize("slug", ["", "ACME", "acme2", "<b>"])
def test_a_suspension_needs_the_slug_typed(acme, slug):
    before = untouched(acme)
    answer = act(client_for("suspend"), "suspend", acme.pk, slug=slug)
    assert (answer.status_code, 'aria-invalid="true"' in text(answer)) == (200, True)
    assert untouched(acme) == before


# --- keys -------------------------------------------------------------------------------

SECRET = re.compile(r"cf_live_\w{8}_\w+")


def test_a_key_is_shown_once_and_kept_nowhere(acme, caplog):
    client = client_for("issue-key")
    form = open_form(
        client, url("issue-key", acme.pk), name="for the robot", expiry=str(SOON), scopes="read"
    )
    answer = client.post(url("issue-key", acme.pk), form)
    (secret,) = SECRET.findall(text(answer))
    assert "no-store" in answer["Cache-Control"]
    me = Client().get("/api/v1/me", headers={"Authorization": f"Bearer {secret}"})
    assert me.status_code == 200
    key = APIKey.objects.get()
    midnight = datetime.datetime.combine(SOON, datetime.time.min, datetime.UTC)
    assert key.expires_at == midnight + datetime.timedelta(days=1)
    assert (key.name, key.created_by_id) == ("for the robot", AuditEntry.objects.get().actor_id)
    tail = secret[17:]
    assert tail not in caplog.text
    assert tail not in str([session.get_decoded() for session in Session.objects.all()])
    for model in (AuditEntry, IdempotencyRecord, APIKey):
        assert tail not in str(list(model.objects.values()))
    # Sent again, by a reload say, it is not shown and no other is made.
    again = client.post(url("issue-key", acme.pk), form)
    assert (again.status_code, SECRET.findall(text(again))) == (200, [])
    assert "was made by this form" in text(again)
    assert "no-store" in again["Cache-Control"]
    assert (APIKey.objects.count(), AuditEntry.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_eight_clicks_at_once_make_one_key_that_is_shown_once():
    org = make_organization()
    client = client_for("issue-key")
    form = open_form(
        client, url("issue-key", org.pk), name="for the robot", expiry=str(SOON), scopes="read"
    )
    answers: list[Any] = run_together(8, lambda _: client.post(url("issue-key", org.pk), form))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert sum(len(SECRET.findall(text(answer))) for answer in answers) == 1
    assert (APIKey.objects.count(), AuditEntry.objects.count()) == (1, 1)


def test_two_forms_are_two_keys(acme):
    client = client_for("issue-key")
    for _ in range(2):
        act(client, "issue-key", acme.pk)
    assert APIKey.objects.count() == 2


def test_a_form_of_another_organization_or_person_or_of_yesterday_makes_no_key(acme, monkeypatch):
    client = client_for("issue-key")
    elsewhere = open_form(client, url("issue-key", make_organization().pk), name="x")
    theirs = open_form(client_for("issue-key"), url("issue-key", acme.pk), name="x")
    for form in (elsewhere, theirs, {**theirs, "token": ""}):
        assert "not sent by a form of yours" in text(client.post(url("issue-key", acme.pk), form))
    form = open_form(client, url("issue-key", acme.pk), name="x")
    monkeypatch.setattr(tokens, "LIFE", -1)
    assert "more than a day" in text(client.post(url("issue-key", acme.pk), form))
    assert not APIKey.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 101},
        {"expiry": "2020-01-01"},
        {"expiry": ""},
        {"expiry": str(SOON + datetime.timedelta(days=61))},
    ],
)
def test_a_key_that_cannot_be_is_said_and_not_made(acme, wrong):
    with time_machine.travel(TODAY):  # which may have ended since this module was read
        answer = act(client_for("issue-key"), "issue-key", acme.pk, **wrong)
    assert (answer.status_code, "errorlist" in text(answer)) == (200, True)
    assert not APIKey.objects.exists()


def test_the_form_of_a_key_shows_its_last_day(acme):
    last = str(SOON + datetime.timedelta(days=60))
    with time_machine.travel(TODAY):
        client = client_for("issue-key")
        assert f'value="{last}"' in text(client.get(url("issue-key", acme.pk)))
        assert "cf_live_" in text(act(client, "issue-key", acme.pk, expiry=last))


def test_a_revoked_key_is_refused_from_the_next_request_on(acme):
    new = make_api_key(acme)
    asking = {"Authorization": f"Bearer {new.secret}"}
    assert Client().get("/api/v1/me", headers=asking).status_code == 200
    act(client_for("revoke-key"), "revoke-key", new.api_key.pk)
    assert Client().get("/api/v1/me", headers=asking).status_code == 401
    action = AuditEntry.objects.get()
    assert (action.object_type, action.object_id) == ("orgs.apikey", str(new.api_key.pk))
    assert action.before == {"revoked_at": None}
    assert action.after["revoked_at"] is not None


def test_a_customer_who_is_no_staff_is_sent_to_sign_in(acme):
    client = signed_in(make_user())
    for name in ACTIONS:
        assert client.post(url(name, acme.pk), {"reason": REASON}).status_code == 302
    acme.refresh_from_db()
    assert acme.is_active
    assert acme.created_at < timezone.now()


# --- limits of keys, rotation, and webhooks ------------------------------------------------


def test_a_key_is_issued_with_what_it_may_do_and_no_more(acme):
    act(
        client_for("issue-key"),
        "issue-key",
        acme.pk,
        scopes=["write", "read"],
        allowed_addresses="203.0.113.0/24 2001:db8::/32",
        monthly_cap="9",
    )
    key = APIKey.objects.get()
    assert (key.scopes, key.allowed_addresses, key.monthly_cap) == (
        "read write",
        "203.0.113.0/24 2001:db8::/32",
        9,
    )


@pytest.mark.parametrize(
    "wrong",
    [{"scopes": []}, {"scopes": "admin"}, {"allowed_addresses": "here"}, {"monthly_cap": "-1"}],
)
def test_limits_that_cannot_be_are_said_and_not_set(acme, wrong):
    key = make_api_key(acme).api_key
    for name, pk in (("issue-key", acme.pk), ("limit-key", key.pk)):
        answer = act(client_for(name), name, pk, **wrong)
        assert (answer.status_code, "errorlist" in text(answer)) == (200, True)
    key.refresh_from_db()
    assert (APIKey.objects.count(), key.scopes, key.monthly_cap) == (1, "", None)


def test_limits_that_somebody_else_changed_meanwhile_are_shown_and_not_lost(acme):
    key = make_api_key(acme).api_key
    client = client_for("limit-key")
    form = open_form(client, url("limit-key", key.pk), scopes="read", monthly_cap="5")
    APIKey.objects.filter(pk=key.pk).update(monthly_cap=7)
    answer = client.post(url("limit-key", key.pk), form)
    assert "Somebody else changed the limits of the key meanwhile" in text(answer)
    key.refresh_from_db()
    assert key.monthly_cap == 7


def test_a_key_for_tests_is_one_of_the_sandbox(acme):
    answer = act(client_for("issue-key"), "issue-key", acme.pk, is_test="on")
    assert re.findall(r"cf_test_\w{8}_\w+", text(answer))
    sandbox = Organization.objects.get(sandbox_of=acme)
    assert APIKey.objects.get().organization == sandbox


def test_a_rotated_key_ends_after_its_hours_and_staff_make_none_without_an_end(acme):
    old = make_api_key(acme, scopes="read").api_key
    answer = act(client_for("rotate-key"), "rotate-key", old.pk, hours="3")
    (secret,) = SECRET.findall(text(answer))
    old.refresh_from_db()
    new = APIKey.objects.get(replaces=old)
    now = timezone.now()
    assert old.expires_at
    assert new.expires_at
    assert datetime.timedelta(hours=2) < old.expires_at - now <= datetime.timedelta(hours=3)
    assert new.expires_at - now <= datetime.timedelta(days=90)
    assert new.scopes == "read"
    asking = {"Authorization": f"Bearer {secret}"}
    assert Client().get("/api/v1/me", headers=asking).status_code == 200


def test_the_page_of_a_key_shows_its_limits_and_leads_to_its_actions(acme):
    key = make_api_key(acme, scopes="read", allowed_addresses="10.0.0.0/8", monthly_cap=9).api_key
    client = staff_client("staff.manage_keys", "orgs.view_apikey")
    page = text(client.get(reverse("admin:orgs_apikey_change", args=[key.pk])))
    for shown in ("10.0.0.0/8", "at most 9", url("limit-key", key.pk), url("rotate-key", key.pk)):
        assert shown in page


def test_an_endpoint_is_added_changed_and_rotated_and_its_secret_is_shown_once(acme):
    client = client_for("add-endpoint")
    form = open_form(client, url("add-endpoint", acme.pk), url="https://example.com/new")
    shown = [text(client.post(url("add-endpoint", acme.pk), form)) for _ in range(2)]
    assert [len(re.findall(r"whsec_[\w+/=]+", page)) for page in shown] == [1, 0]
    endpoint = Endpoint.objects.get()
    act(client, "change-endpoint", endpoint.pk, event_types=["export.ready"], description="mine")
    endpoint.refresh_from_db()
    assert (endpoint.url, endpoint.event_types) == ("https://example.com/other", ["export.ready"])
    salt = endpoint.salt
    assert re.findall(r"whsec_[\w+/=]+", text(act(client, "rotate-endpoint", endpoint.pk)))
    endpoint.refresh_from_db()
    assert endpoint.salt != salt
    answer = act(client, "change-endpoint", endpoint.pk, url="http://example.com/hook")
    assert "errorlist" in text(answer)
