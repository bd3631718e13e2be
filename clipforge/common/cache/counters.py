"""The cache that django-ratelimit counts in: one round trip a check, and never without a count.

django-ratelimit asks `add` and, when the key was taken, `incr` or `get`. Here `add` counts
already, and the question after it is answered from what that returned. Where Redis cannot be
reached, this process counts for itself: fewer requests are refused than should be, but the
limit stays. That is what "fails closed" means here for the admin's login.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from clipforge.common.cache.backend import Cache
from clipforge.common.cache.log import record
from clipforge.common.cache.redis import RedisError
from clipforge.common.cache.scripts import Script

COUNT = Script(Path(__file__).parent / "lua" / "count.lua")

# Counters that a process keeps while Redis is away. Beyond it the oldest is forgotten.
MOST_LOCAL_COUNTERS = 50_000


class LocalCounters:
    """Counters of one process, each ending by itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, tuple[int, float]] = {}  # key: count, end

    def add(self, key: str, amount: int, seconds: float) -> int:
        """The count after adding. 0 only looks."""
        now = time.monotonic()
        with self._lock:
            count, end = self._counters.get(key, (0, 0.0))
            if end <= now:
                count, end = 0, now + seconds
            if amount:
                if key not in self._counters and len(self._counters) >= MOST_LOCAL_COUNTERS:
                    del self._counters[next(iter(self._counters))]
                self._counters[key] = (count + amount, end)
            return count + amount

    def clear(self) -> None:
        with self._lock:
            self._counters.clear()


local_counters = LocalCounters()


class Counters(Cache):
    """Only `add`, `incr` and `get`, in the order in which django-ratelimit calls them.

    Django keeps an instance a thread, so the count that `add` keeps is of its own caller.
    """

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._counted: dict[str, int] = {}

    def add(self, key: str, value: Any, timeout: Any = None, version: int | None = None) -> bool:
        count = self._count(key, value, timeout)
        if value and count == value:
            return True
        self._counted[key] = count
        return False

    def incr(
        self, key: str, delta: int = 1, version: int | None = None, **kwargs: Any
    ) -> int | None:
        return self._counted.pop(key)

    def get(
        self, key: str, default: Any = None, version: int | None = None, client: Any = None
    ) -> Any:
        return self._counted.pop(key)

    def _count(self, key: str, amount: int, seconds: int) -> int:
        try:
            return int(COUNT.run(self.redis, [key], [amount, seconds]))
        except RedisError:
            record(key, "error")
            return local_counters.add(key, amount, seconds)
