"""Limits for whoever has not shown a good API key.

Asked before any database work: guessing keys must cost us less than it costs the guesser.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from clipforge.common.api.by_address import limit_by_address


def count_anonymous(request: HttpRequest, *, increment: bool = True) -> None:
    """Count a request that came without a good key. Raises RateLimited over the limit."""
    limit_by_address(
        request,
        scope="anonymous",
        per_minute=settings.ANONYMOUS_REQUESTS_PER_MINUTE,
        what="requests without a good API key",
        increment=increment,
    )


def require_few_anonymous(request: HttpRequest) -> None:
    """Raises RateLimited for an address that is over its limit already; counts nothing."""
    count_anonymous(request, increment=False)
