"""Refusals of jobs."""

from __future__ import annotations

from clipforge.common.errors import DomainError, RateLimited
from credits.errors import TooManyOpenHolds


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


def in_terms_of_jobs(refusal: DomainError) -> DomainError:
    """The ledger's refusal of a hold, as a customer reads it: each open job has exactly one hold."""
    if isinstance(refusal, TooManyOpenHolds):
        return TooManyAtOnce(running=refusal.open_holds, quota=refusal.limit)
    return refusal
