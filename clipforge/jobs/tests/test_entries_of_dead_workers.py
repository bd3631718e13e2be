"""Queue entries that a dead worker had: given back, unless another of the same task waits or will come."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.db import connection
from procrastinate.contrib.django import app

from clipforge.jobs import worker

pytestmark = pytest.mark.django_db(transaction=True)

SEND = "events.send"


def entries() -> list[tuple[str, str]]:
    model: Any = apps.get_model("procrastinate.ProcrastinateJob")
    rows = model.objects.filter(task_name=SEND).order_by("id").values_list("args", "status")
    return [(args["endpoint_id"], status) for args, status in rows]


def defer(name: str, lock: str | None = None) -> None:
    app.configure_task(SEND, queueing_lock=lock).defer(endpoint_id=name)


def taken_by_a_dead_worker() -> None:
    """All that wait are marked as being done by a worker that was last heard of a minute ago."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat)"
            " VALUES (now() - interval '1 minute') RETURNING id"
        )
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s", cursor.fetchone()
        )


def rescue() -> int:
    async def run() -> int:
        of_worker = worker._worker_app()
        async with of_worker.open_async():
            return await worker.rescue(of_worker)

    return async_to_sync(run)()


def test_an_entry_with_a_lock_is_dropped_and_one_without_is_given_back():
    defer("free")
    defer("locked", "a")
    taken_by_a_dead_worker()
    defer("locked", "a")  # the sweep found that nobody does it
    assert rescue() == 2
    assert entries() == [("free", "todo"), ("locked", "todo")]
    assert rescue() == 0
