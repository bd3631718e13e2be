from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import all_pages, assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import make_endpoint
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.receivers import Receiver, status
from clipforge.devtools.testing.state import nothing_changes
from clipforge.events.models import Delivery, Endpoint
from clipforge.events.tests.makers import bodies, happen, send
from clipforge.orgs.models import Organization

pytestmark = pytest.mark.django_db

ENDPOINTS = "/api/v1/webhooks/endpoints"
DELIVERIES = "/api/v1/webhooks/deliveries"
RANGE = {"created_after": "2020-01-01T00:00:00Z", "created_before": "2100-01-01T00:00:00Z"}


@pytest.fixture
def endpoint(organization: Organization, receiver: Receiver) -> Endpoint:
    return make_endpoint(organization, receiver.url())


def test_the_log_has_one_entry_an_event_newest_first(
    api: APIClient, endpoint: Endpoint, organization: Organization
):
    happen(organization, "project.failed", "project.ready")
    url = f"{ENDPOINTS}/{endpoint.pk}/deliveries"
    with statements() as said:
        rows = api.get(url).json()["results"]
    assert said == ["SELECT events_endpoint", "SELECT events_delivery"]
    assert [(row["event_type"], row["sequence"], row["status"]) for row in rows] == [
        ("project.ready", 2, "PENDING"),
        ("project.failed", 1, "PENDING"),
    ]
    assert sorted(row["id"] for row in all_pages(api, url, page_size=1)) == sorted(
        row["id"] for row in rows
    )
    send(endpoint)
    for asked, count in [("DELIVERED", 2), ("PENDING", 0), ("FAILED", 0)]:
        assert len(api.get(url, {"status": asked}).json()["results"]) == count


def test_a_delivery_shows_what_is_sent_and_what_came_back(
    api: APIClient, endpoint: Endpoint, organization: Organization, receiver: Receiver
):
    receiver.replies["/"] = status(500, b"no room")
    (event,) = happen(organization)
    send(endpoint)
    body = api.get(f"{DELIVERIES}/{Delivery.objects.get().pk}").json()
    (attempt,) = body.pop("attempts")
    assert body.pop("body") == event.body == receiver.received[0].body.decode()
    assert (body["event"], body["endpoint"]) == (str(event.pk), str(endpoint.pk))
    assert (body["status"], body["tries"], body["answer_status"]) == ("PENDING", 1, 500)
    assert body["next_try_at"] is not None
    assert (attempt["answer_status"], attempt["answer"], attempt["error"]) == (500, "no room", None)
    assert attempt["url"] == endpoint.url


def test_a_test_is_sent_once_for_one_idempotency_key(
    api: APIClient, endpoint: Endpoint, receiver: Receiver
):
    url = f"{ENDPOINTS}/{endpoint.pk}/test"
    key: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": "k"}
    first, again = api.post(url, **key), api.post(url, **key)
    assert (first.status_code, again.status_code, again["Idempotent-Replayed"]) == (
        201,
        201,
        "true",
    )
    assert first.json() == again.json()
    assert first["Location"] == f"{DELIVERIES}/{first.json()['id']}"
    send(endpoint)
    assert [each["type"] for each in bodies(receiver.received)] == ["endpoint.test"]


def test_one_delivery_is_replayed_under_the_same_id(
    api: APIClient, endpoint: Endpoint, organization: Organization, receiver: Receiver
):
    happen(organization)
    send(endpoint)
    url = f"{DELIVERIES}/{Delivery.objects.get().pk}"
    response = api.post(f"{url}/replay")
    assert (response.status_code, response.json()["status"]) == (202, "PENDING")
    assert api.post(f"{url}/replay").json() | {"next_try_at": ""} == response.json() | {
        "next_try_at": ""
    }
    send(endpoint)
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert len(api.get(url).json()["attempts"]) == 2


def test_a_range_of_time_is_replayed(
    api: APIClient, endpoint: Endpoint, organization: Organization, receiver: Receiver
):
    happen(organization, "project.failed", "project.ready")
    send(endpoint)
    url = f"{ENDPOINTS}/{endpoint.pk}/replay"
    response = api.post(url, RANGE)
    assert (response.status_code, response.json()) == (202, {"events": 2})
    send(endpoint)
    assert [each["sequence"] for each in bodies(receiver.received)] == [1, 2, 1, 2]
    backwards: dict[str, Any] = dict(zip(RANGE, reversed(RANGE.values()), strict=True))
    with nothing_changes():
        assert_problem(api.post(url, backwards), 422, "empty_range")
        assert_problem(api.post(url, {"created_after": RANGE["created_after"]}), 422, "invalid")


def test_a_foreign_delivery_is_not_told_apart_from_one_that_does_not_exist(
    api: APIClient, other_endpoint: Endpoint
):
    happen(other_endpoint.org)
    foreign = Delivery.objects.get().pk
    assert_not_told_apart(lambda pk: api.get(f"{DELIVERIES}/{pk}"), foreign)
    assert_not_told_apart(lambda pk: api.post(f"{DELIVERIES}/{pk}/replay"), foreign)
    assert_not_told_apart(lambda pk: api.get(f"{ENDPOINTS}/{pk}/deliveries"), other_endpoint.pk)
