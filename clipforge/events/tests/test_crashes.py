"""A crash after every single statement: an event and its change, a delivery and its record, all or nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.utils import timezone

from clipforge.common.cache.backend import default_cache
from clipforge.common.outbound import Outbound
from clipforge.devtools.testing.factories import make_endpoint, make_organization, make_project
from clipforge.devtools.testing.faults import crash_at
from clipforge.devtools.testing.receivers import Receiver
from clipforge.devtools.testing.redis_server import answers, redis_server
from clipforge.events import sending
from clipforge.events.models import Attempt, Delivery, Endpoint, Event
from clipforge.events.tests.makers import bodies, happen, send
from clipforge.jobs import lifecycle

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 60


def tasks_of(endpoint: Endpoint) -> int:
    entries: Any = apps.get_model("procrastinate.ProcrastinateJob")
    return int(entries.objects.filter(args={"endpoint_id": str(endpoint.pk)}).count())


def test_a_crash_anywhere_in_a_change_leaves_it_with_its_event_or_neither():
    for nth in range(1, MANY):
        project = make_project(status="ANALYZING")
        endpoint = make_endpoint(project.org)
        error = ("timed_out", "It took long.")
        crashed = crash_at(nth, partial(lifecycle.fail, project, error=error, actor="a"))
        project.refresh_from_db()
        written = [
            Event.objects.filter(object_id=project.pk).count(),
            Delivery.objects.filter(endpoint=endpoint).count(),
            tasks_of(endpoint),
        ]
        assert (project.status, written) in (
            ("ANALYZING", [0, 0, 0]),
            ("FAILED", [1, 1, 1]),
        ), f"after statement {nth}"
        if not crashed:
            assert (project.status, nth > 6) == ("FAILED", True)
            return
    raise AssertionError(f"not at its end after {MANY} statements")


def test_a_crash_anywhere_in_sending_loses_nothing_and_repeats_it_under_the_same_id(
    receiver: Receiver,
):
    org = make_organization()
    for nth in range(1, MANY):
        path = f"/{nth}"
        endpoint = make_endpoint(org, receiver.url(path), event_types=["project.ready"])
        project = make_project(org, status="UPLOADED")
        first, second = happen(org, "project.ready", "project.ready", project=project)
        act = partial(async_to_sync(sending.send_due), endpoint.pk, Outbound(seconds=60))
        crashed = crash_at(nth, act)
        # The lease ends, and the sweep finds what was left.
        Endpoint.objects.filter(pk=endpoint.pk).update(lease_expires_at=timezone.now())
        send(endpoint)
        ids = [each.headers["webhook-id"] for each in receiver.at(path)]
        assert list(dict.fromkeys(ids)) == [str(first.pk), str(second.pk)], f"after statement {nth}"
        assert len(ids) <= 3, f"after statement {nth}"
        states = Delivery.objects.filter(endpoint=endpoint).values_list("status", "tries")
        assert list(states) == [("DELIVERED", 1)] * 2, f"after statement {nth}"
        assert Attempt.objects.filter(delivery__endpoint=endpoint).count() == 2
        endpoint.delete()
        if not crashed:
            assert (nth > 10, ids) == (True, [str(first.pk), str(second.pk)])
            return
    raise AssertionError(f"not at its end after {MANY} statements")


def test_nothing_of_it_needs_redis(receiver: Receiver, settings: Any):
    project = make_project(status="ANALYZING")
    endpoint = make_endpoint(project.org, receiver.url())
    with redis_server() as redis:
        cache = {**settings.CACHES["default"], "LOCATION": redis.url}
        settings.CACHES = {**settings.CACHES, "default": cache}
        redis.kill()
        assert not answers(default_cache().redis)
        assert lifecycle.fail(project, error=("timed_out", "It took long."), actor="a")
        assert tasks_of(endpoint) == 1
        send(endpoint)
    assert [each["type"] for each in bodies(receiver.received)] == ["project.failed"]
