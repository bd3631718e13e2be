"""The ledger as a person would keep it: a list of lots and what each piece of work drew from which.

No database, no concurrency, no cleverness. `test_model` holds the real one against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from credits.selectors import Balance
from credits.services import PRIORITIES

# When a lot ends: the day, and which of that day. Day 0 is over.
Ends = tuple[float, int]
OVER, REFUND_DAYS, NEVER = 0.0, 30.0, (float("inf"), 0)


@dataclass
class Lot:
    number: int
    priority: int
    ends: Ends
    remaining: int
    held: int = 0

    @property
    def order(self) -> tuple[int, Ends, int]:
        return self.priority, self.ends, self.number

    @property
    def has_ended(self) -> bool:
        return self.ends[0] == OVER

    def end_what_is_free(self) -> None:
        if self.has_ended:
            self.remaining = self.held


@dataclass
class Part:
    lot: Lot
    amount: int
    captured: int = 0
    refunded: int = 0


@dataclass
class Work:
    """One hold and what it drew."""

    parts: list[Part]
    status: str = "HELD"
    fence: int = 0

    @property
    def amount(self) -> int:
        return sum(part.amount for part in self.parts)

    @property
    def refundable(self) -> int:
        return sum(part.captured - part.refunded for part in self.parts)


@dataclass
class Books:
    lots: list[Lot] = field(default_factory=list)
    moments: int = 0

    @property
    def balance(self) -> Balance:
        posted = sum(lot.remaining for lot in self.lots)
        held = sum(lot.held for lot in self.lots)
        return Balance(posted - held, held, posted)

    @property
    def spendable(self) -> int:
        return sum(lot.remaining - lot.held for lot in self.lots if not lot.has_ended)

    def add(self, amount: int, priority: int, days: float | None = None) -> None:
        ends = NEVER if days is None else self._on(days)
        self.lots.append(Lot(len(self.lots), priority, ends, amount))

    def draw(self, amount: int) -> list[Part]:
        """Which lots it comes from. The caller has seen that there is enough."""
        parts = []
        for lot in sorted(self.lots, key=lambda each: each.order):
            free = 0 if lot.has_ended else lot.remaining - lot.held
            if part := min(free, amount):
                parts.append(Part(lot, part))
                amount -= part
        assert amount == 0
        return parts

    def reserve(self, amount: int) -> Work:
        parts = self.draw(amount)
        for part in parts:
            part.lot.held += part.amount
        return Work(parts)

    def settle(self, work: Work, amount: int, status: str) -> None:
        """Spend `amount`, the first drawn first, and give back the rest."""
        work.status = status
        for part in sorted(work.parts, key=lambda each: each.lot.order):
            part.captured = min(amount, part.amount)
            amount -= part.captured
            part.lot.held -= part.amount
            part.lot.remaining -= part.captured
        for part in work.parts:
            part.lot.end_what_is_free()

    def refund(self, work: Work, amount: int) -> None:
        """Give back, the last drawn first; what belongs to a lot that is over becomes a new one."""
        for part in sorted(work.parts, key=lambda each: each.lot.order, reverse=True):
            back = min(amount, part.captured - part.refunded)
            part.refunded += back
            amount -= back
            if back and part.lot.has_ended:
                self.add(back, part.lot.priority, REFUND_DAYS)
            else:
                part.lot.remaining += back

    def adjust(self, amount: int) -> None:
        if amount > 0:
            self.add(amount, PRIORITIES["ADJUST"])  # type: ignore[index] # a str enum
        else:
            for part in self.draw(-amount):
                part.lot.remaining -= part.amount

    def end(self, lot: Lot) -> None:
        lot.ends = self._on(OVER)

    def expire(self) -> None:
        for lot in self.lots:
            lot.end_what_is_free()

    def _on(self, day: float) -> Ends:
        self.moments += 1
        return day, self.moments
