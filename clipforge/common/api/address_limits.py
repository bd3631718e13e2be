"""Limits by the address of the client, which cost no database work.

django-ratelimit counts, in windows of a minute; `clipforge.common.cache.counters` says where, and what
happens without Redis: the limit stays.
"""

from __future__ import annotations

from django.http import HttpRequest
from django_ratelimit.core import get_usage

from clipforge.common.errors import RateLimited


def limit_by_address(
    request: HttpRequest, *, scope: str, per_minute: int, what: str, increment: bool = True
) -> None:
    """Count the request for its address, or only look. Raises RateLimited over the limit; where it
    only looks, also at the limit.

    `what` names what there were too many of: "requests without a good API key".
    """
    usage = get_usage(request, group=scope, key="ip", rate=f"{per_minute}/m", increment=increment)
    if usage is None or usage["count"] + (not increment) <= usage["limit"]:
        return
    seconds = max(1, usage["time_left"])
    raise RateLimited(
        f"More than {per_minute} {what} came from this address in a minute. "
        f"Wait {seconds} seconds.",
        retry_after=seconds,
        limit=scope,
        quota=per_minute,
        window=60,
    )
