"""Refusals of the ledger that its callers translate into the terms of their own limits."""

from __future__ import annotations

from clipforge.common.errors import RateLimited


class TooManyOpenHolds(RateLimited):
    """The organization has as many open holds as the caller of `reserve` allows."""

    code, title = "too_many_open_holds", "Too many open holds"

    def __init__(self, *, open_holds: int, limit: int) -> None:
        super().__init__(f"{open_holds} holds are open and {limit} are allowed.", retry_after=10)
        self.open_holds = open_holds
        self.limit = limit
