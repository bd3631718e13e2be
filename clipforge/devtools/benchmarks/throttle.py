"""A benchmark of rate limits, their cost and exactness: ours, DRF's, and the `limits` library's.

    python -m clipforge.devtools.benchmarks.throttle [ROUNDS]

Prints microseconds a check while an empty window fills up to its limit, and how many of five times
the limit pass when twenty threads ask at once.
"""

from __future__ import annotations

import functools
import itertools
import sys
import uuid
from collections.abc import Callable
from typing import Any

from clipforge.devtools.benchmarks import measuring
from clipforge.devtools.benchmarks.measuring import say

LIMITS = (50, 1000)
_numbers = itertools.count()

# A check of a new window with that limit.
Maker = Callable[[int], Callable[[], bool]]


def ours(limit: int) -> Callable[[], bool]:
    from clipforge.common.cache.backend import default_cache
    from clipforge.orgs.models import Organization, TierLimits
    from clipforge.orgs.windows import charge

    organization = Organization(pk=uuid.uuid4(), rate_limit_override=limit)
    redis, limits = default_cache().redis, TierLimits()
    return lambda: charge(redis, organization, limits, {"api": 1})[0].passed


def of_drf(limit: int) -> Callable[[], bool]:
    from rest_framework.throttling import SimpleRateThrottle

    key = f"drf:{next(_numbers)}"

    class Throttle(SimpleRateThrottle):
        rate = f"{limit}/min"

        def get_cache_key(self, request: Any, view: Any) -> str:  # noqa: ARG002
            return key

    # A new one for each request, as a view makes it.
    return lambda: bool(Throttle().allow_request(None, None))  # type: ignore[arg-type]


def of_limits(limit: int) -> Callable[[], bool]:
    from limits import RateLimitItemPerMinute

    item, key = RateLimitItemPerMinute(limit), f"limits:{next(_numbers)}"
    return lambda: _moving_window().hit(item, key)


@functools.cache
def _moving_window() -> Any:
    from django.conf import settings
    from limits.storage import RedisStorage
    from limits.strategies import MovingWindowRateLimiter

    from clipforge.common.cache.redis import connect

    # Its own way to connect takes no socket and an older client.
    pool = connect(settings.REDIS_URL).connection_pool
    return MovingWindowRateLimiter(RedisStorage("redis://", connection_pool=pool))


MAKERS: dict[str, Maker] = {"ours": ours, "DRF": of_drf, "limits": of_limits}


def main(rounds: int) -> None:
    with measuring.own_servers():
        for limit in LIMITS:
            costs = measuring.in_turn(
                {name: functools.partial(_cost, make, limit) for name, make in MAKERS.items()},
                rounds,
            )
            for name, cost in costs.items():
                passed = measuring.at_once(MAKERS[name](limit), 5 * limit)
                say(
                    f"limit {limit:4}  {name:6} {cost:6.0f} µs a check ({cost / costs['ours']:.2f} of ours), "
                    f"{passed:5} of {5 * limit} at once passed"
                )


def _cost(make: Maker, limit: int) -> float:
    windows = max(1, 500 // limit)
    checks = [make(limit) for _ in range(windows)]
    return sum(measuring.microseconds(check, limit) for check in checks) / windows


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
