"""Who may ask anything: `Authorization: Bearer cf_live_…`."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.urls import URLResolver, get_resolver
from django.utils import timezone
from rest_framework.test import APIClient

from clipforge.common.cache.backend import default_cache
from clipforge.devtools.testing.factories import REASON, TESTER, make_api_key, make_organization
from clipforge.devtools.testing.queries import statements
from clipforge.orgs import keys, services
from clipforge.orgs.api.request_path import REFUSAL
from clipforge.orgs.models import APIKey, Organization

pytestmark = pytest.mark.django_db

ME = "/api/v1/me"

# Public, on purpose. Everything else under /api/v1/ needs a key.
PUBLIC = {"/api/v1/schema", "/api/v1/docs", "/api/v1/pricing"}


def get_me(authorization: str | None, **extra: Any) -> Any:
    client = APIClient()
    if authorization is not None:
        client.credentials(HTTP_AUTHORIZATION=authorization)
    return client.get(ME, **extra)


def assert_refused(response: Any, code: str = "invalid_api_key") -> dict[str, Any]:
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["code"]) == (401, code)
    assert response["Content-Type"] == "application/problem+json"
    assert response["WWW-Authenticate"] == 'Bearer realm="ClipForge"'
    return problem


@pytest.mark.django_db(transaction=True)
def test_a_good_key_is_let_in_with_no_query_once_it_is_cached_and_its_first_use_is_written(
    organization, django_assert_num_queries
):
    new = make_api_key(organization)
    with statements(access=True) as said:
        assert get_me(f"Bearer {new.secret}").status_code == 200
    assert (
        said
        == [
            "SELECT orgs_apikey",
            "SELECT orgs_organization",
            "SELECT orgs_tierlimits",
            # Its use is written, and the cached row forgotten.
            "SELECT orgs_apikey",
            "UPDATE orgs_apikey",
            "SELECT orgs_apikey",
            "SELECT orgs_storageusage",  # the figure of the answer, which is shown from the cache from now on
        ]
    )
    with django_assert_num_queries(1):  # the key, whose row has changed
        assert get_me(f"Bearer {new.secret}").status_code == 200
    with django_assert_num_queries(0):
        assert get_me(f"Bearer {new.secret}").status_code == 200
    assert APIKey.objects.get().last_used_at is not None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_may_be_written_in_any_case(organization, scheme):
    assert get_me(f"{scheme} {make_api_key(organization).secret}").status_code == 200


def test_spaces_around_the_key_are_forgiven(organization):
    assert get_me(f"Bearer   {make_api_key(organization).secret}  ").status_code == 200


@pytest.mark.parametrize("header", [None, "", " "])
def test_no_key_is_401(header, django_assert_num_queries):
    with django_assert_num_queries(0):
        problem = assert_refused(get_me(header), "not_authenticated")
    assert problem["title"] == "Unauthorized"


@pytest.mark.parametrize("header", ["Basic {}", "Token {}", "{}", "Bearer:{}", "Digest {}"])
def test_another_scheme_is_refused_with_the_right_one_in_a_sentence(organization, header):
    problem = assert_refused(get_me(header.format(make_api_key(organization).secret)))
    assert problem["detail"] == "Send the API key as: Authorization: Bearer cf_live_…"


@pytest.mark.parametrize("key", ["", "secret", "cf_live_", "a" * 66, "cf_live_" + "é" * 58, "\x00"])
def test_a_malformed_key_is_refused_without_a_query(key, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert_refused(get_me(f"Bearer {key}"))


def test_an_unknown_key_is_refused_with_one_query(organization, django_assert_num_queries):
    _, unknown = keys.generate()
    with django_assert_num_queries(1):  # the key by its id
        assert_refused(get_me(f"Bearer {unknown}"))


@pytest.fixture
def one_minute(settings: Any) -> Iterator[None]:
    """Ten guesses a minute, and a clock that stands still in one."""
    settings.ANONYMOUS_REQUESTS_PER_MINUTE = 10
    with time_machine.travel("2026-11-24 12:00:30Z", tick=False):
        yield


@pytest.mark.usefixtures("one_minute")
def test_an_address_that_guessed_too_often_is_refused_before_the_database_is_asked(
    organization, django_assert_num_queries
):
    """By well-formed keys: each would be looked up."""

    def guess() -> Any:
        return get_me(f"Bearer {keys.generate()[1]}")

    with django_assert_num_queries(10):
        assert [guess().status_code for _ in range(10)] == [401] * 10
    stored = make_api_key(organization).secret  # not used yet, so it is not cached
    with django_assert_num_queries(0):
        for refused in (guess(), get_me(f"Bearer {stored}")):
            body = refused.json()
            assert (refused.status_code, body["code"], body["limit"]) == (
                429,
                "rate_limited",
                "anonymous",
            )
    assert get_me(f"Bearer {stored}", REMOTE_ADDR="10.9.9.9").status_code == 200


@pytest.mark.usefixtures("one_minute")
def test_the_price_list_without_a_key_is_limited_before_the_database_is_asked(
    anonymous, django_assert_num_queries
):
    assert [anonymous.get("/api/v1/pricing").status_code for _ in range(10)] == [200] * 10
    default_cache().delete("pricing:all")
    with django_assert_num_queries(0):
        refused = anonymous.get("/api/v1/pricing")
    assert (refused.status_code, refused.json()["limit"]) == (429, "anonymous")


def test_a_right_id_with_a_wrong_secret_is_refused_and_is_no_use_of_the_key(organization):
    new = make_api_key(organization)
    body = f"cf_live_{new.api_key.prefix}_{'x' * 43}"
    assert_refused(get_me(f"Bearer {body}{keys._checksum(body)}"))
    assert APIKey.objects.get().last_used_at is None


def test_a_key_that_was_cut_short_or_changed_in_case_is_refused(organization):
    secret = make_api_key(organization).secret
    for text in (secret[:-1], secret[1:], secret.upper(), secret.lower(), secret.swapcase()):
        assert_refused(get_me(f"Bearer {text}"))


def test_two_keys_in_one_header_are_refused(organization):
    one, two = make_api_key(organization).secret, make_api_key(organization).secret
    for header in (f"Bearer {one}, Bearer {two}", f"Bearer {one} {two}", f"Bearer {one},{two}"):
        assert_refused(get_me(header))


@pytest.mark.parametrize("name", ["api_key", "key", "token", "access_token", "authorization"])
def test_a_key_in_the_query_string_is_no_authentication(organization, name):
    secret = make_api_key(organization).secret
    for value in (secret, f"Bearer {secret}"):
        assert_refused(get_me(None, data={name: value}), "not_authenticated")


def test_a_key_in_another_header_a_cookie_or_the_body_is_no_authentication(organization):
    secret = make_api_key(organization).secret
    client = APIClient()
    assert client.get(ME, headers={"X-API-Key": secret}).status_code == 401
    client.cookies["Authorization"] = secret
    assert client.get(ME).status_code == 401
    response = client.post("/api/v1/quotes", {"api_key": secret, "export_seconds": 1})
    assert response.status_code == 401


def test_a_revoked_key_is_refused_on_the_very_next_request(organization):
    new = make_api_key(organization)
    assert get_me(f"Bearer {new.secret}").status_code == 200
    services.revoke_api_key(api_key=new.api_key, reason=REASON, actor=TESTER)
    assert_refused(get_me(f"Bearer {new.secret}"))


def test_a_key_that_was_revoked_leaves_the_others_of_its_organization(organization):
    revoked, other = make_api_key(organization), make_api_key(organization)
    services.revoke_api_key(api_key=revoked.api_key, reason=REASON, actor=TESTER)
    assert get_me(f"Bearer {other.secret}").status_code == 200


def test_a_key_works_until_the_microsecond_in_which_it_expires(organization):
    expires = timezone.now() + datetime.timedelta(days=1)
    secret = make_api_key(organization, expires_at=expires).secret
    with time_machine.travel(expires - datetime.timedelta(microseconds=1), tick=False) as clock:
        assert get_me(f"Bearer {secret}").status_code == 200
        clock.move_to(expires)
        assert_refused(get_me(f"Bearer {secret}"))


def test_every_bad_key_gets_the_same_answer(organization):
    revoked, expired, good = (make_api_key(organization) for _ in range(3))
    services.revoke_api_key(api_key=revoked.api_key, reason=REASON, actor=TESTER)
    APIKey.objects.filter(pk=expired.api_key.pk).update(expires_at=timezone.now())
    wrong = f"cf_live_{good.api_key.prefix}_{'x' * 43}"
    bad = [
        "malformed",
        good.secret[:-1],
        wrong + keys._checksum(wrong),
        keys.generate()[1],
        revoked.secret,
        expired.secret,
    ]
    headers = {"X-Request-ID": "the-same-for-all"}
    responses = [get_me(f"Bearer {key}", headers=headers) for key in bad]
    assert {response.content for response in responses} == {responses[0].content}
    assert len({tuple(sorted(response.headers.items())) for response in responses}) == 1
    assert responses[0].json()["detail"] == REFUSAL


def test_a_suspended_organization_is_403_from_the_next_request_on(organization):
    new = make_api_key(organization)
    assert get_me(f"Bearer {new.secret}").status_code == 200
    Organization.objects.filter(pk=organization.pk).update(is_active=False)
    response = get_me(f"Bearer {new.secret}")
    assert (response.status_code, response.json()["code"]) == (403, "organization_inactive")
    assert "support" in response.json()["detail"]
    Organization.objects.filter(pk=organization.pk).update(is_active=True)
    assert get_me(f"Bearer {new.secret}").status_code == 200


def test_a_bad_key_of_a_suspended_organization_is_401_like_any_other():
    organization = make_organization(is_active=False)
    new = make_api_key(organization)
    services.revoke_api_key(api_key=new.api_key, reason=REASON, actor=TESTER)
    assert_refused(get_me(f"Bearer {new.secret}"))
    assert APIKey.objects.get().last_used_at is None


def test_no_answer_and_no_log_line_repeats_the_key(organization, caplog):
    caplog.set_level("DEBUG")
    new = make_api_key(organization)
    responses = [get_me(f"Bearer {new.secret}"), get_me(f"Bearer {new.secret[:-1]}")]
    everything = str([vars(each) for each in caplog.records]) + str(
        [(each.content, each.headers) for each in responses]
    )
    assert new.api_key.prefix in everything
    assert new.secret[17:] not in everything


# --- deny by default -------------------------------------------------------------------


def routes() -> Iterator[tuple[str, Any]]:
    """Every address under /api/v1/ with its view; converters are filled in with what fits."""
    yield from _routes(get_resolver().url_patterns, "/")


def _routes(patterns: list[Any], before: str) -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        here = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, here)
        elif here.startswith("/api/v1/"):
            for name in pattern.pattern.converters:
                here = here.replace(f"<uuid:{name}>", str(uuid.uuid4()))
                here = here.replace(f"<str:{name}>", "poster.jpg")
            assert "<" not in here, f"{here} has a converter that this test cannot fill in"
            yield here, pattern.callback.view_class


def test_without_a_key_every_route_but_the_public_ones_is_401_for_every_method(anonymous, settings):
    settings.ANONYMOUS_REQUESTS_PER_MINUTE = 10_000
    asked = 0
    for path, view in routes():
        if path in PUBLIC:
            continue
        for method in view().allowed_methods + (["HEAD"] if hasattr(view, "get") else []):
            # Each time from another address: there are more of them than one may ask for.
            address = f"10.0.{asked >> 8}.{asked & 255}"
            response = anonymous.generic(method, path, REMOTE_ADDR=address)
            assert response.status_code == 401, f"{method} {path} answers {response.status_code}"
            asked += 1
    assert asked >= 35


def test_the_public_routes_are_there_and_open(anonymous):
    assert {path for path, _ in routes()} >= PUBLIC
    for path in PUBLIC:
        assert anonymous.get(path, headers={"Accept": "*/*"}).status_code == 200


def test_without_a_key_a_method_that_a_route_has_not_is_not_let_in_either(anonymous):
    for method in ("PUT", "DELETE", "TRACE", "NONSENSE"):
        assert anonymous.generic(method, ME).status_code in {401, 405}
