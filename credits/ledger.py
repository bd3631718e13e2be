"""The primitive operations that `services` and `expiry` consist of. Nothing else calls them.

What moves credits is a function of the database (migration 0009): one round trip each, and the one
place of its rule. Each function is announced here, in the transaction that it ran in.

Each requires a transaction. Locks are taken in the order hold, account, lots. The lock on the
account's row also guards the organization's lots: only statements that begin after it was taken
touch them, and a statement inside a function begins when it is reached. Each of these sees all that
was committed before, and no statement ever waits for a lot. The time is that of the call: what ends
while a call waits for the account is still drawn from.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import F, QuerySet, Sum
from psycopg.types.json import Jsonb

from clipforge.common.models import uuid7
from clipforge.orgs.models import KeySpending
from credits.errors import InsufficientCredits, KeyCapReached, TooManyOpenHolds
from credits.events import credits_changed
from credits.models import (
    CreditAccount,
    CreditGrant,
    CreditHold,
    CreditTransaction,
    HoldAllocation,
    HoldStatus,
    TransactionType,
)
from credits.pricing import Charge
from credits.rules import why_not_hold

Row = tuple[Any, ...]
# Asks a function for these columns, of which `credits_reserve` has these arguments.
Reserve = Callable[[str, list[Any]], Row]
M = TypeVar("M", CreditHold, CreditTransaction)

HOLD_FIELDS = tuple(field.attname for field in CreditHold._meta.concrete_fields)
TRANSACTION_FIELDS = tuple(field.attname for field in CreditTransaction._meta.concrete_fields)
# The ERRCODE of a function for what LedgerBroken says.
BROKEN = "CF001"


def _columns(row: str, fields: tuple[str, ...]) -> str:
    return ", ".join(f"{row}.{name}" for name in fields)


POST = (
    f"SELECT {_columns('made', TRANSACTION_FIELDS)} FROM credits_post("  # noqa: S608 - our own names
    "%s, %s, %s, 0, 0, %s, %s, %s, %s, %s, %s, %s, %s, %s) AS made"
)
TAKE_OUT = (
    f"SELECT {_columns('made', TRANSACTION_FIELDS)} FROM credits_take_out("  # noqa: S608
    "%s, %s, %s, %s, %s, %s, %s, %s) AS made"
)
# What `credits_reserve` returns, and a function that does more besides returns first.
RESERVED = f"outcome, version, available, {_columns('(hold)', HOLD_FIELDS)}"
SETTLE = (
    f"SELECT org, version, held, {_columns('(spend)', TRANSACTION_FIELDS)} FROM credits_settle("  # noqa: S608
    "%s, %s, %s, %s, %s)"
)


class LedgerBroken(RuntimeError):
    """An account does not have what its holds or lots say. `reconcile_credits` shows where."""


# --- the account ----------------------------------------------------------------------


def lock_account(org_id: uuid.UUID) -> None:
    """Lock the account until the transaction ends; create it on first use."""
    CreditAccount.objects.bulk_create([CreditAccount(org_id=org_id)], ignore_conflicts=True)
    CreditAccount.objects.select_for_update(no_key=True).get(pk=org_id)


def post(
    org_id: uuid.UUID,
    type_: TransactionType,
    amount: int,
    *,
    reason: str,
    actor: str,
    idempotency_key: str,
    inputs: dict[str, Any],
    reference_type: str = "",
    reference_id: str = "",
    unit_price: int | None = None,
    price_version: str = "",
    hold: CreditHold | None = None,
) -> CreditTransaction | None:
    """Change `posted` by `amount` and write the ledger row.

    None, and nothing changed, if that would overspend.
    """
    row = _call(
        POST,
        [
            *(org_id, type_, amount, hold.pk if hold else None, reason, reference_type),
            *(reference_id, unit_price, price_version, Jsonb(inputs), actor, idempotency_key),
        ],
    )
    return _announced(row)


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


class Placed(NamedTuple):
    """The `outcome` of placing a hold: placed, repeated, refused, ended or capped, as `credits_reserve` says.

    `hold` is None after the last three; `available` is what the lots had when some had ended, or what
    is left of the cap.
    """

    outcome: str
    hold: CreditHold | None
    available: int | None


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
    by: Reserve | None = None,
) -> Placed:
    """Insert a hold and reserve its amount on the account and its lots. Raises nothing for a refusal."""
    outcome, version, available, *values = (by or _reserve)(
        RESERVED,
        [
            *(uuid7(), org_id, charge.credits, fence, reason, reference_type, reference_id),
            *(charge.unit_price, charge.price_version, Jsonb(charge.inputs), actor),
            *(idempotency_key, settings.HOLD_SECONDS, max_open_holds),
        ],
    )
    if version is not None:
        _announce(org_id, version)
    return Placed(outcome, _made(CreditHold, HOLD_FIELDS, values), available)


class Settled(NamedTuple):
    """A hold that left HELD just now, or not: then `done` is False and nothing changed.

    `held` is its amount, also of one that is open but has less than was to be captured; else None.
    """

    done: bool
    held: int | None
    spend: CreditTransaction | None


def settle_hold(
    hold_id: uuid.UUID, *, status: HoldStatus, captured: int | None, fence: int | None, actor: str
) -> Settled:
    """Take the hold out of HELD, once. `captured` None means all of it, `fence` None any.

    What is not captured goes back to the lots that it came from. Raises LedgerBroken.
    """
    org_id, version, held, *values = _call(SETTLE, [hold_id, status, captured, fence, actor])
    if version is not None:
        _announce(org_id, version)
    return Settled(version is not None, held, _made(CreditTransaction, TRANSACTION_FIELDS, values))


def _reserve(columns: str, arguments: list[Any]) -> Row:
    marks = ", ".join(["%s"] * len(arguments))
    return _call(f"SELECT {columns} FROM credits_reserve({marks})", arguments)  # noqa: S608


def release_hold(hold_id: uuid.UUID, *, status: HoldStatus, fence: int | None, actor: str) -> bool:
    """Give everything back to the lots that it came from.

    False, and nothing changed, when it is settled already or its fence differs.
    """
    return settle_hold(hold_id, status=status, captured=0, fence=fence, actor=actor).done


def release_by(sql: str, params: list[Any]) -> Row:
    """Announce what a function did that releases a hold besides. `org` and `version` come first of its row."""
    org_id, version, *rest = _call(sql, params)
    if version is not None:
        _announce(org_id, version)
    return tuple(rest)


def cap_refusal(org_id: uuid.UUID, needed: int, left: int, actor: str) -> KeyCapReached:
    """The refusal of a hold by the cap of the key that `actor` names."""
    cap, resets_at = _call(
        "SELECT (SELECT monthly_cap FROM orgs_apikey"
        "         WHERE prefix = substr(%s, 5) AND organization_id = %s),"
        "       to_char(credits_month(statement_timestamp()) + interval '1 month',"
        '               \'YYYY-MM-DD"T"HH24:MI:SS"Z"\')',
        [actor, org_id],
    )
    # A cap that was lifted meanwhile is not shown: what it left was.
    return KeyCapReached(
        needed=needed, available=left, cap=left if cap is None else cap, resets_at=resets_at
    )


def give_back_to_key(hold: CreditHold, amount: int) -> None:
    """Count so much less for the keys that reserved it, in its month. Requires the account's lock."""
    if hold.family is not None:
        month = hold.created_at.astimezone(datetime.UTC).date().replace(day=1)
        KeySpending.objects.filter(org=hold.org_id, family=hold.family, month=month).update(
            used=F("used") - amount
        )


