"""The rules of the ledger that a page asks before it asks a service. The service asks them again."""

from __future__ import annotations

import datetime
import uuid
from typing import NamedTuple

from django.utils import timezone

from clipforge.common.errors import Invalid
from credits.errors import InsufficientCredits, TooManyOpenHolds
from credits.models import CreditAccount

# Credits. More in one transaction is a slip of the keyboard, and sums stay far inside a bigint.
MAX_AMOUNT = 10**12
# Characters, as in the columns.
MAX_REASON, MAX_KEY = 500, 255


class Funds(NamedTuple):
    """The figures of an account, from its row and never from a cache. Credits."""

    posted: int
    held: int
    debt: int

    @property
    def available(self) -> int:
        return self.posted - self.held

    def as_facts(self) -> dict[str, int]:
        return {"available": self.available, **self._asdict()}

    def after_grant(self, amount: int) -> Funds:
        """Debts are settled first."""
        settled = min(self.debt, amount)
        return self._replace(posted=self.posted + amount - settled, debt=self.debt - settled)

    def after_adjustment(self, amount: int) -> Funds:
        """Up or down; what is owed stays as it is."""
        return self._replace(posted=self.posted + amount)


def why_not_hold(
    needed: int, *, available: int, open_holds: int, max_open_holds: int | None
) -> InsufficientCredits | TooManyOpenHolds | None:
    """The refusal of a hold of `needed` credits by an account that stands so; None: it can be placed.

    The service asks it in the UPDATE that places the hold (`credits.ledger.place_hold`), and here
    only for what to say; a page that shows what would happen asks it of what it has counted down.
    """
    if needed > available:
        return InsufficientCredits(needed=needed, available=available)
    if max_open_holds is not None and open_holds >= max_open_holds:
        return TooManyOpenHolds(open_holds=open_holds, limit=max_open_holds)
    return None


def funds_of(org_id: uuid.UUID) -> Funds:
    """Zeros for an organization that never had a credit."""
    account = CreditAccount.objects.filter(pk=org_id).first()
    return Funds(account.posted, account.held, account.debt) if account else Funds(0, 0, 0)


def require_grantable(expires_at: datetime.datetime | None) -> None:
    """Raises Invalid for an end that has passed."""
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid("The end of the credits has passed already.")


def require_adjustable(amount: int, now: Funds) -> None:
    """Raises InsufficientCredits when more is to be taken than is available."""
    if amount + now.available < 0:
        raise InsufficientCredits(needed=-amount, available=max(0, now.available))


def require_amount(amount: int) -> None:
    """Raises Invalid unless it is a whole number from 1 to MAX_AMOUNT."""
    if type(amount) is not int or not 1 <= amount <= MAX_AMOUNT:
        raise Invalid(f"The amount must be a whole number of credits from 1 to {MAX_AMOUNT}.")


def require_trace(reason: str, actor: str, idempotency_key: str) -> None:
    """Raises Invalid for a transaction that nothing explains, or that does not fit its columns."""
    if not (reason.strip() and actor and idempotency_key):
        raise Invalid("A credit transaction needs a reason, an actor and an idempotency key.")
    if len(reason) > MAX_REASON or len(idempotency_key) > MAX_KEY:
        raise Invalid(
            f"A reason has at most {MAX_REASON} characters and an idempotency key {MAX_KEY}."
        )
