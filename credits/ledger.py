"""The primitive operations that `services` and `expiry` consist of. Nothing else calls them.

Each requires a transaction. Locks are taken in the order hold, account, lots. The lock on the
account's row also guards the organization's lots: only statements that begin after it was taken
touch them. Each of these sees all that was committed before, and since no statement ever waits
for a lot, the order of lots inside one statement cannot deadlock.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import F, QuerySet, Sum
from psycopg.types.json import Jsonb

from clipforge.common.models import uuid7
from credits.errors import InsufficientCredits, TooManyOpenHolds
from credits.events import credits_changed
from credits.models import (
    CreditAccount,
    CreditGrant,
    CreditHold,
    CreditReversal,
    CreditTransaction,
    HoldAllocation,
    HoldStatus,
    TransactionType,
)
from credits.pricing import Charge
from credits.rules import why_not_hold

# The lots to draw `amount` from, and how much from each: by priority, then soonest end
# (NULL, which is never, sorts last), then oldest. `before` is the sum of the lots ahead.
DRAW_LOTS = """
    SELECT id AS grant_id, LEAST(free, %(amount)s - before)::bigint AS amount
      FROM (SELECT id,
                   remaining - held AS free,
                   SUM(remaining - held) OVER draw_order - (remaining - held) AS before
              FROM credits_creditgrant
             WHERE org_id = %(org)s
               AND remaining > 0 AND remaining > held
               AND effective_at <= statement_timestamp()
               AND (expires_at IS NULL OR expires_at > statement_timestamp())
            WINDOW draw_order AS (ORDER BY priority, expires_at, id)) AS lots
     WHERE before < %(amount)s