# --- lots -----------------------------------------------------------------------------


def take_from_lots(org_id: uuid.UUID, amount: int) -> dict[str, int]:
    """Take the amount out of the lots at once. Returns how much of which.

    Raises InsufficientCredits when the account has enough but the lots do not: some have
    ended and wait for `expire_grants`.
    """
    drawn, lots = _call("SELECT drawn, lots FROM credits_draw(%s, %s, NULL)", [org_id, amount])
    if drawn < amount:
        raise InsufficientCredits(needed=amount, available=drawn)
    taken: dict[str, int] = json.loads(lots)
    return taken


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


def trace_of_lots(lots: Mapping[Any, int]) -> dict[str, Any]:
    """The `inputs` of a ledger row that is no charge: the grants that it touched, with amounts."""
    return {"grants": {str(pk): amount for pk, amount in lots.items()}}


def trace_of_hold(hold: CreditHold) -> dict[str, Any]:
    """The fields that a ledger row copies from the hold that it settles."""
    return {
        "reference_type": hold.reference_type,
        "reference_id": hold.reference_id,
        "unit_price": hold.unit_price,
        "price_version": hold.price_version,
        "inputs": hold.inputs,
    }


def expire_lot(lot: CreditGrant, *, actor: str) -> None:
    """Expire the part of the lot that is not held, after settling out of it the debt about it.

    Requires the account's lock.
    """
    (version,) = _call("SELECT credits_expire_lot(%s, %s)", [lot.pk, actor])
    if version is not None:
        _announce(lot.org_id, version)


