"""Refusals of jobs."""

from __future__ import annotations

from clipforge.common.errors import RateLimited


class TooManyAtOnce(RateLimited):
    """So many jobs wait or run that no more may be added."""

    code, title = "concurrent_jobs", "Too many jobs at once"

    def __init__(self, *, running: int, quota: int) -> None:
        super().__init__(
            f"{running} jobs of this organization wait or run, and its limit is {quota} at a time. "
            "Ask again when one has finished.",
            retry_after=10,
            limit="concurrent_jobs",
            quota=quota,
            running=running,
        )
