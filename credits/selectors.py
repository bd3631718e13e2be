"""Reads of the ledger."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from django.db import models
from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from clipforge.common.models import OrgQuerySet
from clipforge.orgs.models import Organization
from credits import caching
from credits.caching import Balance
from credits.models import (
    USED,
    CreditAccount,
    CreditGrant,
    CreditHold,
    CreditReversal,
    CreditTransaction,
    LedgerCheck,
    TransactionType,
)

__all__ = [
    "ENDED_KEY_PREFIX",
    "Balance",
    "Meaning",
    "ReversedTotals",
    "Statement",
    "account",
    "all_accounts",
    "all_holds",
    "all_transactions",
    "balance",
    "grants_for",
    "holds",
    "latest_ledger_check",
    "lot_of",
    "reversed_totals",
    "reversible",
    "statement",
    "transactions",
    "usage",
]

# The idempotency key of an EXPIRE of credits that had ended before they were granted again: this,
# and the id of the lot.
ENDED_KEY_PREFIX = "ended:"


def balance(org: Organization, *, found: bytes | None = None) -> Balance:
    """The balance of the organization for display; no decision may rest on it.

    From the cache, and never older than the last commit. Zeros for an organization that never had a
    credit. `found` is the cached value, where this request has read it already.
    """
    return caching.balance(org.pk, found=found)


def transactions(org: Organization) -> OrgQuerySet[CreditTransaction]:
    return CreditTransaction.objects.for_org(org)


def all_transactions() -> OrgQuerySet[CreditTransaction]:
    """The ledger of all organizations: for staff."""
    return CreditTransaction.objects.all()


class Meaning(models.TextChoices):
    """The meaning of a ledger row to the business, which sells credits and owes the unspent ones."""

    SOLD = "SOLD", "Sold"  # brought by a payment
    RETURNED = "RETURNED", "Returned"  # taken back, or given again, as its money was
    GIVEN = "GIVEN", "Given"
    ADJUSTED = "ADJUSTED", "Adjusted"
    SPENT = "SPENT", "Spent"
    GIVEN_BACK = "GIVEN_BACK", "Given back"
    EXPIRED = "EXPIRED", "Expired"

    @property
    def condition(self) -> Q:
        """Of its rows. Every row has one meaning."""
        of_payment = Q(reference_type="payment")
        return {
            Meaning.SOLD: Q(type=TransactionType.PURCHASE)
            | Q(of_payment, type=TransactionType.GRANT),
            Meaning.RETURNED: Q(of_payment, type=TransactionType.ADJUST),
            Meaning.GIVEN: Q(~of_payment, type=TransactionType.GRANT),
            Meaning.ADJUSTED: Q(~of_payment, type=TransactionType.ADJUST),
            Meaning.SPENT: Q(type=TransactionType.SPEND),
            Meaning.GIVEN_BACK: Q(type=TransactionType.REFUND),
            Meaning.EXPIRED: Q(type=TransactionType.EXPIRE),
        }[self]


def holds(org: Organization) -> OrgQuerySet[CreditHold]:
    return CreditHold.objects.for_org(org)


def all_holds() -> OrgQuerySet[CreditHold]:
    """The holds of all organizations: for staff."""
    return CreditHold.objects.all()


def account(org: Organization) -> CreditAccount | None:
    """The account as it is now, never from a cache; None for one that never had a credit."""
    return CreditAccount.objects.filter(pk=org.pk).first()


def all_accounts() -> QuerySet[CreditAccount]:
    """The accounts of all organizations: for staff."""
    return CreditAccount.objects.all()


class Statement(NamedTuple):
    """A month of an organization's ledger: `opening`, plus the amounts of `rows`, is the closing."""

    month: datetime.date
    opening: int
    rows: OrgQuerySet[CreditTransaction]


def statement(org: Organization, month: datetime.date) -> Statement:
    """The transactions of the calendar month (UTC) that `month` is in, the oldest first."""
    start = datetime.datetime(month.year, month.month, 1, tzinfo=datetime.UTC)
    end = (start + datetime.timedelta(days=31)).replace(day=1)
    ledger = CreditTransaction.objects.for_org(org)
    # Both through (org, created_at, id): the rows of earlier months are not read.
    before = ledger.filter(created_at__lt=start).order_by("-created_at", "-id").first()
    rows = ledger.filter(created_at__gte=start, created_at__lt=end).order_by("created_at", "id")
    return Statement(start.date(), before.balance_after if before else 0, rows)


