"""Limits by address, for whoever has not shown a good API key.

django-ratelimit counts (`clipforge.common.counters` says where). It is asked before any database
work: guessing keys must cost us less than it costs the guesser.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django_ratelimit.core import get_usage

from clipforge.common.errors import RateLimited


def count_anonymous(request: HttpRequest) -> None:
    """Count a request that came without a good key. Raises RateLimited over the limit."""
    _check(request, increment=True)


def require_few_anonymous(request: HttpRequest) -> None:
    """Raises RateLimited for an address that is over its limit already; counts nothing."""
    _check(request, increment=False)


def _check(request: HttpRequest, *, increment: bool) -> None:
    rate = f"{settings.ANONYMOUS_REQUESTS_PER_MINUTE}/m"
    usage = get_usage(request, group="anonymous", key="ip", rate=rate, increment=increment)
    if usage is None or not usage["should_limit"]:
        return
    seconds = max(1, usage["time_left"])
    raise RateLimited(
        f"More than {settings.ANONYMOUS_REQUESTS_PER_MINUTE} requests a minute came from this "
        f"address without a good API key. Wait {seconds} seconds, and check the key.",
        retry_after=seconds,
        limit="anonymous",
        quota=settings.ANONYMOUS_REQUESTS_PER_MINUTE,
        window=60,
    )
