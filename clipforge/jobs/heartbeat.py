"""The life signs of a job that a worker has in hand."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections

from clipforge.common.shutdown import stopping
from clipforge.jobs.lifecycle import beat
from clipforge.jobs.models import Job

logger = logging.getLogger(__name__)


class Heartbeat:
    """The life signs of one claimed job while it is run: the `RunControl` of a worker.

    `note` takes progress, `must_stop` is asked at least twice a second: it beats when a third
    of the lease is over, or sooner when there is a new stage or progress to show, and says True once the job
    is no longer ours or this worker has to stop.
    """

    PROGRESS_SECONDS = 1.0

    def __init__(self, job: Job, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.job = job
        self.lost = False
        self._clock = clock
        self._shown = self._seen = ("", 0.0)
        self._beaten_at = clock()

    def note(self, stage: str, progress: float) -> None:
        self._seen = (stage, progress)

    def must_stop(self) -> bool:
        elapsed = self._clock() - self._beaten_at
        new_stage = self._seen[0] != self._shown[0]
        progress = self._seen != self._shown and elapsed >= self.PROGRESS_SECONDS
        if new_stage or progress or elapsed >= settings.WORK_LEASE_SECONDS / 3:
            self._beat(elapsed)
        return self.lost or stopping.is_set()

    def _beat(self, elapsed: float) -> None:
        stage, progress = self._seen
        try:
            self.lost = not beat(self.job, stage=stage, progress=progress)
        except (DatabaseError, InterfaceError):
            # A restart of the database is no reason to throw a result away while the lease lasts.
            logger.warning("heartbeat failed", exc_info=True)
            close_old_connections()
            self.lost = elapsed >= settings.WORK_LEASE_SECONDS
        else:
            self._shown, self._beaten_at = self._seen, self._clock()