# The column of the ledger that each grouping of usage is by. A day is one of UTC.
USAGE_GROUPS: dict[str, Any] = {
    "day": TruncDate("created_at", tzinfo=datetime.UTC),
    "key": F("ordered_by"),
    "kind": F("reference_type"),
}


def usage(
    org: Organization, first: datetime.date, last: datetime.date, *, group_by: str
) -> QuerySet[Any, Any]:
    """The sums of what work took on the days (UTC) from `first` to `last`, and what was given back on them.

    A row for each group with any: `group`, `charges`, `spent` and `refunded`, in the order of the
    groups. What was reserved and released is in no row of the ledger, and so in none of these.
    """
    start = datetime.datetime.combine(first, datetime.time(), datetime.UTC)
    end = datetime.datetime.combine(last, datetime.time(), datetime.UTC)
    used = CreditTransaction.objects.for_org(org).filter(
        type__in=USED, created_at__gte=start, created_at__lt=end + datetime.timedelta(days=1)
    )
    is_spend = Q(type=TransactionType.SPEND)
    return (
        used.order_by()
        .values(group=USAGE_GROUPS[group_by])
        .annotate(
            charges=Count("amount", filter=is_spend),
            spent=-Sum("amount", filter=is_spend, default=0),
            refunded=Sum("amount", filter=~is_spend, default=0),
        )
        .order_by("group")
    )


def latest_ledger_check() -> LedgerCheck | None:
    """The last check of the whole ledger; None before the first one."""
    return LedgerCheck.objects.order_by("-pk").first()


def latest_ledger_proof() -> LedgerCheck | None:
    """The last check that found nothing; None before the first one, and after a thousand others."""
    return LedgerCheck.objects.filter(breaches=0).order_by("-pk").first()


def grants_for(
    reference_type: str, reference_id: str, *, org: Organization
) -> list[CreditTransaction]:
    """The GRANT and PURCHASE rows of the organization with this reference, the newest first."""
    given = CreditTransaction.objects.for_org(org).filter(
        type__in=[TransactionType.GRANT, TransactionType.PURCHASE],
        reference_type=reference_type,
        reference_id=reference_id,
    )
    return list(given.order_by("-org_seq"))


def reversible(transaction: CreditTransaction) -> int:
    """The credits of a GRANT or PURCHASE that were not reversed yet."""
    (lot_id,) = transaction.inputs["grants"]
    before = CreditReversal.objects.filter(grant=lot_id).aggregate(sum=Sum("amount", default=0))
    return transaction.amount - int(before["sum"])


def lot_of(transaction: CreditTransaction) -> CreditGrant:
    """The lot that a GRANT or PURCHASE made."""
    (pk,) = transaction.inputs["grants"]
    return CreditGrant.objects.get(pk=pk)


class ReversedTotals(NamedTuple):
    """Credits: `amount` was reversed; `ended` of it had expired unused and was not granted again
    since.
    """

    amount: int
    ended: int


def reversed_totals(grants: list[CreditTransaction]) -> ReversedTotals:
    """The sums over the reversals of these GRANT and PURCHASE rows."""
    lots = [pk for grant in grants for pk in grant.inputs["grants"]]
    sums = CreditReversal.objects.filter(grant__in=lots).aggregate(
        back=Sum("amount", default=0),
        ended=Sum(F("amount") - F("taken") - F("owed"), default=0),
    )
    regranted = CreditTransaction.objects.filter(
        org__in={grant.org_id for grant in grants},
        idempotency_key__in=[f"{ENDED_KEY_PREFIX}{pk}" for pk in lots],
    ).aggregate(sum=Sum("amount", default=0))
    # `regranted` is negative: expiry takes away.
    return ReversedTotals(int(sums["back"]), int(sums["ended"]) + int(regranted["sum"]))
