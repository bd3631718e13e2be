"""Registration of a kind of job: from here on workers do it, sweep it and clean up after it."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from procrastinate.contrib.django import app

from clipforge.common import logs, storage
from clipforge.jobs import kinds, running, store_areas, store_markers, sweeping
from clipforge.jobs.kinds import JobKind, Preparation
from clipforge.jobs.retrying import GrowingPauses
from clipforge.jobs.store_areas import Area

logger = logging.getLogger(__name__)

MAINTENANCE = "maintenance"
# Tasks that only wait for other people's servers: coroutines, all of them.
OUTBOUND = "outbound"
EVERY_SWEEP = "* * * * * */15"

# A task that failed comes again, whatever the fault: one that could not even claim its job is
# brought back by nothing else, and to one that had claimed it the fence says no.
RETRY_EVERY_FAULT = GrowingPauses()

# A file of no job that is as old was left by a crash; a younger one may be of a transaction that is
# not committed yet. Seconds.
ORPHAN_SECONDS = 24 * 3600


def register(kind: JobKind[Any]) -> None:
    """Add a kind, with the task that does its jobs, its sweep and the removal of its orphaned files.

    Call it in `AppConfig.ready()`. Raises ValueError for what another kind has already.
    """
    kinds.add(kind)

    def perform(*, fence: int, **arguments: str) -> None:
        pk = arguments[kind.argument]
        logs.start_context(kind=kind.name, job=pk)
        try:
            running.perform(kind, uuid.UUID(pk), fence=fence)
        except Exception:
            logger.exception("a job could not be done", extra={"kind": kind.name, "id": pk})
            raise

    app.task(queue=kind.queue, name=kind.task, retry=RETRY_EVERY_FAULT)(perform)
    if first := kind.preparation:
        _register_preparation(kind, first)
    name = kind.maintenance_name
    _periodic(f"{name}.sweep", f"{name}.sweep", EVERY_SWEEP, partial(sweep_jobs, kind))
    if area := store_areas.area_of(kind):
        _remove_orphans_hourly(name, area)


def register_area(area: Area, *, maintenance: str) -> None:
    """Add files that no kind of job has, with the removal of orphaned ones, as `<maintenance>.remove_orphans`.

    Call it in `AppConfig.ready()`. Raises ValueError for what another area is called already.
    """
    store_areas.add(area)
    _remove_orphans_hourly(maintenance, area)


def _register_preparation(kind: JobKind[Any], first: Preparation) -> None:
    def prepare(*, fence: int, **arguments: str) -> None:
        pk = arguments[kind.argument]
        logs.start_context(kind=kind.name, job=pk)
        try:
            running.prepare(kind, first, uuid.UUID(pk), fence=fence)
        except Exception:
            logger.exception("a job could not be prepared", extra={"kind": kind.name, "id": pk})
            raise

    app.task(queue=first.queue, name=first.task, retry=RETRY_EVERY_FAULT)(prepare)


def unregister(kind: JobKind[Any]) -> None:
    """Undo `register`, for tests: what is queued of the kind is done by no worker from here on."""
    kinds.remove(kind)
    name = kind.maintenance_name
    for task in (*kind.tasks, f"{name}.sweep", f"{name}.remove_orphans"):
        app.tasks.pop(task, None)
        app.periodic_registry.periodic_tasks.pop((task, ""), None)


def _remove_orphans_hourly(name: str, area: Area) -> None:
    hourly = f"{area.orphans_at} * * * *"
    _periodic(f"{name}.remove_orphans", f"{name}.files", hourly, partial(remove_orphans, area))


def _periodic(name: str, lock: str, cron: str, run: Callable[[], None]) -> None:
    """A maintenance task, of which at most one waits: a worker that was away does not find a heap."""

    def maintain(timestamp: int) -> None:  # noqa: ARG001 - procrastinate says when it was due
        run()

    task = app.task(queue=MAINTENANCE, queueing_lock=lock, name=name)(maintain)
    app.periodic(cron=cron)(task)


def sweep_jobs(kind: JobKind[Any]) -> None:
    """Take the jobs of a kind from workers that stopped."""
    requeued, failed = sweeping.sweep(kind.model)
    if requeued or failed:
        logger.warning(
            "swept jobs", extra={"kind": kind.name, "requeued": requeued, "failed": failed}
        )


def remove_orphans(area: Area) -> None:
    """Remove the files of rows that do not exist, unless the store is another database's."""
    if not store_markers.is_known():
        return
    removed = storage.remove_orphans(
        area.name,
        exists=lambda ids: area.model._default_manager.filter(pk__in=ids).values_list(
            "pk", flat=True
        ),
        older_than_seconds=ORPHAN_SECONDS,
        now=time.time(),
    )
    if removed:
        logger.warning("removed orphaned files", extra={"area": area.name, "removed": removed})
