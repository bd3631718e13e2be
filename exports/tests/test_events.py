"""Customers are told of a file before it is deleted, once."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from django.utils import timezone

from clipforge.devtools.testing.clocks import around
from clipforge.devtools.testing.factories import make_client, make_export, make_project
from clipforge.devtools.testing.races import run_together
from clipforge.events.models import Event
from clipforge.jobs import retention
from exports import tasks
from exports.api.events import NO_LINK
from exports.jobs import RENDER
from exports.models import Export

pytestmark = pytest.mark.django_db

HOUR = datetime.timedelta(hours=1)


def make(at: datetime.datetime, *, status: str = "READY", **overrides: Any) -> Export:
    """An export whose file is deleted at that time."""
    export = make_export(status=status, **overrides)
    Export.objects.filter(pk=export.pk).update(expires_at=at)
    return export


def told() -> list[tuple[Any, int]]:
    rows = Event.objects.filter(type="export.expiring").order_by("pk")
    return list(rows.values_list("object_id", "sequence"))


def test_an_export_is_told_of_once_within_the_day_before_its_file_is_deleted():
    soon = make(timezone.now() + 23 * HOUR)
    make(timezone.now() + 25 * HOUR)
    make(timezone.now() - HOUR)
    make(timezone.now() + HOUR, status="EXPIRED")
    for _ in range(3):
        tasks.tell_of_expiring(0)
    assert told() == [(soon.pk, 2)]
    body = json.loads(Event.objects.get(type="export.expiring").body)
    shown = make_client(soon.org).get(f"/api/v1/exports/{soon.pk}").json()
    assert body["data"] == shown | NO_LINK


def test_a_run_tells_of_all_however_many_a_batch_has(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    project, at = make_project(), timezone.now() + HOUR
    made = [make(at, project=project).pk for _ in range(5)]
    tasks.tell_of_expiring(0)
    assert sorted(pk for pk, _ in told()) == sorted(made)


def test_a_file_expires_from_a_day_before_its_end_until_its_end():
    edge = timezone.now() + datetime.timedelta(days=50)
    export = make(edge)
    count = lambda: retention.ending(RENDER, retention.DAY).count()  # noqa: E731
    assert around(edge - 24 * HOUR, count) == [0, 0, 1]
    assert around(edge, count) == [1, 1, 0]
    assert export.status == Export.Status.READY


@pytest.mark.django_db(transaction=True)
def test_five_workers_at_once_tell_of_it_once():
    export = make(timezone.now() + HOUR)
    assert run_together(5, lambda _: tasks.tell_of_expiring(0)) == [None] * 5
    assert told() == [(export.pk, 2)]
