"""The limits on the requests of an organization: exact sliding windows of a minute.

The requests of any sixty seconds never exceed the limit, at any concurrency, with any number
of processes: the windows are lists in Redis, and each decision is one script on its clock (cost:
`lua/window.lua`). A window does not know its limit, so a new one holds from the next request on.

Where Redis cannot be reached, each process lets its share of the limit through.
"""

from __future__ import annotations

import collections
import math
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

from clipforge.common.cache.kept_pages import PAGE
from clipforge.common.cache.redis import Client
from clipforge.common.cache.scripts import Script
from clipforge.orgs.models import Organization, TierLimits

SECONDS = 60

LUA = Path(__file__).parent / "lua"
CHARGE = Script(LUA / "clock.lua", LUA / "window.lua", LUA / "charge.lua")
ADMIT = Script(LUA / "clock.lua", LUA / "window.lua", PAGE, LUA / "admit.lua")

# Scope to the field of TierLimits that has its limit. Every request is in the first.
SCOPES = {
    "api": "requests_per_minute",
    "uploads": "uploads_per_minute",
    "exports": "exports_per_minute",
}

# The cost of a request in each window: scope to whole number.
Costs = Mapping[str, int]

# Organizations that a process counts for while Redis is away. Beyond it the oldest is forgotten.
MOST_LOCAL_WINDOWS = 20_000


class WindowResult(NamedTuple):
    """The result of one window for one request."""

    scope: str
    passed: bool
    limit: int
    remaining: int
    retry_ms: int  # until the same cost fits; 0 if it did, -1 for never
    reset_ms: int  # until the oldest entry leaves; 0 for an empty window


def limit_of(scope: str, organization: Organization, limits: TierLimits) -> int:
    """Requests a minute. The organization's own number wins over its tier's."""
    if scope == "api" and organization.rate_limit_override is not None:
        return organization.rate_limit_override
    limit: int = getattr(limits, SCOPES[scope])
    return limit


def window_key(organization_id: uuid.UUID | str, scope: str) -> str:
    return f"limit:{organization_id}:{scope}"


def charge(
    redis: Client, organization: Organization, limits: TierLimits, costs: Costs
) -> list[WindowResult]:
    """Let the request through if it fits every window, and count it; else count it nowhere.

    Raises RedisError.
    """
    scopes = list(costs)
    args = [n for scope in scopes for n in (limit_of(scope, organization, limits), costs[scope])]
    _, *found = CHARGE.run(redis, [window_key(organization.pk, scope) for scope in scopes], args)
    return window_results(scopes, found)


def window_results(scopes: Sequence[str], found: Sequence[Sequence[int]]) -> list[WindowResult]:
    """The numbers that `charge` in the script returned, by name."""
    return [
        WindowResult(scope, bool(passed), *numbers)
        for scope, (passed, *numbers) in zip(scopes, found, strict=True)
    ]


def used(redis: Client, organization: Organization) -> dict[str, int]:
    """The cost that each window holds now. Charges nothing. Raises RedisError."""
    seconds, microseconds = redis.time()
    begins = seconds * 1000 + microseconds // 1000 - SECONDS * 1000
    pipeline = redis.pipeline(transaction=False)
    for scope in SCOPES:
        pipeline.lrange(window_key(organization.pk, scope), 0, -1)
    return {
        scope: sum(int(time) > begins for time in times)
        for scope, times in zip(SCOPES, pipeline.execute(), strict=True)
    }


def forget(redis: Client, organization: Organization) -> None:
    """Let every window of the organization begin anew. Raises RedisError."""
    redis.delete(*(window_key(organization.pk, scope) for scope in SCOPES))


class LocalWindows:
    """The windows of one process, while Redis is away."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[str, collections.deque[float]] = {}

    def charge(
        self, organization: Organization, limits: TierLimits, costs: Costs
    ) -> list[WindowResult]:
        """As `charge` above, against the share of the limit that is this process's."""
        with self._lock:
            now = self._clock()
            windows = {scope: self._window(organization, scope, now) for scope in costs}
            shares = {
                scope: math.ceil(limit_of(scope, organization, limits) / settings.WEB_PROCESSES)
                for scope in costs
            }
            over = {
                scope: len(windows[scope]) + cost - shares[scope] for scope, cost in costs.items()
            }
            if all(excess <= 0 for excess in over.values()):
                for scope, cost in costs.items():
                    windows[scope].extend([now] * cost)
            return [
                WindowResult(
                    scope,
                    over[scope] <= 0,
                    shares[scope],
                    max(0, shares[scope] - len(window)),
                    _retry_ms(window, over[scope], cost > shares[scope], now),
                    math.ceil((window[0] + SECONDS - now) * 1000) if window else 0,
                )
                for (scope, window), cost in zip(windows.items(), costs.values(), strict=True)
            ]

    def clear(self) -> None:
        with self._lock:
            self._windows.clear()

    def _window(
        self, organization: Organization, scope: str, now: float
    ) -> collections.deque[float]:
        key = window_key(organization.pk, scope)
        if key not in self._windows and len(self._windows) >= MOST_LOCAL_WINDOWS:
            del self._windows[next(iter(self._windows))]
        window = self._windows.setdefault(key, collections.deque())
        while window and window[0] <= now - SECONDS:
            window.popleft()
        return window


def _retry_ms(window: collections.deque[float], over: int, never: bool, now: float) -> int:
    if over <= 0:
        return 0
    return -1 if never else math.ceil((window[over - 1] + SECONDS - now) * 1000)


local_windows = LocalWindows()
