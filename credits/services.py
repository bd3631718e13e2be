"""Every way in which credits move. The one façade of the ledger for other apps.

Each function is atomic and joins the caller's transaction if there is one, so that a hold and
the row that it pays for are written together or not at all. None of them reads a cache. All amounts are whole
credits. An `idempotency_key` is unique within the organization, those of holds apart from the
others: a repetition returns what the first call made and changes nothing; Conflict if it asks
for something else. Raises Invalid for an amount that is no positive whole number, or too large.

`grant`, `refund`, `adjust` and `reverse_grant` leave a row in the audit. With `audit=False` they are
part of an act that leaves its own, as a payment does, or of the month that billing grants by the
clock. To reserve, capture and release is work of machines, whose trail is the ledger itself.

Locks are taken in the order hold, account, lots. Settle at most one hold in a transaction: a
transaction that settles a second one has the account's lock already, and can deadlock with `expire_holds`.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now
from django.db.transaction import Atomic, atomic
from django.utils import timezone

from clipforge.audit.actor import Actor
from clipforge.common.errors import Conflict, DomainError, Invalid
from clipforge.orgs.models import Organization
from credits import ledger
from credits.auditing import write_transaction_entry
from credits.errors import InsufficientCredits
from credits.expiry import expire_grants, expire_holds, settle_returned
from credits.models import (
    CreditGrant,
    CreditHold,
    CreditReversal,
    CreditTransaction,
    GrantKind,
    HoldStatus,
    TransactionType,
)
from credits.pricing import Charge
from credits.rules import (
    funds_of,
    require_adjustable,
    require_amount,
    require_grantable,
    require_trace,
)
from credits.selectors import ENDED_KEY_PREFIX, lot_of

__all__ = [
    "adjust",
    "capture",
    "expire_grants",
    "expire_holds",
    "extend_holds",
    "grant",
    "refund",
    "release",
    "reserve",
    "reverse_grant",
    "settle_returned",
    "transfer_hold",
]

# Gifts go first, then what the plan renews anyway; what was paid for goes last.
PRIORITIES = {
    GrantKind.PROMO: 10,
    GrantKind.PLAN: 20,
    GrantKind.REFUND: 30,
    GrantKind.ADJUST: 40,
    GrantKind.PURCHASE: 50,
}

# A refund of credits whose lot has ended is good for this long: never worthless, never eternal.
REFUND_LIFE = datetime.timedelta(days=30)


def grant(
    *,
    org: Organization,
    amount: int,
    kind: str,
    reason: str,
    actor: Actor,
    idempotency_key: str,
    audit: bool = True,
    expires_at: datetime.datetime | None = None,
    priority: int | None = None,
    ended: int = 0,
    reference_type: str = "",
    reference_id: str = "",
) -> CreditTransaction:
    """Give credits, as a lot of its own; the account is created on first use.

    The ledger row is a PURCHASE for a lot of that kind, else a GRANT. `priority` is the kind's
    unless given; the lowest is drawn first. `ended` of them end at once, unused: they are given
    again, and were over before. What the account owes is settled out of the rest.
    Raises Invalid for an end that has passed.
    """
    require_amount(amount)
    require_trace(reason, by := str(actor), idempotency_key)
    kind = GrantKind(kind)
    is_purchase = kind == GrantKind.PURCHASE
    type_ = TransactionType.PURCHASE if is_purchase else TransactionType.GRANT
    with atomic():
        ledger.lock_account(org.pk)
        if earlier := _earlier(org.pk, idempotency_key, type=type_, amount=amount):
            return earlier
        require_grantable(expires_at)
        before = funds_of(org.pk)
        lot = _new_lot(org.pk, kind, amount, priority=priority, expires_at=expires_at)
        granted = _posted(
            org.pk,
            type_,
            amount,
            reason=reason,
            actor=by,
            idempotency_key=idempotency_key,
            reference_type=reference_type,
            reference_id=reference_id,
            inputs=ledger.trace_of_lots({lot.pk: amount}),
        )
        if ended:
            ledger.expire_part(lot, ended, actor=by, idempotency_key=f"{ENDED_KEY_PREFIX}{lot.pk}")
        if before.debt:
            ledger.settle_debt(lot, own=False, actor=by)
        if audit:
            write_transaction_entry(
                "grant_credits",
                granted,
                org,
                before=before,
                actor=actor,
                kind=kind,
                expires_at=expires_at,
            )
        return granted


def reserve(
    *,
    org: Organization,
    charge: Charge,
    reason: str,
    reference_type: str,
    reference_id: str,
    idempotency_key: str,
    actor: str,
    fence: int = 0,
    max_open_holds: int | None = None,
    by: ledger.Reserve | None = None,
) -> CreditHold:
    """Reserve a price before the work starts, for HOLD_SECONDS.

    `by` reserves and does more in the same statement: it is given the columns and the arguments of
    `credits_reserve`, and returns its row.

    Raises InsufficientCredits, also when lots have ended that `expire_grants` has not swept
    yet, TooManyOpenHolds where the organization has `max_open_holds` already, and KeyCapReached
    where the key that `actor` names has less left of its cap of this month; then nothing changed. A repetition returns the first hold, in the state that it has now.
    """
    require_amount(charge.credits)
    require_trace(reason, actor, idempotency_key)
    with _one_statement():
        placed = ledger.place_hold(
            org_id=org.pk,
            charge=charge,
            reason=reason,
            reference_type=reference_type,
            reference_id=reference_id,
            idempotency_key=idempotency_key,
            actor=actor,
            fence=fence,
            max_open_holds=max_open_holds,
            by=by,
        )
    hold = placed.hold
    if hold is None:
        if placed.outcome == "capped":
            raise ledger.cap_refusal(org.pk, charge.credits, placed.available or 0, actor)
        raise _refusal(placed, org.pk, charge.credits, max_open_holds)
    if placed.outcome == "repeated":
        _require_same(hold, charge.credits, reference_id)
    hold.org = org
    return hold


def transfer_hold(*, hold_id: uuid.UUID, from_fence: int, to_fence: int) -> bool:
    """Give the hold to the attempt `to_fence`, for HOLD_SECONDS from now.

    False, and nothing changed, when it is settled or belongs to another attempt than `from_fence`.
    """
    handed = CreditHold.objects.filter(pk=hold_id, status=HoldStatus.HELD, fence=from_fence)
    return bool(handed.update(fence=to_fence, expires_at=_hold_end()))


def extend_holds(*, hold_ids: Iterable[uuid.UUID]) -> int:
    """Let the holds that are still HELD last HOLD_SECONDS from now. Returns how many they are."""
    alive = CreditHold.objects.filter(pk__in=list(hold_ids), status=HoldStatus.HELD)
    return alive.update(expires_at=_hold_end())


def capture(
    *, hold_id: uuid.UUID, fence: int, actor: str, amount: int | None = None
) -> CreditTransaction | None:
    """Spend what the hold reserved: all of it, or `amount` and give back the rest.

    None, and nothing changed, when it is settled already or belongs to another attempt.
    Raises Invalid for more than is held.
    """
    if amount is not None:
        require_amount(amount)
    with _one_statement():
        settled = ledger.settle_hold(
            hold_id, status=HoldStatus.CAPTURED, captured=amount, fence=fence, actor=actor
        )
    if not settled.done and amount is not None and settled.held is not None:
        raise Invalid(f"{amount} credits cannot be captured: {settled.held} are held.")
    return settled.spend


def release(
    *,
    hold_id: uuid.UUID,
    actor: str,
    fence: int | None = None,
    status: str = HoldStatus.RELEASED,
) -> bool:
    """Give everything that is held back to the lots that it came from. `fence` None: of any attempt.

    `status` is RELEASED or EXPIRED. False, and nothing changed, when the hold is settled already or
    belongs to another attempt.
    """
    status = HoldStatus(status)
    if status not in {HoldStatus.RELEASED, HoldStatus.EXPIRED}:
        raise Invalid(f"A hold cannot be released as {status}.")
    with _one_statement():
        return ledger.release_hold(hold_id, status=status, fence=fence, actor=actor)


def release_by(sql: str, params: list[Any]) -> ledger.Row:
    """Ask a function that releases a hold and does more besides. Returns the rest of its row.

    It returns `org` and `version` first, as `credits_settle` does. Raises LedgerBroken.
    """
    with _one_statement():
        return ledger.release_by(sql, params)


def refund(
    *,
    transaction: CreditTransaction,
    amount: int | None = None,
    reason: str,
    actor: Actor,
    idempotency_key: str,
    audit: bool = True,
) -> CreditTransaction:
    """Give back what a SPEND took, all that is left of it or `amount`, to the lots it came from.

    The last drawn lot is filled first. The part of a lot that has ended becomes a REFUND lot of
    30 days. Raises Conflict for more than was spent and not yet given back.
    """
    if amount is not None:
        require_amount(amount)
    require_trace(reason, by := str(actor), idempotency_key)
    if transaction.type != TransactionType.SPEND or transaction.hold_id is None:
        raise Invalid("Only a SPEND can be refunded.")
    with atomic():
        hold = CreditHold.objects.select_for_update(no_key=True).get(pk=transaction.hold_id)
        ledger.lock_account(hold.org_id)
        same = {"type": TransactionType.REFUND, "hold_id": hold.pk}
        if amount is not None:
            same["amount"] = amount
        if earlier := _earlier(hold.org_id, idempotency_key, **same):
            return earlier
        before = funds_of(hold.org_id)
        amount = _refundable(hold, amount)
        lots = dict(_return_to(lot, part) for lot, part in ledger.refund_allocations(hold, amount))
        refunded = _posted(
            hold.org_id,
            TransactionType.REFUND,
            amount,
            hold=hold,
            reason=reason,
            actor=by,
            idempotency_key=idempotency_key,
            **ledger.trace_of_hold(hold) | {"inputs": ledger.trace_of_lots(lots)},
        )
        ledger.give_back_to_key(hold, amount)
        if audit:
            write_transaction_entry(
                "refund_credits", refunded, hold.org, before=before, actor=actor
            )
        return refunded


def adjust(
    *,
    org: Organization,
    amount: int,
    reason: str,
    actor: Actor,
    idempotency_key: str,
    audit: bool = True,
    reference_type: str = "",
    reference_id: str = "",
) -> CreditTransaction:
    """Correct a balance by hand: up by a lot of its own, down out of the lots in draw order.

    Raises InsufficientCredits when that much is not available.
    """
    require_amount(amount if amount > 0 else -amount)
    require_trace(reason, by := str(actor), idempotency_key)
    with atomic():
        ledger.lock_account(org.pk)
        if earlier := _earlier(org.pk, idempotency_key, type=TransactionType.ADJUST, amount=amount):
            return earlier
        before = funds_of(org.pk)
        require_adjustable(amount, before)
        lots: Mapping[Any, int]
        if amount > 0:
            lots = {_new_lot(org.pk, GrantKind.ADJUST, amount).pk: amount}
        else:
            lots = ledger.take_from_lots(org.pk, -amount)
        adjusted = _posted(
            org.pk,
            TransactionType.ADJUST,
            amount,
            reason=reason,
            actor=by,
            idempotency_key=idempotency_key,
            reference_type=reference_type,
            reference_id=reference_id,
            inputs=ledger.trace_of_lots(lots),
        )
        if audit:
            write_transaction_entry("adjust_credits", adjusted, org, before=before, actor=actor)
        return adjusted


def reverse_grant(
    *,
    transaction: CreditTransaction,
    amount: int,
    reason: str,
    actor: Actor,
    idempotency_key: str,
    audit: bool = True,
    reference_type: str = "",
    reference_id: str = "",
) -> CreditReversal:
    """Undo `amount` of what a grant gave, because its payment went back.

    The unused credits of that lot are taken, by an ADJUST of their own; those that were spent or
    are reserved become a debt that the next grant settles. No other lot is touched, and open holds
    stay open. Raises Invalid unless the transaction is a GRANT or PURCHASE, or for more than it gave.
    """
    require_amount(amount)
    require_trace(reason, by := str(actor), idempotency_key)
    if transaction.type not in {TransactionType.GRANT, TransactionType.PURCHASE}:
        raise Invalid("Only a GRANT or a PURCHASE can be taken back.")
    with atomic():
        ledger.lock_account(transaction.org_id)
        lot = lot_of(transaction)  # read after the account's lock was taken
        earlier = CreditReversal.objects.filter(
            org=transaction.org_id, idempotency_key=idempotency_key
        ).first()
        if earlier is not None:
            if (earlier.grant_id, earlier.amount) != (lot.pk, amount):
                raise _key_reused(idempotency_key)
            return earlier
        gone = sum(lot.reversals.values_list("amount", flat=True))
        if gone + amount > lot.amount:
            raise Invalid(f"Of {lot.amount} credits {gone} were taken back already.")
        before = funds_of(lot.org_id)
        trace = {
            "reason": reason,
            "actor": by,
            "idempotency_key": idempotency_key,
            "reference_type": reference_type,
            "reference_id": reference_id,
        }
        taken, owed = ledger.parts_to_reverse(lot, amount)
        if taken:
            ledger.take_out(lot, taken, **trace)
        if owed:
            ledger.add_debt(lot.org_id, owed)
        reversal = CreditReversal.objects.create(
            org_id=lot.org_id, grant=lot, amount=amount, taken=taken, owed=owed, **trace
        )
        if audit:
            write_transaction_entry("reverse_grant", reversal, lot.org, before=before, actor=actor)
        return reversal


# --- inside ---------------------------------------------------------------------------


def _one_statement() -> Atomic:
    """A transaction around a function of the ledger and the announcement of what it did.

    No savepoint in the caller's: it would cost two round trips, and one statement is whole anyway.
    Raise no refusal inside: it would spoil the caller's transaction.
    """
    return atomic(savepoint=False)


def _posted(
    org_id: uuid.UUID, type_: TransactionType, amount: int, **fields: Any
) -> CreditTransaction:
    """Post a transaction that the locks held by now make certain to fit."""
    posted = ledger.post(org_id, type_, amount, **fields)
    if posted is None:
        raise ledger.LedgerBroken(f"{type_} of {amount} does not fit the account of {org_id}")
    return posted


def _new_lot(
    org_id: uuid.UUID,
    kind: GrantKind,
    amount: int,
    *,
    priority: int | None = None,
    expires_at: datetime.datetime | None = None,
) -> CreditGrant:
    return CreditGrant.objects.create(
        org_id=org_id,
        kind=kind,
        amount=amount,
        remaining=amount,
        priority=PRIORITIES[kind] if priority is None else priority,
        expires_at=expires_at,
    )


def _return_to(lot: CreditGrant, amount: int) -> tuple[int, int]:
    """Put refunded credits where they can be spent. Returns the id of that lot, and the amount."""
    now = timezone.now()
    if lot.expires_at is not None and lot.expires_at <= now:
        end = now + REFUND_LIFE
        lot = _new_lot(lot.org_id, GrantKind.REFUND, amount, priority=lot.priority, expires_at=end)
    else:
        CreditGrant.objects.filter(pk=lot.pk).update(remaining=F("remaining") + amount)
    return lot.pk, amount


def _refundable(hold: CreditHold, amount: int | None) -> int:
    """The amount, or all that was spent of the hold and not given back yet. Needs its lock."""
    left = sum(part.captured - part.refunded for part in hold.allocations.all())
    if left == 0 or (amount is not None and amount > left):
        raise Conflict(
            f"{left} of the {hold.captured} credits spent have not been given back yet.",
            code="already_refunded",
        )
    return left if amount is None else amount


def _earlier(org_id: uuid.UUID, key: str, **same: Any) -> CreditTransaction | None:
    """The transaction that the key made before. Raises Conflict if it differs from `same`."""
    earlier = CreditTransaction.objects.filter(org=org_id, idempotency_key=key).first()
    if earlier and any(getattr(earlier, name) != value for name, value in same.items()):
        raise _key_reused(key)
    return earlier


def _require_same(earlier: CreditHold, amount: int, reference_id: str) -> None:
    """Raise Conflict where the key of a hold is used for another one."""
    if (earlier.amount, earlier.reference_id) != (amount, reference_id):
        raise _key_reused(earlier.idempotency_key)


def _refusal(
    placed: ledger.Placed, org_id: uuid.UUID, needed: int, max_open_holds: int | None
) -> DomainError:
    if placed.available is not None:
        return InsufficientCredits(needed=needed, available=placed.available)
    return ledger.refusal(org_id, needed, max_open_holds=max_open_holds)


def _key_reused(key: str) -> Conflict:
    return Conflict(
        f'The idempotency key "{key}" was used for something else. Choose a new one.',
        code="idempotency_key_reused",
    )


def _hold_end() -> Any:
    return Now() + datetime.timedelta(seconds=settings.HOLD_SECONDS)
