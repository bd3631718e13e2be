"""Refusals of the ledger."""

from __future__ import annotations

from clipforge.common.errors import DomainError, RateLimited


class InsufficientCredits(DomainError):
    status, code, title = 402, "insufficient_credits", "Not enough credits"

    def __init__(self, *, needed: int, available: int) -> None:
        super().__init__(
            f"This needs {needed} credits and {available} are available. "
            "Buy credits or wait for running work to finish.",
            needed=needed,
            available=available,
        )


class KeyCapReached(DomainError):
    """The key that asks has not so much left of its monthly cap. Credits of the organization do not matter."""

    status, code, title = 402, "key_cap_reached", "Monthly cap reached"

    def __init__(self, *, needed: int, available: int, cap: int, resets_at: str) -> None:
        super().__init__(
            f"This needs {needed} credits, and {available} are left of the {cap} that this key may "
            f"spend in this month. The next begins at {resets_at}.",
            needed=needed,
            available=available,
            cap=cap,
            resets_at=resets_at,
        )


class MaxCreditsExceeded(DomainError):
    """The work costs more than the order allows. Nothing was reserved, and nothing kept."""

    status, code, title = 409, "max_credits_exceeded", "More expensive than allowed"

    def __init__(self, *, needed: int, max_credits: int) -> None:
        super().__init__(
            f"This costs {needed} credits, and the order allows {max_credits}. Nothing was done.",
            needed=needed,
            max_credits=max_credits,
        )


class TooManyOpenHolds(RateLimited):
    """The organization has as many open holds as the caller of `reserve` allows.

    Callers translate it into the terms of their own limit.
    """

    code, title = "too_many_open_holds", "Too many open holds"

    def __init__(self, *, open_holds: int, limit: int) -> None:
        super().__init__(f"{open_holds} holds are open and {limit} are allowed.", retry_after=10)
        self.open_holds = open_holds
        self.limit = limit