"""


class LedgerBroken(RuntimeError):
    """An account does not have what its holds or lots say. `reconcile_credits` shows where."""


# --- the account ----------------------------------------------------------------------


def lock_account(org_id: uuid.UUID) -> None:
    """Lock the account until the transaction ends; create it on first use."""
    CreditAccount.objects.bulk_create([CreditAccount(org_id=org_id)], ignore_conflicts=True)
    CreditAccount.objects.select_for_update(no_key=True).get(pk=org_id)


def move(org_id: uuid.UUID, *, posted: int = 0, held: int, open_holds: int) -> CreditAccount | None:
    """Add to the sums and lock the account. None, and nothing changed, if that would overspend."""
    accounts = CreditAccount.objects.raw(
        """
        UPDATE credits_creditaccount
           SET posted = posted + %(posted)s, held = held + %(held)s,
               open_holds = open_holds + %(open_holds)s, version = version + 1
         WHERE org_id = %(org)s AND posted + %(posted)s >= held + %(held)s
        RETURNING *
        """,
        {"org": org_id, "posted": posted, "held": held, "open_holds": open_holds},
    )
    account = next(iter(accounts), None)
    if account is not None:
        _announce(org_id, account.version)
    return account


def post(
    org_id: uuid.UUID,
    type_: TransactionType,
    amount: int,
    *,
    held: int = 0,
    open_holds: int = 0,
    **fields: Any,
) -> CreditTransaction | None:
    """Change `posted` by `amount` and `held` by `held`, and write the ledger row.

    None, and nothing changed, if that would overspend.
    """
    account = move(org_id, posted=amount, held=held, open_holds=open_holds)
    if account is None:
        return None
    return CreditTransaction.objects.create(
        org_id=org_id,
        type=type_,
        amount=amount,
        balance_after=account.posted,
        org_seq=account.version,
        **fields,
    )


def refusal(
    org_id: uuid.UUID, needed: int, *, max_open_holds: int | None = None
) -> InsufficientCredits | TooManyOpenHolds:
    """The refusal of a hold: `needed` is not available, or `max_open_holds` are open."""
    account = CreditAccount.objects.filter(pk=org_id).first()
    if account is None:
        return InsufficientCredits(needed=needed, available=0)
    stands = {"available": account.available, "open_holds": account.open_holds}
    if refused := why_not_hold(needed, **stands, max_open_holds=max_open_holds):
        return refused
    # What changed since the refusal is not shown: neither "4 are open of at most 5" nor "needs 5
    # and 9 are available" is a reason.
    if max_open_holds is not None:
        return TooManyOpenHolds(open_holds=max_open_holds, limit=max_open_holds)
    return InsufficientCredits(needed=needed, available=needed - 1)


# --- holds ----------------------------------------------------------------------------


def place_hold(
    *,
    org_id: uuid.UUID,
    charge: Charge,
    reason: str,
    reference_type: str,
    reference_id: str,
    idempotency_key: str,
    actor: str,
    fence: int,
    max_open_holds: int | None,
) -> CreditHold | None:
    """Insert a hold and reserve its amount on the account, in one statement.

    None when the key was used before: then nothing changed. Raises InsufficientCredits, or
    TooManyOpenHolds where the organization has `max_open_holds` already; then the caller's
    savepoint has to roll the hold back. A second caller with the same key waits
    in the INSERT until the first has committed.
    """
    placed = CreditHold.objects.raw(
        """
        WITH placed AS (
            INSERT INTO credits_credithold
                   (id, org_id, amount, fence, reason, reference_type, reference_id, unit_price,
                    price_version, inputs, actor, idempotency_key, expires_at)
            VALUES (%(id)s, %(org)s, %(amount)s, %(fence)s, %(reason)s, %(reference_type)s,
                    %(reference_id)s, %(unit_price)s, %(price_version)s, %(inputs)s, %(actor)s,
                    %(key)s, statement_timestamp() + make_interval(secs => %(seconds)s))
            ON CONFLICT (org_id, idempotency_key) DO NOTHING
            RETURNING *
        ), reserved AS (
            UPDATE credits_creditaccount AS account
               SET held = account.held + placed.amount, open_holds = account.open_holds + 1,
                   version = account.version + 1
              FROM placed
             WHERE account.org_id = placed.org_id
               AND account.posted - account.held >= placed.amount
               AND (%(max_open_holds)s::int IS NULL OR account.open_holds < %(max_open_holds)s::int)
            RETURNING account.version
        )
        SELECT placed.*, reserved.version AS account_version
          FROM placed LEFT JOIN reserved ON true
        """,
        {
            "id": uuid7(),
            "org": org_id,
            "amount": charge.credits,
            "fence": fence,
            "reason": reason,
            "reference_type": reference_type,
            "reference_id": reference_id,
            "unit_price": charge.unit_price,
            "price_version": charge.price_version,
            "inputs": Jsonb(charge.inputs),
            "actor": actor,
            "key": idempotency_key,
            "seconds": settings.HOLD_SECONDS,
            "max_open_holds": max_open_holds,
        },
    )
    hold = next(iter(placed), None)
    if hold is None:
        return None
    version = vars(hold).pop("account_version")
    if version is None:
        raise refusal(org_id, charge.credits, max_open_holds=max_open_holds)
    _announce(org_id, version)
    return hold


def close_hold(
    hold_id: uuid.UUID, *, status: HoldStatus, captured: int | None, fence: int | None, actor: str
) -> CreditHold | None:
    """Take the hold out of HELD, once. `captured` None means all of it, `fence` None any.

    None, and nothing changed, when it is closed already, the fence differs, or less is held than captured.
    """
    closed = CreditHold.objects.raw(
        """
        UPDATE credits_credithold
           SET status = %(status)s, captured = COALESCE(%(captured)s, amount),
               resolved_by = %(actor)s, resolved_at = statement_timestamp()
         WHERE id = %(id)s AND status = 'HELD'
           AND fence = COALESCE(%(fence)s, fence)
           AND amount >= COALESCE(%(captured)s, amount)
        RETURNING *
        """,
        {"id": hold_id, "status": status, "captured": captured, "fence": fence, "actor": actor},
    )
    return next(iter(closed), None)


def release_hold(hold_id: uuid.UUID, *, status: HoldStatus, fence: int | None, actor: str) -> bool:
    """Give everything back to the lots that it came from.

    False when it cannot be closed, as above.
    """
    hold = close_hold(hold_id, status=status, captured=0, fence=fence, actor=actor)
    if hold is None:
        return False
    if move(hold.org_id, held=-hold.amount, open_holds=-1) is None:
        raise LedgerBroken(f"hold {hold.pk} cannot be released")
    settle_lots(hold, actor=actor)
    return True


# --- lots -----------------------------------------------------------------------------


def draw_for_hold(hold: CreditHold) -> None:
    """Reserve the hold's amount on the lots, and record how much on which.

    Raises InsufficientCredits when the account has enough but the lots do not: some have
    ended and wait for `expire_grants`.
    """
    drawn = _rows(
        f"""
        WITH drawn AS ({DRAW_LOTS}), reserved AS (
            UPDATE credits_creditgrant AS lot SET held = lot.held + drawn.amount
              FROM drawn WHERE lot.id = drawn.grant_id
        )
        INSERT INTO credits_holdallocation (hold_id, grant_id, amount)
        SELECT %(hold)s, grant_id, amount FROM drawn
        RETURNING amount
        """,  # noqa: S608 - our own text
        {"org": hold.org_id, "amount": hold.amount, "hold": hold.pk},
    )
    _require_all(hold.amount, [amount for (amount,) in drawn])


def take_from_lots(org_id: uuid.UUID, amount: int) -> dict[int, int]:
    """Take the amount out of the lots at once. Returns how much of which. Raises as above."""
    taken = _rows(
        f"""
        WITH drawn AS ({DRAW_LOTS})
        UPDATE credits_creditgrant AS lot SET remaining = lot.remaining - drawn.amount
          FROM drawn WHERE lot.id = drawn.grant_id
        RETURNING drawn.grant_id, drawn.amount
        """,  # noqa: S608 - our own text
        {"org": org_id, "amount": amount},
    )
    _require_all(amount, [part for _, part in taken])
    return dict(taken)


def settle_lots(hold: CreditHold, *, actor: str) -> None:
    """Spend `hold.captured` from its lots, the first drawn first, and give them back the rest.

    Credits that come back to a lot that has ended meanwhile settle the debt about it, or expire.
    """
    settled = _rows(
        """
        WITH parts AS (
            SELECT allocation.id, allocation.grant_id, allocation.amount,
                   LEAST(allocation.amount, GREATEST(0, %(captured)s + allocation.amount
                       - SUM(allocation.amount) OVER draw_order))::bigint AS captured
              FROM credits_holdallocation AS allocation
              JOIN credits_creditgrant AS lot ON lot.id = allocation.grant_id
             WHERE allocation.hold_id = %(hold)s
            WINDOW draw_order AS (ORDER BY lot.priority, lot.expires_at, lot.id)
        ), traced AS (
            UPDATE credits_holdallocation AS allocation SET captured = parts.captured
              FROM parts WHERE allocation.id = parts.id AND parts.captured > 0
        )
        UPDATE credits_creditgrant AS lot
           SET held = lot.held - parts.amount, remaining = lot.remaining - parts.captured
          FROM parts WHERE lot.id = parts.grant_id
        RETURNING lot.id, lot.remaining > lot.held AND lot.expires_at <= statement_timestamp()
        """,
        {"hold": hold.pk, "captured": hold.captured},
    )
    for grant_id, has_ended in settled:
        if has_ended:
            expire_lot(CreditGrant.objects.get(pk=grant_id), actor=actor)


def refund_allocations(hold: CreditHold, amount: int) -> list[tuple[CreditGrant, int]]:
    """Undo the spending of `amount` of a captured hold, the last drawn first.

    Returns the lots and how much each is owed; the caller decides what to do about those that
    have ended. Requires the locks of hold and account.
    """
    owed = []
    for allocation in spent_allocations(hold).reverse():
        part = min(amount, allocation.captured - allocation.refunded)
        if part > 0:
            HoldAllocation.objects.filter(pk=allocation.pk).update(refunded=F("refunded") + part)
            owed.append((allocation.grant, part))
            amount -= part
    return owed


def spent_allocations(hold: CreditHold) -> QuerySet[HoldAllocation]:
    """The allocations of a hold in the order in which they were drawn."""
    return (
        HoldAllocation.objects.filter(hold=hold)
        .select_related("grant")
        .order_by("grant__priority", F("grant__expires_at").asc(nulls_last=True), "grant_id")
    )


def trace_of_lots(lots: dict[int, int]) -> dict[str, Any]:
    """The `inputs` of a ledger row that is no charge: the grants that it touched, with amounts."""
    return {"grants": {str(pk): amount for pk, amount in lots.items()}}


def expire_lot(lot: CreditGrant, *, actor: str) -> None:
    """Expire the part of the lot that is not held, after settling out of it the debt about it.

    Requires the account's lock, taken before `lot` was read.
    """
    lot.remaining -= settle_debt(lot, lot.reversals.all(), actor=actor)
    if lot.remaining > lot.held:
        # A lot may end in parts, as holds come back to it; what remains of it only ever shrinks
        # then.
        key = f"expire:{lot.pk}:{lot.remaining}"
        expire_part(lot, lot.remaining - lot.held, actor=actor, idempotency_key=key)


def expire_part(lot: CreditGrant, amount: int, *, actor: str, idempotency_key: str) -> None:
    """Expire `amount` of the part of the lot that is not held.

    Requires the account's lock, as above.
    """
    lot.remaining -= amount
    CreditGrant.objects.filter(pk=lot.pk).update(remaining=F("remaining") - amount)
    posted = post(
        lot.org_id,
        TransactionType.EXPIRE,
        -amount,
        reason="Unused credits ended",
        reference_type="grant",
        reference_id=str(lot.pk),
        inputs=trace_of_lots({lot.pk: amount}),
        actor=actor,
        idempotency_key=idempotency_key,
    )
    if posted is None:
        raise LedgerBroken(f"grant {lot.pk} cannot expire")


# --- reversals and debt ----------------------------------------------------------------


def parts_to_reverse(lot: CreditGrant, amount: int) -> tuple[int, int]:
    """How much of `amount` can be taken out of the lot now, and how much becomes debt.

    Debt is the part that was spent or is reserved. The part that expired unused is neither, since
    it paid for nothing. Requires the account's lock, taken before `lot` was read.
    """
    taken = min(amount, lot.remaining - lot.held)
    ended = CreditTransaction.objects.filter(
        org=lot.org_id,
        type=TransactionType.EXPIRE,
        reference_type="grant",
        reference_id=str(lot.pk),
    ).aggregate(sum=Sum("amount", default=0))["sum"]
    before = lot.reversals.aggregate(taken=Sum("taken", default=0), owed=Sum("owed", default=0))
    # `ended` is negative: expiry takes away.
    used = lot.amount - lot.remaining + ended - before["taken"]
    return taken, min(amount - taken, used + lot.held - before["owed"])


def take_out(lot: CreditGrant, amount: int, **fields: Any) -> CreditTransaction:
    """Take free credits out of one lot, by an ADJUST. Requires the account's lock."""
    CreditGrant.objects.filter(pk=lot.pk).update(remaining=F("remaining") - amount)
    posted = post(
        lot.org_id,
        TransactionType.ADJUST,
        -amount,
        inputs=trace_of_lots({lot.pk: amount}),
        **fields,
    )
    if posted is None:
        raise LedgerBroken(f"grant {lot.pk} does not have {amount}")
    return posted


