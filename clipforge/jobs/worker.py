"""The worker process: does what is queued until it is asked to stop.

Four procrastinate workers share the process. One does the jobs, of all kinds that are registered, as
many at once as there are slots; one prepares jobs by what mostly waits (imports), and takes no slot for
it; one does the maintenance (sweeps, expiry), so that long jobs never keep the sweeper from running; and
one has coroutines that wait for other people's servers, of which many at once cost next to nothing. A further loop gives the queue entries of dead workers to living
ones; the fence of the row makes a task that runs twice harmless.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone
from procrastinate import App, PsycopgConnector
from procrastinate.contrib.django import DjangoApp
from procrastinate.contrib.django import app as django_app
from procrastinate.contrib.django.utils import connector_params
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import DeleteJobCondition, Status

from clipforge.common import telemetry
from clipforge.common.shutdown import stopping
from clipforge.jobs.kinds import job_queues, preparation_queues
from clipforge.jobs.models import Job
from clipforge.jobs.places import PREPARATIONS_AT_ONCE
from clipforge.jobs.registry import MAINTENANCE, OUTBOUND

logger = logging.getLogger(__name__)

# Asked to stop, a job is handed back within a second; this bounds what is not. Seconds.
GRACE_SECONDS = 20.0
# Coroutines that wait for other people's servers.
OUTBOUND_AT_ONCE = 100
# Of maintenance, and of what else the event loop hands to a thread.
SPARE_THREADS = 4
# How often queue entries of dead workers are looked for. Seconds; procrastinate calls a worker dead after 30.
RESCUE_SECONDS = 10.0
# How long anything waits for a connection from the pool. Without a database nothing can be said to
# it any more, not even goodbye. Seconds.
CONNECTION_SECONDS = 5.0
# How long to wait before connecting again to a database that went away. Seconds.
RECONNECT_SECONDS = 2.0
# How often the worker says that it lives; clipforge/deploy/healthcheck.py waits for 30 seconds.
ALIVE_SECONDS = 5.0


async def run(*, concurrency: int) -> None:
    """Work until SIGTERM or SIGINT; everything in hand is finished or handed back by then.

    A database that goes away is waited for.
    """
    stop = asyncio.Event()
    # A thread for each task that is no coroutine; what there is by default depends on the machine.
    threads = concurrency + PREPARATIONS_AT_ONCE + SPARE_THREADS
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _ask_to_stop, stop)
    async with _life_signs():
        await _work_until(stop, concurrency)


async def _work_until(stop: asyncio.Event, concurrency: int) -> None:
    while not stop.is_set():
        try:
            await _work(concurrency, stop)
        except ConnectorException:
            logger.warning("the database cannot be reached", exc_info=True)
        if not stop.is_set():
            # Maintenance is deferred through Django's connection of this thread, which nothing else closes.
            await sync_to_async(close_old_connections)()
            logger.warning("reconnecting", extra={"seconds": RECONNECT_SECONDS})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RECONNECT_SECONDS)


@contextlib.asynccontextmanager
async def _life_signs() -> AsyncIterator[None]:
    """A file that is touched while the process works or waits for its database, and is gone after it."""
    if not settings.ALIVE_FILE:
        yield
        return
    path = Path(settings.ALIVE_FILE)

    async def touch_forever() -> None:
        while True:
            path.touch()
            await asyncio.sleep(ALIVE_SECONDS)

    touching = asyncio.create_task(touch_forever())
    try:
        yield
    finally:
        touching.cancel()
        path.unlink(missing_ok=True)


def _ask_to_stop(stop: asyncio.Event) -> None:
    stopping.set()  # at once: jobs are handed back also while we reconnect
    stop.set()


async def _work(concurrency: int, stop: asyncio.Event) -> None:
    """One connection's worth of work: ends when asked to stop or when the database goes away."""
    app = _worker_app()
    async with app.open_async():
        workers = [
            asyncio.create_task(_procrastinate_worker(app, job_queues(), concurrency)),
            asyncio.create_task(
                _procrastinate_worker(app, preparation_queues(), PREPARATIONS_AT_ONCE)
            ),
            asyncio.create_task(_procrastinate_worker(app, [MAINTENANCE], 1)),
            asyncio.create_task(_procrastinate_worker(app, [OUTBOUND], OUTBOUND_AT_ONCE)),
            asyncio.create_task(_rescue_forever(app)),
        ]
        stopped = asyncio.create_task(stop.wait())
        logger.info("worker started", extra={"concurrency": concurrency})
        await asyncio.wait({stopped, *workers}, return_when=asyncio.FIRST_COMPLETED)
        for task in (*workers, stopped):
            task.cancel()
        results = await asyncio.gather(*workers, return_exceptions=True)
    for error in results:
        if isinstance(error, Exception):
            logger.error("part of the worker failed", exc_info=error)
    logger.info("worker stopped")


def record_end(job: Job, status: str, **_: Any) -> None:
    """The receiver of `job_ended` in a worker whose metrics are served."""
    if telemetry.recorder and job.started_at and job.status == job.RUNNING:
        seconds = (timezone.now() - job.started_at).total_seconds()
        telemetry.recorder.job(job.REFERENCE_TYPE, status, max(0.0, seconds))


def _worker_app() -> App:
    """An app with the tasks of the Django one and a connection pool of its own.

    The Django app keeps its connector, so that a task which queues another one does it in the
    transaction of its Django connection.
    """
    django_app.perform_import_paths()  # type: ignore[no-untyped-call]
    app = DjangoApp(
        connector=PsycopgConnector(kwargs=connector_params(), timeout=CONNECTION_SECONDS)
    )
    app.tasks = django_app.tasks
    app.periodic_registry = django_app.periodic_registry
    return app


async def _procrastinate_worker(app: App, queues: list[str], concurrency: int) -> None:
    await app.run_worker_async(
        queues=queues,
        name=queues[0],
        concurrency=concurrency,
        install_signal_handlers=False,
        shutdown_graceful_timeout=GRACE_SECONDS,
        delete_jobs=DeleteJobCondition.SUCCESSFUL,
    )


async def _rescue_forever(app: App) -> None:
    while True:
        await rescue(app)
        await asyncio.sleep(RESCUE_SECONDS)


async def rescue(app: App) -> int:
    """Give the queue entries of dead workers back to the queue. Returns how many.

    One with a queueing lock is dropped instead, as of maintenance: it comes again by itself, and a
    second entry of its task that waits would break the lock.
    """
    stalled = list(await app.job_manager.get_stalled_jobs())
    for entry in stalled:
        if entry.queueing_lock is not None:
            await app.job_manager.finish_job(entry, status=Status.FAILED, delete_job=True)
        else:
            await app.job_manager.retry_job(entry)
    if stalled:
        logger.warning("rescued entries of dead workers", extra={"entries": len(stalled)})
    return len(stalled)
