from __future__ import annotations

import datetime
import re
from typing import Any

import pytest
from rest_framework.test import APIClient
from standardwebhooks import Webhook

from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.api import (
    all_pages,
    assert_not_told_apart,
    assert_problem,
    invalid_fields,
)
from clipforge.devtools.testing.factories import REASON, TESTER, make_endpoint, make_project
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.receivers import Receiver
from clipforge.devtools.testing.state import nothing_changes
from clipforge.devtools.testing.tenancy import client_with
from clipforge.events import services
from clipforge.events.models import Delivery, Endpoint
from clipforge.events.tests.makers import happen, send
from clipforge.orgs.models import Organization

pytestmark = pytest.mark.django_db

URL = "/api/v1/webhooks/endpoints"
EXAMPLE = "https://example.com/hook"


def create(api: APIClient, **body: Any) -> Any:
    return api.post(URL, {"url": EXAMPLE, **body})


@pytest.mark.parametrize("version", ["2026-11-25", "2026-11-30"])
def test_an_endpoint_is_told_in_its_version_what_get_answers_in_that(
    api: APIClient, organization: Organization, receiver: Receiver, version: str
):
    asked = {"ClipForge-Version": version}
    answer = api.post(URL, {"url": receiver.url("/hook")}, headers=asked)
    assert answer.json()["api_version"] == version
    endpoint = Endpoint.objects.get()
    project = make_project(organization, status="UPLOADED")
    happen(organization, project=project)
    send(endpoint)
    (got,) = receiver.received
    told = Webhook(answer.json()["secret"]).verify(got.body, got.headers)
    assert told["data"] == api.get(f"/api/v1/projects/{project.pk}", headers=asked).json()
    assert told["data"]["stage"] == ("" if version == "2026-11-25" else None)
    assert got.headers["ClipForge-Version"] == version
    delivery = Delivery.objects.get()
    shown = api.get(f"/api/v1/webhooks/deliveries/{delivery.pk}").json()
    assert shown["body"] == got.body.decode()


def test_the_version_of_an_endpoint_is_that_of_its_maker_and_can_be_changed(
    api: APIClient, organization: Organization
):
    longer_ago = datetime.datetime(2026, 11, 26, tzinfo=datetime.UTC)
    Organization.objects.filter(pk=organization.pk).update(created_at=longer_ago)
    made = create(api).json()
    assert made["api_version"] == "2026-11-25"
    organization.refresh_from_db()
    url = "https://example.com/staff"
    by_staff = services.create_endpoint(org=organization, url=url, reason=REASON, actor=TESTER)
    assert by_staff.endpoint.api_version == "2026-11-25"
    asked = create(api, url="https://example.com/new", api_version="2026-11-30").json()
    assert asked["api_version"] == "2026-11-30"
    path = f"{URL}/{made['id']}"
    changed = api.patch(path, {"api_version": "2026-11-30"})
    assert (changed.status_code, changed.json()["api_version"]) == (200, "2026-11-30")
    entry = AuditEntry.objects.latest("pk")
    assert (entry.before, entry.after) == (
        {"api_version": "2026-11-25"},
        {"api_version": "2026-11-30"},
    )
    with nothing_changes():
        for wrong in ("2026-11-26", "latest", "", None):
            assert api.patch(path, {"api_version": wrong}, format="json").status_code == 422
    # One that is served no more is told as the oldest that is.
    Endpoint.objects.filter(pk=made["id"]).update(api_version="2020-01-01")
    assert api.get(path).json()["api_version"] == "2026-11-25"


def test_an_endpoint_is_made_with_a_secret_that_is_shown_once(api: APIClient):
    response = create(api, event_types=["export.ready", "export.failed"], description="the shop")
    assert response.status_code == 201
    assert response["Cache-Control"] == "no-store"
    body = response.json()
    assert re.fullmatch(r"whsec_[0-9A-Za-z]{32}", body.pop("secret"))
    assert response["Location"] == f"{URL}/{body['id']}"
    assert api.get(response["Location"]).json() == body
    times = {name: body.pop(name) for name in ("id", "created_at", "updated_at")}
    assert all(times.values())
    assert body == {
        "url": EXAMPLE,
        "description": "the shop",
        "event_types": ["export.failed", "export.ready"],
        "api_version": "2026-11-30",
        "is_enabled": True,
        "disabled_at": None,
        "disabled_because": None,
        "failing_since": None,
        "former_secret_until": None,
    }
    entry = AuditEntry.objects.get(object_id=times["id"])
    assert (entry.verb, entry.actor_kind, "secret" in str(entry.after)) == ("add", "key", False)


def test_the_secret_that_was_shown_verifies_what_is_sent(
    api: APIClient, organization: Organization, receiver: Receiver
):
    secret = create(api, url=receiver.url()).json()["secret"]
    happen(organization)
    send(Endpoint.objects.get())
    (got,) = receiver.received
    assert Webhook(secret).verify(got.body, got.headers)["type"] == "project.ready"


def test_the_same_request_again_makes_no_second_endpoint(api: APIClient):
    assert create(api).status_code == 201
    with nothing_changes():
        assert_problem(create(api), 409, "endpoint_exists")