def add_debt(org_id: uuid.UUID, amount: int) -> None:
    """Add to the account's debt; a negative amount lowers it. Locks the account."""
    accounts = CreditAccount.objects.raw(
        """
        UPDATE credits_creditaccount
           SET debt = debt + %(amount)s, version = version + 1
         WHERE org_id = %(org)s
        RETURNING *
        """,
        {"org": org_id, "amount": amount},
    )
    _announce(org_id, next(iter(accounts)).version)


def settle_debt(lot: CreditGrant, debts: QuerySet[CreditReversal], *, actor: str) -> int:
    """Pay `debts` out of the free part of the lot, the oldest first. Returns how many credits.

    Requires the account's lock, taken before `lot` was read.
    """
    free = lot.remaining - lot.held
    left = free
    for reversal in debts.filter(owed__gt=F("settled")).order_by("pk"):
        part = min(left, reversal.owed - reversal.settled)
        if part == 0:
            break
        take_out(
            lot,
            part,
            reason=f"Settles what is owed: {reversal.reason}"[:500],
            reference_type="reversal",
            reference_id=str(reversal.pk),
            actor=actor,
            # The settled part of a reversal only ever grows.
            idempotency_key=f"settle:{reversal.pk}:{reversal.settled}",
        )
        CreditReversal.objects.filter(pk=reversal.pk).update(settled=F("settled") + part)
        add_debt(lot.org_id, -part)
        left -= part
    return free - left


# --- inside ---------------------------------------------------------------------------


def _announce(org_id: uuid.UUID, version: int) -> None:
    """Send `credits_changed`. A receiver that fails is logged and does not undo the change."""
    credits_changed.send_robust(sender=CreditAccount, org_id=org_id, version=version)


def _require_all(needed: int, parts: list[int]) -> None:
    if sum(parts) < needed:
        raise InsufficientCredits(needed=needed, available=sum(parts))


def _rows(sql: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
