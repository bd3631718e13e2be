"""The ledger of two years, transaction by transaction, as `credits.services` would have written it."""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from django.conf import settings

from clipforge.devtools.seeding.charges import PRICES, Price
from clipforge.devtools.seeding.draws import (
    SECOND,
    Bools,
    Draw,
    HoldOutcome,
    Ints,
    JobKind,
    Jobs,
    texts_of_ids,
    texts_of_times,
)
from clipforge.devtools.seeding.sales import Occasion, Sale, Sales
from clipforge.devtools.seeding.tables import NULL, Progress, Sink, Table, next_id, set_next_id
from credits.models import (
    CreditAccount,
    CreditGrant,
    CreditHold,
    CreditReversal,
    CreditTransaction,
    GrantKind,
    HoldAllocation,
    TransactionType,
)
from credits.services import PRIORITIES

HOLDS = Table.of(
    CreditHold,
    "id org_id amount captured status fence reason reference_type reference_id unit_price"
    " price_version inputs actor resolved_by idempotency_key created_at expires_at resolved_at",
)
ALLOCATIONS = Table.of(HoldAllocation, "hold_id grant_id amount captured refunded")
TRANSACTIONS = Table.of(
    CreditTransaction,
    "id org_id type amount balance_after org_seq reason reference_type reference_id unit_price"
    " price_version inputs actor hold_id ordered_by idempotency_key created_at",
)
GRANTS = Table.of(
    CreditGrant,
    "id org_id kind amount remaining held priority effective_at expires_at created_at",
)
ACCOUNTS = Table.of(CreditAccount, "org_id posted held open_holds version")
REVERSALS = Table.of(
    CreditReversal,
    "org_id grant_id amount taken owed settled reason reference_type reference_id actor"
    " idempotency_key created_at",
)
TABLES = [HOLDS, ALLOCATIONS, TRANSACTIONS, GRANTS, ACCOUNTS, REVERSALS]

# An organization buys credits for the next so many jobs; every eighth time its plan is renewed
# instead, and what was left of the last lot ends.
JOBS_A_REFILL = 25
REFILLS_A_RENEWAL = 8
# Of all captured jobs, those that were given back; of all jobs, those after which staff gave some.
REFUNDED, ADJUSTED = 0.004, 0.002

# What an organization has in reserve, drawn last: it can always start more work.
RESERVES = {
    "FREE": 1_000,
    "STARTER": 5_000,
    "PRO": 20_000,
    "BUSINESS": 100_000,
    "ENTERPRISE": 1_000_000,
}
RESERVE_PRIORITY = 90
# A part of it more, whose money goes back where staff undo something for the second time.
RETURNED = 0.1

HOLD_STATUSES = ["CAPTURED", "RELEASED", "HELD", "HELD"]  # by HoldOutcome
# Of all holds: nobody has an API key.
ORDERED_BY = "seed"
# Jobs whose times are written as text together.
CHUNK = 50_000


class Extras(NamedTuple):
    """The holds and ledger rows of the jobs, side by side with the jobs."""

    need: Ints  # what the organization's next jobs cost, where credits are bought for them; else -1
    renews: Ints
    refunded: Ints
    adjusted: Ints


class Job(NamedTuple):
    kind: int
    org: int
    outcome: int
    id: str
    hold: str
    seconds: float
    asked: str
    done: str
    hold_ends: str


@dataclass(slots=True)
class Lot:
    id: int
    org: int
    kind: str
    amount: int
    remaining: int
    priority: int
    created: str
    held: int = 0
    expires: str = NULL


@dataclass(slots=True)
class Account:
    lots: list[Lot]  # as they are drawn; the reserve is the last
    posted: int = 0
    held: int = 0
    open_holds: int = 0
    version: int = 0
    first: Sale | None = None  # until a part of it goes back
    adjusted: int = 0


