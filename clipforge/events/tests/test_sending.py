"""One endpoint, and what it is sent: in order, signed, again until it takes it."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from django.apps import apps
from django.core import mail
from django.utils import timezone
from standardwebhooks import Webhook

from clipforge.audit.models import AuditEntry
from clipforge.common.shutdown import stopping
from clipforge.devtools.testing.factories import (
    TESTER,
    make_endpoint,
    make_organization,
    make_project,
    make_user,
)
from clipforge.devtools.testing.receivers import Receiver, status
from clipforge.events import dispatch, outbox, sending, services, signing, tasks
from clipforge.events.models import Attempt, Delivery, Endpoint, Event
from clipforge.events.schedule import DELAYS, JITTER, delay_after, pause_after
from clipforge.events.selectors import due_deliveries, waiting_endpoints
from clipforge.events.tests.makers import bodies, happen, send, stand
from clipforge.orgs.models import Membership, Organization

pytestmark = pytest.mark.django_db

SECOND = datetime.timedelta(seconds=1)


@pytest.fixture
def org() -> Organization:
    return make_organization()


def make_due() -> None:
    """Let all waits be over."""
    past = timezone.now() - SECOND
    Delivery.objects.filter(status="PENDING").update(next_try_at=past)
    Endpoint.objects.update(paused_until=None)


def wait_of(delivery: Delivery) -> float:
    """Seconds until the next try, from the last one on."""
    assert delivery.next_try_at is not None
    return (delivery.next_try_at - timezone.now()).total_seconds()


# --- a request --------------------------------------------------------------------------------


def test_a_request_is_the_event_as_it_is_stored_signed_after_standard_webhooks(
    org: Organization, receiver: Receiver
):
    endpoint = make_endpoint(org, receiver.url("/hook"))
    (event,) = happen(org)
    send(endpoint)
    (got,) = receiver.received
    assert (got.path, got.body) == ("/hook", event.body.encode())
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["User-Agent"] == "ClipForge-Webhooks/1"
    assert got.headers["webhook-id"] == str(event.pk)
    told = Webhook(signing.secret_of(endpoint.salt)).verify(got.body, got.headers)
    assert (told["type"], told["id"]) == ("project.ready", str(event.pk))
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.tries, delivery.answer_status) == ("DELIVERED", 1, 200)
    assert (delivery.delivered_at is not None, delivery.next_try_at) == (True, None)
    attempt = Attempt.objects.get()
    assert (attempt.url, attempt.answer_status, attempt.error) == (endpoint.url, 200, "")
    assert (attempt.answer, attempt.seconds < 60) == ("ok", True)


def test_what_was_taken_is_not_sent_again(org: Organization, receiver: Receiver):
    endpoint = make_endpoint(org, receiver.url())
    happen(org)
    send(endpoint)
    send(endpoint)
    assert len(receiver.received) == 1


@pytest.mark.parametrize("code", [200, 201, 204, 299])
def test_any_2xx_is_taken(org: Organization, receiver: Receiver, code: int):
    endpoint = make_endpoint(org, receiver.url())
    receiver.replies["/"] = status(code, b"")
    happen(org)
    send(endpoint)
    assert stand(endpoint) == [("DELIVERED", 1, code, "")]


@pytest.mark.parametrize("code", [302, 400, 404, 410, 429, 500, 503])
def test_anything_else_is_tried_again_later_and_a_redirect_is_not_followed(
    org: Organization, receiver: Receiver, code: int
):
    endpoint = make_endpoint(org, receiver.url())
    receiver.replies["/"] = status(code, b"no", Location=receiver.url("/elsewhere"))
    happen(org)
    send(endpoint)
    assert stand(endpoint) == [("PENDING", 1, code, "")]
    assert [each.path for each in receiver.received] == ["/"]
    assert wait_of(Delivery.objects.get()) <= DELAYS[0] * (1 + JITTER)


def test_an_answer_with_a_null_character_and_no_utf8_is_kept_as_text(
    org: Organization, receiver: Receiver
):
    endpoint = make_endpoint(org, receiver.url())
    receiver.replies["/"] = status(200, b"a\0b\xff")
    happen(org)
    send(endpoint)
    assert Attempt.objects.get().answer == "a\ufffdb\ufffd"


# --- retries ------------------------------------------------------------------------------------


def test_retries_grow_over_a_day_and_no_two_meet():
    assert 23 * 3600 < sum(DELAYS) < 24 * 3600
    for tries, least in enumerate(DELAYS, 1):
        waits = {delay_after(tries) for _ in range(50)}
        assert len(waits) == 50
        assert all(wait and least * 0.9 <= wait <= least * 1.1 for wait in waits)
    longest = [seconds * (1 + JITTER) for seconds in DELAYS]
    shortest = [seconds * (1 - JITTER) for seconds in DELAYS]
    assert all(one < two for one, two in zip(longest, shortest[1:], strict=False))
    assert delay_after(len(DELAYS) + 1) is None


def test_an_endpoint_is_left_alone_twice_as_long_each_time_up_to_five_minutes():
    pauses = [round(pause_after(count) / 10) for count in (1, 2, 3)]
    assert pauses == sorted(pauses)
    assert all(270 <= pause_after(count) <= 330 for count in (7, 8, 1000, 10**6))


def test_a_delivery_is_given_up_after_eleven_attempts_with_one_id(
    org: Organization, receiver: Receiver
):
    endpoint = make_endpoint(org, receiver.url())
    receiver.replies["/"] = status(500)
    (event,) = happen(org)
    for _ in range(15):
        make_due()
        send(endpoint)
    assert stand(endpoint) == [("FAILED", 11, 500, "")]
    assert {each.headers["webhook-id"] for each in receiver.received} == {str(event.pk)}
    assert (len(receiver.received), Attempt.objects.count()) == (11, 11)


def test_a_retry_is_signed_for_its_own_time(org: Organization, receiver: Receiver):
    endpoint = make_endpoint(org, receiver.url())
    receiver.replies["/"] = status(500)
    happen(org)
    send(endpoint)
    # As if all of it had been an hour ago; a receiver takes what is five minutes old at the most.
    ago = timezone.now() - 3600 * SECOND
    Attempt.objects.update(sent_at=ago)
    Delivery.objects.update(created_at=ago)
    Event.objects.update(created_at=ago)
    receiver.replies["/"] = status(200)
    make_due()
    send(endpoint)
    first, again = (got.headers["webhook-timestamp"] for got in receiver.received)
    assert int(ago.timestamp()) < int(first) <= int(again)
    verifier = Webhook(signing.secret_of(endpoint.salt))
    for got in receiver.received:
        verifier.verify(got.body, got.headers)


def test_a_failure_queues_the_next_attempt_for_its_time(org: Organization, receiver: Receiver):
    endpoint = make_endpoint(org, receiver.url())
    receiver.replies["/"] = status(500)
    happen(org)
    send(endpoint)
    entries: Any = apps.get_model("procrastinate.ProcrastinateJob")
    first, again = entries.objects.filter(task_name=outbox.SEND).order_by("id")
    assert first.scheduled_at is None
    assert again.args == {"endpoint_id": str(endpoint.pk)}
    wait = (again.scheduled_at - timezone.now()).total_seconds()
    assert 0 < wait <= DELAYS[0] * (1 + JITTER)


# --- order --------------------------------------------------------------------------------------


def test_events_of_an_object_arrive_in_order(org: Organization, receiver: Receiver):
    endpoint = make_endpoint(org, receiver.url())
    for _ in range(3):
        happen(org, *["project.failed"] * 5)
    send(endpoint)
    arrived: dict[str, list[int]] = {}
    for body in bodies(receiver.received):
        arrived.setdefault(body["object_id"], []).append(body["sequence"])
    assert list(arrived.values()) == [[1, 2, 3, 4, 5]] * 3


def test_an_event_waits_for_the_one_before_it_and_for_no_event_of_another_object(
    org: Organization, receiver: Receiver
):
    endpoint = make_endpoint(org, receiver.url())
    stuck = make_project(org, status="UPLOADED")
    happen(org, "project.failed", "project.ready", project=stuck)
    happen(org)
    refused = {str(stuck.pk)}

    def choosy(handler: Any) -> None:
        about = json.loads(handler.got.body)["object_id"]
        status(500 if about in refused else 200)(handler)

    receiver.replies["/"] = choosy
    send(endpoint)
    assert [each[:2] for each in stand(endpoint)] == [
        ("PENDING", 1),
        ("PENDING", 0),
        ("DELIVERED", 1),
    ]
    refused.clear()
    make_due()
    send(endpoint)
    assert {each[0] for each in stand(endpoint)} == {"DELIVERED"}
    of_stuck = [
        each["sequence"] for each in bodies(receiver.received) if each["object_id"] == str(stuck.pk)
    ]
    assert of_stuck == [1, 1, 2]


def test_four_requests_at_most_are_under_way_to_one_endpoint(org: Organization):
    endpoint = make_endpoint(org)
    for _ in range(9):
        happen(org)
    holder = dispatch.claim(endpoint.pk)
    assert holder is not None
    taken = dispatch.take(endpoint.pk, holder)
    assert taken is not None
    assert len(taken[1]) == dispatch.AT_ONCE == 4


# --- leases ---------------------------------------------------------------------------------------


def test_a_second_worker_sends_nothing_while_the_first_has_the_lease(
    org: Organization, receiver: Receiver
):
    endpoint = make_endpoint(org, receiver.url())
    happen(org)
    assert dispatch.claim(endpoint.pk) is not None
    send(endpoint)
    assert receiver.received == []
    assert list(waiting_endpoints()) == []


def test_the_sweep_queues_a_task_for_what_a_dead_worker_left(org: Organization, receiver: Receiver):
    endpoint = make_endpoint(org, receiver.url())
    happen(org)
    assert dispatch.claim(endpoint.pk) is not None
    entries: Any = apps.get_model("procrastinate.ProcrastinateJob")
    entries.objects.all()._raw_delete("default")
    tasks.queue_waiting(0)
    assert entries.objects.count() == 0
    Endpoint.objects.update(lease_expires_at=timezone.now() - SECOND)
    tasks.queue_waiting(0)
    tasks.queue_waiting(0)  # one that waits is enough
    (entry,) = entries.objects.all()
    assert (entry.task_name, entry.args) == ("events.send", {"endpoint_id": str(endpoint.pk)})
    send(endpoint)
    assert len(receiver.received) == 1


def test_a_worker_that_lost_its_lease_settles_nothing(org: Organization):
    endpoint = make_endpoint(org)
    happen(org)
    dead = dispatch.claim(endpoint.pk)
    assert dead is not None
    taken = dispatch.take(endpoint.pk, dead)
    assert taken is not None
    _, (delivery,) = taken
    Endpoint.objects.update(lease_expires_at=timezone.now() - SECOND)
    assert dispatch.claim(endpoint.pk) is not None
    outcome = dispatch.Outcome(delivery, endpoint.url, timezone.now(), 0.1, status=200)
    assert not dispatch.settle(endpoint, dead, [outcome])
    assert dispatch.take(endpoint.pk, dead) is None
    assert not dispatch.release(endpoint.pk, dead)
    dispatch.hand_on(endpoint.pk, dead)
    assert (stand(endpoint), Attempt.objects.count()) == ([("PENDING", 0, None, "")], 0)
    assert Endpoint.objects.get().holder not in {None, dead}


def test_a_lease_is_not_given_up_while_something_is_due(org: Organization):
    endpoint = make_endpoint(org)
    holder = dispatch.claim(endpoint.pk)
    assert holder is not None
    happen(org)
    assert not dispatch.release(endpoint.pk, holder)
    Delivery.objects.update(next_try_at=timezone.now() + 60 * SECOND)
    assert dispatch.release(endpoint.pk, holder)
    assert Endpoint.objects.get().holder is None


def test_others_have_their_turn_after_25_rounds(
    org: Organization, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sending, "ROUNDS", 2)
    endpoint = make_endpoint(org, receiver.url())
    happen(org, *["project.failed"] * 3)
    entries: Any = apps.get_model("procrastinate.ProcrastinateJob")
    before = entries.objects.count()
    send(endpoint)
    assert (len(receiver.received), entries.objects.count() - before) == (2, 1)
    assert Endpoint.objects.get().holder is None
    send(endpoint)
    assert [body["sequence"] for body in bodies(receiver.received)] == [1, 2, 3]


def test_a_worker_that_has_to_stop_hands_the_endpoint_on(org: Organization, receiver: Receiver):
    endpoint = make_endpoint(org, receiver.url())
    happen(org)
    stopping.set()
    try:
        send(endpoint)
    finally:
        stopping.clear()
    assert (receiver.received, Endpoint.objects.get().holder) == ([], None)
    send(endpoint)
    assert len(receiver.received) == 1


# --- endpoints that fail --------------------------------------------------------------------------


def test_an_endpoint_without_an_answer_is_left_alone_with_all_that_waits_for_it(
    org: Organization, receiver: Receiver
):
    endpoint = make_endpoint(org, "http://127.0.0.1:1/")  # nobody listens there
    for _ in range(6):
        happen(org)
    send(endpoint)
    send(endpoint)
    assert sorted(each[1] for each in stand(endpoint)) == [0, 0, 1, 1, 1, 1]
    endpoint.refresh_from_db()
    assert endpoint.unanswered == 1
    assert endpoint.paused_until is not None
    assert 0 < (endpoint.paused_until - timezone.now()).total_seconds() <= 5.5
    assert due_deliveries().count() == 2
    Endpoint.objects.update(url=receiver.url())
    make_due()
    send(endpoint)
    assert {each[0] for each in stand(endpoint)} == {"DELIVERED"}
    endpoint.refresh_from_db()
    assert (endpoint.unanswered, endpoint.failing_since) == (0, None)


def test_an_endpoint_that_leads_to_ourselves_is_sent_nothing(org: Organization, settings: Any):
    settings.OUTBOUND_LOOPBACK = False
    endpoint = make_endpoint(org, "https://localhost/")
    happen(org)
    send(endpoint)
    assert stand(endpoint) == [("PENDING", 1, None, "address_refused")]


def test_an_endpoint_that_took_nothing_for_five_days_is_disabled_and_its_owners_are_told(
    org: Organization, receiver: Receiver
):
    for name, role in [("owner", "owner"), ("admin", "admin"), ("member", "member")]:
        user = make_user(email=f"{name}@example.com")
        Membership.objects.create(user=user, organization=org, role=role)
    endpoint = make_endpoint(org, receiver.url())
    receiver.replies["/"] = status(500)
    happen(org)
    send(endpoint)
    assert Endpoint.objects.get().is_enabled
    Endpoint.objects.update(failing_since=timezone.now() - datetime.timedelta(days=5))
    make_due()
    send(endpoint)
    endpoint.refresh_from_db()
    assert (endpoint.is_enabled, endpoint.disabled_because) == (False, "FAILURES")
    entry = AuditEntry.objects.get(object_id=str(endpoint.pk))
    assert (entry.verb, entry.actor_kind, entry.actor_name) == ("disable", "system", "webhooks")
    tasks.mail_disabled(str(endpoint.pk))
    (sent,) = mail.outbox
    assert sent.to == ["admin@example.com", "owner@example.com"]
    assert endpoint.url in sent.body

    happen(org)
    make_due()
    send(endpoint)
    assert (stand(endpoint), len(receiver.received)) == ([("PENDING", 2, 500, "")], 2)
    receiver.replies["/"] = status(200)
    services.update_endpoint(
        endpoint=endpoint, is_enabled=True, reason="mended by its owner", actor=TESTER
    )
    send(endpoint)
    assert stand(endpoint) == [("DELIVERED", 3, 200, "")]
    tasks.mail_disabled(str(endpoint.pk))  # enabled meanwhile
    assert len(mail.outbox) == 1


def test_one_success_begins_the_five_days_anew(org: Organization, receiver: Receiver):
    endpoint = make_endpoint(
        org, receiver.url(), failing_since=timezone.now() - datetime.timedelta(days=30)
    )
    happen(org)
    send(endpoint)
    endpoint.refresh_from_db()
    assert (endpoint.is_enabled, endpoint.failing_since) == (True, None)


def test_what_waits_for_a_deleted_endpoint_is_never_sent(org: Organization, receiver: Receiver):
    endpoint = make_endpoint(org, receiver.url())
    happen(org)
    services.delete_endpoint(endpoint=endpoint, reason="moved elsewhere", actor=TESTER)
    send(endpoint)
    assert receiver.received == []
