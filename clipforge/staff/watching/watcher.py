"""The process that watches: also over the database, without which no other alarm can be known."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from clipforge.staff.watching import alarms, telling
from clipforge.staff.watching.conditions import LASTING, Condition

logger = logging.getLogger(__name__)

EVERY_SECONDS = 30.0
# How often it says that it lives.
ALIVE_SECONDS = 5.0

# Kept in the memory of this process: there is no other place for it.
DATABASE_AWAY = Condition("database_away", "The database does not answer", LASTING, lambda _: None)


class Watcher:
    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._away_at: float | None = None
        self._away_since = timezone.now()
        self._told = False

    def run(self, stop: threading.Event) -> None:
        """Look again and again until told to stop."""
        looked_at = -EVERY_SECONDS
        while not stop.is_set():
            if self._clock() - looked_at >= EVERY_SECONDS:
                looked_at = self._clock()
                self.look()
                close_old_connections()
            if settings.ALIVE_FILE:
                Path(settings.ALIVE_FILE).touch()
            stop.wait(ALIVE_SECONDS)

    def look(self) -> list[str]:
        """The codes of the conditions that hold. Never raises: what watches over others stays up."""
        try:
            holding = alarms.check()
            self._answered()
        except DatabaseError:
            logger.warning("the database does not answer", exc_info=True)
            self._did_not_answer()
            return [DATABASE_AWAY.code]
        except Exception:
            logger.exception("watching failed")
            return ["watching_failed"]
        return holding

    def _did_not_answer(self) -> None:
        if self._away_at is None:
            self._away_at, self._away_since = self._clock(), timezone.now()
        if not self._told and self._clock() - self._away_at >= LASTING.total_seconds():
            self._told = self._tell(lambda: telling.tell(DATABASE_AWAY, "", since=self._away_since))

    def _answered(self) -> None:
        if self._told:
            self._tell(lambda: telling.tell_over(DATABASE_AWAY, since=self._away_since))
        self._away_at, self._told = None, False

    def _tell(self, tell: Callable[[], None]) -> bool:
        try:
            tell()
        except telling.NobodyTold:
            return False
        return True
