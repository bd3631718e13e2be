"""Counters of what this service does, summed over all its processes.

A process counts in memory and adds what it counted to Redis after a request, once a second at
the most: counting costs no request a round trip. What was counted while Redis was away is added
later; what a killed process had not added yet is lost. Counters are kept by the hour, for two
days.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from django.core.cache import caches

from clipforge.common import telemetry
from clipforge.common.cache.redis import RedisError

# Seconds between two additions of one process.
FLUSH_SECONDS = 1.0
HOUR = 3600
KEEP_HOURS = 48


class Metrics:
    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counted: Counter[str] = Counter()
        # What Redis did not take. It was recorded already.
        self._unsent: Counter[str] = Counter()
        self._flushed_at = 0.0

    def count(self, name: str, amount: int = 1) -> None:
        with self._lock:
            self._counted[name] += amount

    def count_each(self, names: Iterable[str]) -> None:
        """As `count` for each of them, in one step."""
        with self._lock:
            for name in names:
                self._counted[name] += 1

    def flush(self, *, at_once: bool = False) -> None:
        """Add what was counted to the sums. Does nothing within a second of the last time."""
        now = self._clock()
        with self._lock:
            nothing = not self._counted and not self._unsent
            if nothing or (not at_once and now - self._flushed_at < FLUSH_SECONDS):
                return
            counted, self._counted = self._counted, Counter()
            unsent, self._unsent = self._unsent, Counter()
            self._flushed_at = now
        if telemetry.recorder:
            telemetry.recorder.counted(counted)
        unsent.update(counted)
        try:
            self._add(unsent, now)
        except RedisError:  # they are added the next time
            with self._lock:
                self._unsent.update(unsent)

    def after_request(self, **_: Any) -> None:
        """The receiver of `request_finished`, when the client has its answer already."""
        self.flush()

    def pending(self, name: str) -> int:
        """The count of this process that is not in the sums yet."""
        with self._lock:
            return self._counted[name] + self._unsent[name]

    def forget(self) -> None:
        """Drop what was not flushed yet; for tests."""
        with self._lock:
            self._counted.clear()
            self._unsent.clear()

    def totals(self, *, hours: int = KEEP_HOURS) -> Counter[str]:
        """The sums of the last `hours`, the running one included. Raises RedisError."""
        hour = int(self._clock()) // HOUR
        pipeline = _redis().pipeline(transaction=False)
        for number in range(hour - hours + 1, hour + 1):
            pipeline.hgetall(_key(number))
        sums: Counter[str] = Counter()
        for found in pipeline.execute():
            sums.update({name.decode(): int(value) for name, value in found.items()})
        return sums

    def _add(self, counted: Counter[str], now: float) -> None:
        key = _key(int(now) // HOUR)
        pipeline = _redis().pipeline(transaction=False)
        for name, amount in counted.items():
            pipeline.hincrby(key, name, amount)
        pipeline.expire(key, KEEP_HOURS * HOUR)
        pipeline.execute()


def _key(hour: int) -> str:
    return f"metrics:{hour}"


def _redis() -> Any:
    return caches["default"].client.get_client()  # type: ignore[attr-defined]


metrics = Metrics()
