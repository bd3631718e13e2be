from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clipforge.audit.models import AuditEntry
from clipforge.common.errors import Conflict, Invalid, NotFound
from clipforge.devtools.testing.factories import TESTER, make_endpoint, make_organization
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.receivers import Receiver, status
from clipforge.devtools.testing.state import nothing_changes
from clipforge.events import services
from clipforge.events.models import Delivery, Endpoint, Event
from clipforge.events.services import MAX_ENDPOINTS
from clipforge.events.tests.makers import bodies, happen, send, stand
from clipforge.orgs.models import Organization

pytestmark = pytest.mark.django_db

BECAUSE: dict[str, Any] = {"reason": "asked for in writing", "actor": TESTER}
ALL = {"after": datetime.datetime.min.replace(tzinfo=datetime.UTC)}


def make(org: Organization, number: int = 0, **overrides: Any) -> Endpoint:
    url = f"https://example.com/{number}"
    return services.create_endpoint(**{"org": org, "url": url, **BECAUSE, **overrides}).endpoint


def code_of(act: Callable[[], object]) -> str:
    """Of the refusal; and nothing was changed."""
    with nothing_changes(), pytest.raises((Conflict, Invalid)) as caught:
        act()
    return str(caught.value.error_code)


def replay(endpoint: Endpoint, **overrides: Any) -> int:
    range_ = {**ALL, "before": timezone.now() + datetime.timedelta(hours=1), **overrides}
    return services.replay_range(endpoint=endpoint, **range_)


def test_an_organization_has_ten_endpoints():
    org = make_organization()
    for number in range(MAX_ENDPOINTS):
        make(org, number)
    assert code_of(lambda: make(org, 10)) == "too_many_endpoints"
    services.delete_endpoint(endpoint=Endpoint.objects.all()[0], **BECAUSE)
    make(org, 10)
    make(make_organization())


@pytest.mark.django_db(transaction=True)
def test_of_twenty_that_are_made_at_once_ten_are():
    org = make_organization()
    done = run_together(20, lambda number: make(org, number))
    refused = [each for each in done if isinstance(each, Conflict)]
    assert (len(refused), Endpoint.objects.count()) == (10, 10)
    assert {each.error_code for each in refused} == {"too_many_endpoints"}
    assert AuditEntry.objects.filter(verb="add").count() == 10


@pytest.mark.django_db(transaction=True)
def test_of_ten_at_one_address_that_are_made_at_once_one_is():
    org = make_organization()
    done = run_together(10, lambda _: make(org))
    refused = [each.error_code for each in done if isinstance(each, Conflict)]
    assert (refused, Endpoint.objects.count()) == (["endpoint_exists"] * 9, 1)


def test_an_address_is_free_again_once_its_endpoint_is_deleted():
    org = make_organization()
    endpoint = make(org)
    assert code_of(lambda: make(org)) == "endpoint_exists"
    services.delete_endpoint(endpoint=endpoint, **BECAUSE)
    make(org)
    with pytest.raises(NotFound):
        services.delete_endpoint(endpoint=endpoint, **BECAUSE)


@pytest.mark.parametrize("types", [["project.done"], ["endpoint.test"], ["project.ready", ""]])
def test_a_type_that_does_not_exist_is_refused(types: list[str]):
    org = make_organization()
    assert code_of(lambda: make(org, event_types=types)) == "unknown_event_type"


def test_an_address_of_ours_is_refused(settings: Any):
    settings.OUTBOUND_LOOPBACK = False
    org = make_organization()
    for url in ["http://example.com/", "https://127.0.0.1/", "https://169.254.169.254/"]:
        assert code_of(lambda url=url: make(org, url=url)) == "address_refused"  # type: ignore[misc]


def test_a_change_leaves_a_row_with_what_changed_and_nothing_else_does():
    endpoint = make(make_organization(), description="old")
    change: dict[str, Any] = {"description": "new", "url": endpoint.url, "event_types": []}
    changed = services.update_endpoint(endpoint=endpoint, **change, **BECAUSE)
    assert (changed.description, changed.url) == ("new", endpoint.url)
    entry = AuditEntry.objects.get(verb="change")
    assert (entry.before, entry.after) == ({"description": "old"}, {"description": "new"})
    with nothing_changes():
        services.update_endpoint(endpoint=endpoint, **change, **BECAUSE)
    assert AuditEntry.objects.filter(verb="change").count() == 1


def test_an_endpoint_moved_to_the_address_of_another_is_refused():
    org = make_organization()
    make(org, 1)
    second = make(org, 2)
    url = "https://example.com/1"
    again = lambda: services.update_endpoint(endpoint=second, url=url, **BECAUSE)  # noqa: E731
    assert code_of(again) == "endpoint_exists"


def test_disabled_and_enabled_by_hand_each_once():
    endpoint = make(make_organization())
    for is_enabled in (False, False, True, True):
        services.update_endpoint(endpoint=endpoint, is_enabled=is_enabled, **BECAUSE)
    verbs = AuditEntry.objects.order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["add", "disable", "enable"]


