from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, OperationalError

from clipforge.common import telemetry
from clipforge.common.pending_migrations import pending_migrations
from clipforge.jobs import queue, worker
from clipforge.jobs.events import job_ended


class Command(BaseCommand):
    help = (
        "Take analyses and renders from the queue until SIGTERM or Ctrl-C. What is in hand then is "
        "handed back to the queue, at no cost to the customer. Run as many as you like, anywhere."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--concurrency",
            type=int,
            default=max(1, (os.cpu_count() or 1) // 2),
            metavar="N",
            help="videos at once; a render keeps two cores and 450 MB busy (default: cores / 2)",
        )

        parser.add_argument(
            "--check",
            action="store_true",
            help="run none: exit 0 when a worker lives anywhere that shares this database, else 1",
        )

    def handle(self, *, concurrency: int, check: bool, **options: Any) -> None:
        if check:
            self._require_a_worker()
            return
        if concurrency < 1:
            raise CommandError("--concurrency must be at least 1.")
        self._require_tables()
        os.umask(0o077)  # customers' files are readable by this account alone
        if settings.METRICS_BIND:
            telemetry.start_serving(settings.METRICS_BIND)
            job_ended.connect(worker.record_end)
        asyncio.run(worker.run(concurrency=concurrency))

    def _require_tables(self) -> None:
        # A database that is away is waited for.
        with contextlib.suppress(OperationalError):
            if pending_migrations():
                raise CommandError(
                    "The database lacks tables of this release. Run manage.py migrate first."
                )

    def _require_a_worker(self) -> None:
        try:
            found = queue.workers()
        except DatabaseError as error:
            raise CommandError(f"The database cannot be asked: {error}") from error
        if not found.alive:
            seen = f"{found.last_seen:%Y-%m-%d %H:%M:%S} UTC" if found.last_seen else "never"
            raise CommandError(f"No worker lives; one was last seen: {seen}.")
        self.stdout.write(f"Workers alive: {found.processes}.")
