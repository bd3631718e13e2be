"""Pages of other sites: the origins that may read, preflights, and tokens that may stand in a page."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from rest_framework.test import APIClient

from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import make_client, make_organization, make_project
from clipforge.devtools.testing.state import nothing_changes
from clipforge.devtools.testing.tenancy import client_with
from clipforge.orgs.models import APIKey, Organization

pytestmark = pytest.mark.django_db

ORIGINS, TOKENS, ME = "/api/v1/origins", "/api/v1/tokens", "/api/v1/me"
PROJECTS = "/api/v1/projects"
MINE, OTHER = "https://app.example.com", "https://evil.example"


def readers(response: Any) -> Any:
    return response.headers.get("Access-Control-Allow-Origin")


def allow(api: APIClient, *origins: str) -> Any:
    return api.put(ORIGINS, {"origins": list(origins)})


# --- origins ---------------------------------------------------------------------------


def test_origins_are_replaced_as_a_whole_and_leave_an_audit_row(
    api: APIClient, organization: Organization
):
    assert api.get(ORIGINS).json() == {"origins": []}
    asked = [MINE, " HTTPS://App.Example.COM ", "http://localhost:3000"]
    assert allow(api, *asked).json() == {"origins": [MINE, "http://localhost:3000"]}
    assert api.get(ORIGINS).json() == {"origins": [MINE, "http://localhost:3000"]}
    assert allow(api).json() == {"origins": []}
    assert AuditEntry.objects.filter(verb="allow_origins", org=organization).count() == 2


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "app.example.com",
        "http://app.example.com",
        f"{MINE}/",
        f"{MINE}/path",
        "https://*.example.com",
        "https://user@app.example.com",
        "https://app.example.com:0",
        "https://app.example.com https://b.example",
        "https://äpp.example.com",
        "javascript:alert(1)",
        f"{MINE}\n",
    ],
)
def test_what_is_no_origin_is_refused(api: APIClient, organization: Organization, origin: str):
    response = allow(api, MINE, origin)
    if origin.strip() == MINE:
        assert response.json() == {"origins": [MINE]}
        return
    assert_problem(response, 422, "invalid_origin")
    organization.refresh_from_db()
    assert organization.allowed_origins == ""


def test_twenty_are_allowed_and_no_more(api: APIClient):
    origins = [f"https://a{number}.example" for number in range(21)]
    assert len(allow(api, *origins[:20]).json()["origins"]) == 20
    assert_problem(allow(api, *origins), 422, "invalid")


# --- who may read ----------------------------------------------------------------------


def test_an_answer_is_for_the_origins_that_its_organization_allows(api: APIClient):
    allow(api, MINE)
    stranger = make_client(make_organization(name="Stranger"))
    for url in (ME, "/api/v1/pricing", f"{PROJECTS}?unknown=1", f"{PROJECTS}/x"):
        assert "Access-Control-Allow-Origin" not in api.get(url)
    for url in (ME, "/api/v1/pricing", f"{PROJECTS}?unknown=1"):
        answer = api.get(url, headers={"Origin": MINE})
        assert (readers(answer), answer["Vary"].split(", ")[-1]) == (MINE, "Origin")
        assert "ETag" in answer["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer
        for client, origin in [(api, OTHER), (stranger, MINE), (api, "null"), (api, "")]:
            assert readers(client.get(url, headers={"Origin": origin})) is None, (url, origin)


def test_an_answer_to_nobody_is_for_all(api: APIClient, anonymous: APIClient):
    for url, status in [("/api/v1/pricing", 200), (ME, 401), ("/api/v1/none", 404)]:
        answer = anonymous.get(url, headers={"Origin": OTHER})
        assert (answer.status_code, readers(answer)) == (status, "*")
    bad = client_with("cf_live_nonsense").get(ME, headers={"Origin": OTHER})
    assert (bad.status_code, readers(bad)) == (401, "*")


def test_what_is_not_changed_and_what_is_over_a_limit_may_be_read_too(
    api: APIClient, organization: Organization
):
    allow(api, MINE)
    etag = api.get(ME)["ETag"]
    again = api.get(ME, headers={"Origin": MINE, "If-None-Match": etag})
    assert (again.status_code, readers(again)) == (304, MINE)
    Organization.objects.filter(pk=organization.pk).update(rate_limit_override=1)
    over = [api.get(ME, headers={"Origin": MINE}) for _ in range(2)][-1]
    assert (over.status_code, readers(over)) == (429, MINE)
    assert "Retry-After" in over["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("url", [ME, PROJECTS, f"{PROJECTS}/x", "/api/v1/none", "/files/a/b.mp4"])
def test_a_preflight_is_answered_without_a_key(anonymous: APIClient, url: str):
    with nothing_changes():
        answer = anonymous.options(
            url,
            headers={
                "Origin": OTHER,
                "Access-Control-Request-Method": "PATCH",
                "Access-Control-Request-Headers": "authorization, idempotency-key",
            },
        )
    assert (answer.status_code, readers(answer), answer.content) == (204, "*", b"")
    assert "PATCH" in answer["Access-Control-Allow-Methods"]
    allowed = answer["Access-Control-Allow-Headers"].lower()
    assert {"authorization", "idempotency-key", "if-none-match"} <= set(allowed.split(", "))
    assert answer["Access-Control-Max-Age"] == "7200"
    assert answer["X-Request-ID"]


def test_options_without_an_origin_or_a_method_is_no_preflight(anonymous: APIClient):
    assert_problem(anonymous.options(ME), 401, "not_authenticated")
    assert_problem(anonymous.options(ME, headers={"Origin": OTHER}), 401, "not_authenticated")


def test_pages_of_staff_are_for_no_other_site(anonymous: APIClient):
    answer = anonymous.get("/admin/login/", headers={"Origin": OTHER})
    assert readers(answer) is None


# --- tokens ----------------------------------------------------------------------------


def token(api: APIClient, **asked: Any) -> APIClient:
    response = api.post(TOKENS, asked)
    assert response.status_code == 201, response.content
    return client_with(response.json()["token"])


def test_a_token_ends_after_its_minutes_and_says_what_it_is(
    api: APIClient, organization: Organization
):
    now = timezone.now()
    with time_machine.travel(now, tick=False) as clock:
        made = api.post(TOKENS, {"minutes": 10})
        assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
        shown = made.json()
        assert shown["token"].startswith("cf_page_")
        assert shown["scope"] == "read"
        ends = now + datetime.timedelta(minutes=10)
        assert datetime.datetime.fromisoformat(shown["expires_at"]) == ends
        page = client_with(shown["token"])
        assert page.get(ME).json()["organization"]["id"] == str(organization.pk)
    key = APIKey.objects.get(is_publishable=True)
    APIKey.objects.filter(pk=key.pk).update(expires_at=now)
    assert_problem(page.get(ME), 401, "invalid_api_key")
    assert clock is not None


@pytest.mark.parametrize("minutes", [0, 61, -1, "soon", None, 1.5])
def test_it_lasts_from_a_minute_to_an_hour(api: APIClient, minutes: Any):
    assert api.post(TOKENS, {"minutes": minutes}).status_code == 422
    for allowed in (1, 60):
        assert api.post(TOKENS, {"minutes": allowed}).status_code == 201


def test_it_does_not_outlive_the_key_that_asked_for_it(api: APIClient):
    ends = timezone.now() + datetime.timedelta(minutes=2)
    APIKey.objects.update(expires_at=ends)
    shown = api.post(TOKENS, {"minutes": 60}).json()
    assert datetime.datetime.fromisoformat(shown["expires_at"]) == ends


def test_one_to_look_may_not_write_and_none_may_pay_or_make_another(
    api: APIClient, organization: Organization
):
    project = make_project(organization)
    look, write = token(api), token(api, scope="write")
    for page in (look, write):
        assert page.get(PROJECTS).status_code == 200
        assert page.post("/api/v1/quotes", {"export_seconds": 5}).status_code == 200
        with nothing_changes():
            for url in (TOKENS, "/api/v1/billing/portal", "/api/v1/webhooks/endpoints"):
                answer = page.post(url, {})
                assert_problem(answer, 403, "scope_missing")
            assert_problem(allow(page, OTHER), 403, "scope_missing")
    with nothing_changes():
        answer = look.patch(f"{PROJECTS}/{project.pk}", {"title": "Mine"})
        assert_problem(answer, 403, "scope_missing")
    assert write.patch(f"{PROJECTS}/{project.pk}", {"title": "Mine"}).status_code == 200


def test_it_works_from_allowed_origins_only(api: APIClient):
    allow(api, MINE)
    page = token(api)
    assert page.get(ME, headers={"Origin": MINE}).status_code == 200
    refused = page.get(ME, headers={"Origin": OTHER})
    assert_problem(refused, 403, "origin_not_allowed")
    assert readers(refused) is None


def test_a_key_may_do_all_that_it_could(api: APIClient, organization: Organization):
    key = APIKey.objects.get(organization=organization)
    assert (key.scopes, key.is_publishable) == ("", False)
    assert all(key.may(scope) for scope in ("read", "write", "billing", "webhooks", "keys"))