def expire_part(lot: CreditGrant, amount: int, *, actor: str, idempotency_key: str) -> None:
    """Expire `amount` of the part of the lot that is not held.

    Requires the account's lock.
    """
    (version,) = _call(
        "SELECT credits_expire_part(%s, %s, %s, %s)", [lot.pk, amount, actor, idempotency_key]
    )
    _announce(lot.org_id, version)


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


def take_out(
    lot: CreditGrant,
    amount: int,
    *,
    reason: str,
    reference_type: str,
    reference_id: str,
    actor: str,
    idempotency_key: str,
) -> None:
    """Take free credits out of one lot, by an ADJUST. Requires the account's lock."""
    row = _call(
        TAKE_OUT,
        [
            *(lot.pk, TransactionType.ADJUST, amount, reason, reference_type, reference_id),
            *(actor, idempotency_key),
        ],
    )
    _announced(row)


def add_debt(org_id: uuid.UUID, amount: int) -> None:
    """Add to the account's debt. Locks the account."""
    (version,) = _call("SELECT credits_owe(%s, %s)", [org_id, amount])
    _announce(org_id, version)


def settle_debt(lot: CreditGrant, *, own: bool, actor: str) -> int:
    """Pay what is owed out of the free part of the lot, the oldest debt first.

    With `own` only the debt about this lot. Returns how many credits. Requires the account's lock.
    """
    settled, version = _call(
        "SELECT settled, version FROM credits_settle_debt(%s, %s, %s)", [lot.pk, own, actor]
    )
    if version is not None:
        _announce(lot.org_id, version)
    return int(settled)


# --- inside ---------------------------------------------------------------------------


def _announce(org_id: uuid.UUID, version: int) -> None:
    """Send `credits_changed`. A receiver that fails is logged and does not undo the change."""
    credits_changed.send_robust(sender=CreditAccount, org_id=org_id, version=version)


def _announced(row: Row) -> CreditTransaction | None:
    """The ledger row that a function made, once it is announced; None where it made none."""
    posted = _made(CreditTransaction, TRANSACTION_FIELDS, row)
    if posted is not None:
        _announce(posted.org_id, posted.org_seq)
    return posted


def _made(model: type[M], fields: tuple[str, ...], values: Sequence[Any]) -> M | None:
    """The object of a row that a function returned; None for a row of NULLs.

    Not through a queryset: building one costs more than the database does.
    """
    row = dict(zip(fields, values, strict=True))
    if row["id"] is None:
        return None
    row["inputs"] = json.loads(row["inputs"])  # Django leaves jsonb to the field
    return model.from_db(connection.alias, list(row), list(row.values()))


def _call(sql: str, params: list[Any]) -> Row:
    """The one row of a call. Raises LedgerBroken where the function says so."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            row: Row = cursor.fetchone()
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) == BROKEN:
            raise LedgerBroken(str(error).partition("\n")[0]) from error
        raise
    return row