def test_the_eleventh_is_refused(api: APIClient, organization: Organization):
    for number in range(services.MAX_ENDPOINTS):
        make_endpoint(organization, f"https://example.com/{number}")
    with nothing_changes():
        assert_problem(create(api), 409, "too_many_endpoints")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": ""}, "/url"),
        ({"url": "https://example.com/" + "x" * 500}, "/url"),
        ({"url": None}, "/url"),
        ({"event_types": ["project.done"]}, "/event_types/0"),
        ({"event_types": ["endpoint.test"]}, "/event_types/0"),
        ({"event_types": "project.ready"}, "/event_types"),
        ({"description": "x" * 201}, "/description"),
    ],
)
def test_a_field_that_is_wrong_is_named(api: APIClient, body: dict[str, Any], pointer: str):
    with nothing_changes():
        assert any(each.startswith(pointer) for each in invalid_fields(create(api, **body)))


@pytest.mark.parametrize("url", ["http://example.com/", "https://10.0.0.1/", "ftp://a.example/"])
def test_an_address_that_nothing_is_sent_to_is_refused(api: APIClient, url: str, settings: Any):
    settings.OUTBOUND_LOOPBACK = False
    with nothing_changes():
        assert_problem(create(api, url=url), 422, "address_refused")


def test_a_member_that_nobody_knows_is_refused(api: APIClient):
    with nothing_changes():
        assert_problem(create(api, events=["export.ready"]), 422, "unknown_field")


def test_endpoints_are_listed_newest_first_without_secrets(
    api: APIClient, organization: Organization
):
    made = [make_endpoint(organization, f"https://example.com/{each}") for each in range(3)]
    make_endpoint(organization, "https://example.com/gone", deleted_at="2026-01-01T00:00Z")
    with statements() as said:
        rows = api.get(URL).json()["results"]
    assert said == ["SELECT events_endpoint"]
    assert [row["id"] for row in rows] == [str(each.pk) for each in reversed(made)]
    assert "secret" not in rows[0]
    assert all_pages(api, URL, page_size=1) == rows


def test_an_endpoint_is_changed_disabled_and_enabled_again(
    api: APIClient, organization: Organization
):
    url = f"{URL}/{make_endpoint(organization).pk}"
    answer = api.patch(url, {"event_types": ["credits.low"], "is_enabled": False})
    assert answer.status_code == 200
    assert answer.json() == api.get(url).json()
    shown = {
        name: answer.json()[name] for name in ("event_types", "is_enabled", "disabled_because")
    }
    assert shown == {
        "event_types": ["credits.low"],
        "is_enabled": False,
        "disabled_because": "BY_HAND",
    }
    assert_problem(api.post(f"{url}/test"), 409, "endpoint_disabled")
    answer = api.patch(url, {"is_enabled": True}).json()
    assert (answer["is_enabled"], answer["disabled_at"], answer["disabled_because"]) == (
        True,
        None,
        None,
    )
    assert api.patch(url, {}).json() == answer


def test_a_rotated_secret_is_shown_once_and_the_one_before_has_a_day(
    api: APIClient, organization: Organization
):
    endpoint = make_endpoint(organization)
    response = api.post(f"{URL}/{endpoint.pk}/rotate-secret")
    assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
    body = response.json()
    assert body.pop("secret").startswith("whsec_")
    assert body["former_secret_until"] is not None
    assert api.get(f"{URL}/{endpoint.pk}").json() == body


def test_a_deleted_endpoint_is_gone(api: APIClient, organization: Organization):
    url = f"{URL}/{make_endpoint(organization).pk}"
    assert api.delete(url).status_code == 204
    for response in [api.get(url), api.delete(url), api.patch(url, {}), api.post(f"{url}/test")]:
        assert_problem(response, 404, "not_found")
    assert api.get(URL).json()["results"] == []


def test_a_foreign_endpoint_is_not_told_apart_from_one_that_does_not_exist(
    api: APIClient, other_endpoint: Endpoint
):
    assert_not_told_apart(lambda pk: api.get(f"{URL}/{pk}"), other_endpoint.pk)
    assert_not_told_apart(lambda pk: api.post(f"{URL}/{pk}/rotate-secret"), other_endpoint.pk)


def test_without_a_key_nothing_is_answered(anonymous: APIClient, organization: Organization):
    endpoint = make_endpoint(organization)
    for response in [anonymous.get(URL), create(anonymous), anonymous.get(f"{URL}/{endpoint.pk}")]:
        assert response.status_code == 401


@pytest.mark.parametrize("scope", ["read", "write"])
def test_a_token_of_a_page_is_shown_no_webhook_whose_address_may_be_a_secret(
    api: APIClient, organization: Organization, scope: str
):
    endpoint = make_endpoint(organization, "https://example.com/hook?token=secret")
    delivery = services.send_test(endpoint=endpoint)
    page = client_with(api.post("/api/v1/tokens", {"scope": scope}).json()["token"])
    assert page.get("/api/v1/projects").status_code == 200
    of_it = f"{URL}/{endpoint.pk}"
    for url in (URL, of_it, f"{of_it}/deliveries", f"/api/v1/webhooks/deliveries/{delivery.pk}"):
        assert api.get(url).status_code == 200
        assert_problem(page.get(url), 403, "scope_missing")