class Books:
    """Takes jobs in the order in which they ended, and writes what they did to the ledger."""

    def __init__(
        self,
        sink: Sink,
        orgs: list[str],
        tiers: list[str],
        plan_ends: str,
        sales: Sales,
        occasions: Iterator[Occasion],
    ) -> None:
        self._sink = sink
        self._sales, self._occasions = sales, occasions
        self._orgs, self._tiers = orgs, tiers
        self._plan_ends = plan_ends
        self._accounts = [Account([]) for _ in orgs]
        self._first_lot = next_id(GRANTS)
        self._lots: list[Lot] = []
        self._row = next_id(TRANSACTIONS)

    def run(self, jobs: Jobs, extras: Extras, progress: Progress) -> None:
        """All jobs, sorted by `done`."""
        for start in range(0, len(jobs), CHUNK):
            progress("ledger", start, len(jobs))
            chunk = slice(start, start + CHUNK)
            parts = zip(*(column[chunk].tolist() for column in extras), strict=True)
            for job, (need, renews, refunded, adjusted) in zip(
                rows_of(jobs.take(chunk)), parts, strict=True
            ):
                if job.kind == JobKind.WELCOME:
                    self._welcome(job, need)
                    continue
                drawn = self._work(job)
                if refunded:
                    self._refund(job, drawn)
                self._allocate(job, drawn, refunded)
                if adjusted:
                    self._adjust(job)
                if renews:
                    self._expire(job)
                if need >= 0:
                    self._refill(job, need, renews)
        progress("ledger", len(jobs), len(jobs))

    def close(self) -> None:
        """Write what is only known at the end: lots and accounts."""
        for lot in self._lots:
            ends = lot.expires
            if lot.kind == GrantKind.PLAN and lot.remaining:
                ends = self._plan_ends
            self._sink.add(
                GRANTS,
                f"{lot.id}\t{self._orgs[lot.org]}\t{lot.kind}\t{lot.amount}\t{lot.remaining}\t"
                f"{lot.held}\t{lot.priority}\t{lot.created}\t{ends}\t{lot.created}",
            )
        for org, account in zip(self._orgs, self._accounts, strict=True):
            if account.version:
                self._sink.add(
                    ACCOUNTS,
                    f"{org}\t{account.posted}\t{account.held}\t{account.open_holds}"
                    f"\t{account.version}",
                )
        self._sales.close()
        self._sink.flush()
        set_next_id(GRANTS, self._first_lot + len(self._lots))
        set_next_id(TRANSACTIONS, self._row)

    # --- what credits do ---

    def _welcome(self, job: Job, need: int) -> None:
        reserve = RESERVES[self._tiers[job.org]]
        amount = reserve + int(reserve * RETURNED) + need
        lot = self._new_lot(job, GrantKind.PURCHASE, amount, RESERVE_PRIORITY)
        sale = self._sales.pack(job.org, amount, next(self._occasions))
        self._bought(job, lot, "Credits for the year", TransactionType.PURCHASE, sale)
        self._accounts[job.org].first = sale

    def _work(self, job: Job) -> list[tuple[Lot, int]]:
        """Hold the price and settle it. Returns what was drawn from which lot."""
        account, price = self._accounts[job.org], PRICES[job.kind]
        amount, inputs = price.credits(job.seconds), price.inputs(job.seconds)
        drawn = draw(account, amount)
        account.version += 1
        self._hold(job, price, amount, inputs)
        if job.outcome >= HoldOutcome.QUEUED:
            account.held += amount
            account.open_holds += 1
            for lot, part in drawn:
                lot.held += part
        elif job.outcome == HoldOutcome.RELEASED:
            account.version += 1
        else:
            for lot, part in drawn:
                lot.remaining -= part
            self._spend(job, price, amount, inputs)
        return drawn

    def _allocate(self, job: Job, drawn: list[tuple[Lot, int]], refunded: int) -> None:
        captured = job.outcome == HoldOutcome.CAPTURED
        for lot, part in drawn:
            spent = part if captured else 0
            back = part if refunded else 0
            self._sink.add(ALLOCATIONS, f"{job.hold}\t{lot.id}\t{part}\t{spent}\t{back}")

    def _refund(self, job: Job, drawn: list[tuple[Lot, int]]) -> None:
        lots = {}
        for lot, part in drawn:
            lot.remaining += part
            lots[lot.id] = part
        price = PRICES[job.kind]
        self._post(
            job,
            TransactionType.REFUND,
            sum(lots.values()),
            "The file could not be opened",
            f"{price.reference_type}\t{job.id}\t{price.unit}\t{price.version}\t{trace(lots)}",
            key=f"refund:{job.hold}",
            hold=job.hold,
            actor="staff:support",
        )

    def _adjust(self, job: Job) -> None:
        """Some credits more, or a part of the first ones back with its money."""
        account = self._accounts[job.org]
        account.adjusted += 1
        if account.first is not None and account.adjusted > 1:
            self._reverse(job, account.lots[-1], account.first)
            account.first = None
            return
        lot = self._new_lot(job, GrantKind.ADJUST, 5)
        self._post(
            job,
            TransactionType.ADJUST,
            5,
            "Goodwill after a complaint",
            f"\t\t{NULL}\t\t{trace({lot.id: 5})}",
            key=f"adjust:{lot.id}",
            actor="staff:support",
        )

    def _reverse(self, job: Job, lot: Lot, sale: Sale) -> None:
        amount = int(RESERVES[self._tiers[job.org]] * RETURNED)
        lot.remaining -= amount
        # As much money as the credits cost, so that they follow it exactly.
        sale.reversed = -(-sale.amount * amount // sale.credits)
        reason, actor = "Money that went back", "staff:finance"
        key, of = f"reverse:{sale.occasion.payment}:1", f"payment\t{sale.occasion.payment}"
        self._post(
            job,
            TransactionType.ADJUST,
            -amount,
            reason,
            f"{of}\t{NULL}\t\t{trace({lot.id: amount})}",
            key=key,
            actor=actor,
        )
        self._sink.add(
            REVERSALS,
            f"{self._orgs[job.org]}\t{lot.id}\t{amount}\t{amount}\t0\t0\t{reason}\t{of}\t{actor}\t"
            f"{key}\t{job.done}",
        )

    def _expire(self, job: Job) -> None:
        """End what is left of the lot that would be drawn last before the reserve."""
        account = self._accounts[job.org]
        lot = next(lot for lot in reversed(account.lots[:-1]) if lot.remaining > lot.held)
        free = lot.remaining - lot.held
        self._post(
            job,
            TransactionType.EXPIRE,
            -free,
            "Unused credits ended",
            f"grant\t{lot.id}\t{NULL}\t\t{trace({lot.id: free})}",
            key=f"expire:{lot.id}:{lot.remaining}",
            actor="system:expiry",
        )
        lot.remaining, lot.expires = lot.held, job.done

    def _refill(self, job: Job, need: int, renews: int) -> None:
        """Buy what the next jobs need, and a little more."""
        free = sum(lot.remaining - lot.held for lot in self._accounts[job.org].lots[:-1])
        amount = max(1, need + need // 10 + 1 - free)
        occasion = next(self._occasions)
        if renews:
            lot = self._new_lot(job, GrantKind.PLAN, amount)
            sale = self._sales.month(job.org, amount, occasion)
            self._bought(job, lot, "Credits of the plan", TransactionType.GRANT, sale)
        else:
            lot = self._new_lot(job, GrantKind.PURCHASE, amount)
            sale = self._sales.pack(job.org, amount, occasion)
            self._bought(job, lot, "Credit pack", TransactionType.PURCHASE, sale)

    # --- rows ---

    def _new_lot(self, job: Job, kind: GrantKind, amount: int, priority: int = 0) -> Lot:
        lot = Lot(
            id=self._first_lot + len(self._lots),
            org=job.org,
            kind=kind.value,
            amount=amount,
            remaining=amount,
            priority=priority or PRIORITIES[kind],
            created=job.done,
        )
        self._lots.append(lot)
        bisect.insort(self._accounts[job.org].lots, lot, key=lambda other: other.priority)
        return lot

    def _bought(self, job: Job, lot: Lot, reason: str, type_: TransactionType, sale: Sale) -> None:
        inputs = trace({lot.id: lot.amount})
        self._post(
            job,
            type_,
            lot.amount,
            reason,
            f"{sale.reference_type}\t{sale.reference_id}\t{NULL}\t\t{inputs}",
            key=sale.ledger_key,
            actor="system:billing",
        )

    def _spend(self, job: Job, price: Price, amount: int, inputs: str) -> None:
        self._post(
            job,
            TransactionType.SPEND,
            -amount,
            price.reason,
            f"{price.reference_type}\t{job.id}\t{price.unit}\t{price.version}\t{inputs}",
            key=f"capture:{job.hold}",
            hold=job.hold,
            actor="system:worker",
        )

    def _post(
        self,
        job: Job,
        type_: TransactionType,
        amount: int,
        reason: str,
        made_of: str,
        *,
        key: str,
        actor: str,
        hold: str = NULL,
    ) -> None:
        """Move the account and write the row. `made_of` are five columns: reference and trace."""
        account = self._accounts[job.org]
        account.posted += amount
        account.version += 1
        self._sink.add(
            TRANSACTIONS,
            f"{self._row}\t{self._orgs[job.org]}\t{type_.value}\t{amount}\t{account.posted}\t"
            f"{account.version}\t{reason}\t{made_of}\t{actor}\t{hold}\t"
            f"{'' if hold == NULL else ORDERED_BY}\t{key}\t{job.done}",
        )
        self._row += 1

    def _hold(self, job: Job, price: Price, amount: int, inputs: str) -> None:
        captured = amount if job.outcome == HoldOutcome.CAPTURED else 0
        by, at = ("", NULL) if job.outcome >= HoldOutcome.QUEUED else ("system:worker", job.done)
        fence = 0 if job.outcome == HoldOutcome.QUEUED else 1
        self._sink.add(
            HOLDS,
            f"{job.hold}\t{self._orgs[job.org]}\t{amount}\t{captured}\t"
            f"{HOLD_STATUSES[job.outcome]}\t{fence}\t{price.reason}\t{price.reference_type}\t"
            f"{job.id}\t{price.unit}\t{price.version}\t{inputs}\t{ORDERED_BY}\t{by}\t"
            f"{price.reference_type}:{job.id}:0\t{job.asked}\t{job.hold_ends}\t{at}",
        )


def extras_of(jobs: Jobs, draw: Draw, prices: Ints, *, more: int = 0) -> Extras:
    """When organizations buy credits, and what staff undo. `more` adjustments than usual."""
    work = jobs.kind != JobKind.WELCOME
    need, renews = _refills(jobs, prices, work)
    captured = np.flatnonzero(work & (jobs.outcome == HoldOutcome.CAPTURED))
    settled = np.flatnonzero(work & (jobs.outcome < HoldOutcome.QUEUED))
    refunded, adjusted = np.zeros(len(jobs), np.int64), np.zeros(len(jobs), np.int64)
    refunded[draw.rng.choice(captured, refunds_of(len(captured)), replace=False)] = 1
    adjusted[draw.rng.choice(settled, adjustments_of(len(settled)) + more, replace=False)] = 1
    return Extras(need, renews, refunded, adjusted)


def rows_written(orgs: int, org: Ints, outcome: Ints) -> int:
    """How many ledger rows these jobs make, with all that follows them."""
    jobs = np.bincount(org, minlength=orgs)
    refills = jobs // JOBS_A_REFILL
    captured = int((outcome == HoldOutcome.CAPTURED).sum())
    settled = int((outcome < HoldOutcome.QUEUED).sum())
    rows = orgs + captured + refunds_of(captured) + adjustments_of(settled)
    return rows + int(refills.sum() + (refills // REFILLS_A_RENEWAL).sum())


def refunds_of(captured: int) -> int:
    return int(captured * REFUNDED)


def adjustments_of(settled: int) -> int:
    return int(settled * ADJUSTED)


def trace(lots: dict[int, int]) -> str:
    return json.dumps({"grants": {str(pk): amount for pk, amount in lots.items()}})


def draw(account: Account, amount: int) -> list[tuple[Lot, int]]:
    """Lots to draw the amount from, in their order, and how much from each."""
    lots = account.lots
    while len(lots) > 1 and not lots[0].remaining:
        lots.pop(0)
    drawn = []
    for lot in lots:
        part = min(amount, lot.remaining - lot.held)
        if part:
            drawn.append((lot, part))
            amount -= part
        if not amount:
            return drawn
    raise RuntimeError("an organization was given too few credits")


def rows_of(jobs: Jobs) -> Iterator[Job]:
    hold_ends = jobs.asked + settings.HOLD_SECONDS * SECOND
    return map(
        Job,
        jobs.kind.tolist(),
        jobs.org.tolist(),
        jobs.outcome.tolist(),
        texts_of_ids(jobs.id),
        texts_of_ids(jobs.hold),
        jobs.seconds.tolist(),
        texts_of_times(jobs.asked),
        texts_of_times(jobs.done),
        texts_of_times(hold_ends),
    )


def _refills(jobs: Jobs, prices: Ints, work: Bools) -> tuple[Ints, Ints]:
    """When it comes, and after every JOBS_A_REFILL jobs: what as many that follow cost."""
    need, renews = np.full(len(jobs), -1), np.zeros(len(jobs), np.int64)
    welcomes = np.flatnonzero(~work)
    welcomes = welcomes[np.argsort(jobs.org[welcomes])]
    need[welcomes] = 0
    of_org = np.flatnonzero(work)
    of_org = of_org[np.argsort(jobs.org[of_org], kind="stable")]
    ends = np.cumsum(np.bincount(jobs.org[of_org]))
    total = np.concatenate([[0], np.cumsum(prices[of_org])])
    starts = np.concatenate([[0], ends[:-1]])
    # Organizations at the end of the list may have done nothing at all.
    for welcome, start, end in zip(welcomes.tolist(), starts.tolist(), ends.tolist(), strict=False):
        need[welcome] = total[min(start + JOBS_A_REFILL, end)] - total[start]
        bought = np.arange(start + JOBS_A_REFILL, end + 1, JOBS_A_REFILL)
        last = of_org[bought - 1]
        need[last] = total[np.minimum(bought + JOBS_A_REFILL, end)] - total[bought]
        renews[last[REFILLS_A_RENEWAL - 1 :: REFILLS_A_RENEWAL]] = 1
    return need, renews