def test_a_test_is_told_to_one_endpoint_alone_whatever_it_asked_for(receiver: Receiver):
    org = make_organization()
    make_endpoint(org)
    endpoint = make_endpoint(org, receiver.url(), event_types=["project.ready"])
    services.send_test(endpoint=endpoint)
    assert Delivery.objects.count() == 1
    send(endpoint)
    (body,) = bodies(receiver.received)
    assert (body["type"], body["data"]["id"]) == ("endpoint.test", str(endpoint.pk))


def test_a_test_does_not_wait_for_the_retry_of_one_that_failed(receiver: Receiver):
    endpoint = make_endpoint(make_organization(), receiver.url())
    receiver.replies["/"] = status(500)
    happen(endpoint.org)
    services.send_test(endpoint=endpoint)
    send(endpoint)
    receiver.replies["/"] = status(200)
    services.send_test(endpoint=endpoint)
    services.send_test(endpoint=endpoint)
    assert stand(endpoint) == [
        ("PENDING", 1, 500, ""),
        ("FAILED", 1, 500, ""),
        ("PENDING", 0, None, ""),
        ("PENDING", 0, None, ""),
    ]
    send(endpoint)
    sequences = [each["sequence"] for each in bodies(receiver.received[2:])]
    assert sequences == [2, 3]


def test_nothing_is_sent_by_hand_to_an_endpoint_that_is_disabled():
    endpoint = make_endpoint(make_organization())
    happen(endpoint.org)
    services.update_endpoint(endpoint=endpoint, is_enabled=False, **BECAUSE)
    endpoint.refresh_from_db()
    delivery = Delivery.objects.get()
    for act in [
        lambda: services.send_test(endpoint=endpoint),
        lambda: services.replay_delivery(delivery=delivery),
        lambda: replay(endpoint),
    ]:
        assert code_of(act) == "endpoint_disabled"


# --- replays --------------------------------------------------------------------------------------


def test_a_replay_is_the_same_delivery_with_the_same_id(receiver: Receiver):
    endpoint = make_endpoint(make_organization(), receiver.url())
    (event,) = happen(endpoint.org)
    send(endpoint)
    delivery = Delivery.objects.get()
    again = services.replay_delivery(delivery=delivery)
    assert (again.pk, again.status, again.tries) == (delivery.pk, "PENDING", 0)
    send(endpoint)
    ids = [each.headers["webhook-id"] for each in receiver.received]
    assert ids == [str(event.pk)] * 2
    assert Delivery.objects.get().attempts.count() == 2


def test_a_range_brings_what_was_told_and_what_happened_before_the_endpoint_was_made(
    receiver: Receiver,
):
    org = make_organization()
    early = happen(org, "project.ready", "project.failed")
    endpoint = make_endpoint(org, receiver.url(), event_types=["project.ready"])
    late = happen(org, "project.ready", "project.failed")
    services.send_test(endpoint=endpoint)
    happen(make_organization())
    send(endpoint)
    assert len(receiver.received) == 2
    assert replay(endpoint) == 2
    send(endpoint)
    told = [each["id"] for each in bodies(receiver.received[2:])]
    assert sorted(told) == [str(early[0].pk), str(late[0].pk)]


def test_a_range_begins_with_its_first_moment_and_ends_before_its_last():
    endpoint = make_endpoint(make_organization())
    edge = timezone.now()
    tick = datetime.timedelta(microseconds=1)
    for event, at in zip(happen(endpoint.org, *["project.ready"] * 3), (-1, 0, 1), strict=True):
        Event.objects.filter(pk=event.pk).update(created_at=edge + at * tick)
    assert replay(endpoint, after=edge) == 2
    assert replay(endpoint, before=edge) == 1
    assert replay(endpoint, after=edge, before=edge + tick) == 1
    assert code_of(lambda: replay(endpoint, after=edge, before=edge)) == "empty_range"


def test_a_replay_does_not_read_what_it_sends():
    endpoint = make_endpoint(make_organization())
    happen(endpoint.org, *["project.ready"] * 3)
    with CaptureQueriesContext(connection) as captured:
        assert replay(endpoint) == 3
    read = [each["sql"] for each in captured.captured_queries if "events_event" in each["sql"]]
    assert len(read) >= 1
    assert not any('"body"' in sql for sql in read)


def test_a_range_has_ten_thousand_events_at_most(monkeypatch: pytest.MonkeyPatch):
    assert services.MAX_REPLAY == 10_000
    monkeypatch.setattr(services, "MAX_REPLAY", 3)
    endpoint = make_endpoint(make_organization())
    happen(endpoint.org, *["project.ready"] * 3)
    assert replay(endpoint) == 3
    happen(endpoint.org)
    assert code_of(lambda: replay(endpoint)) == "range_too_long"
