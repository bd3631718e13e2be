"""Reads of the ledger, and the proof that it adds up."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import F, Sum

from clipforge.common.models import OrgQuerySet
from clipforge.orgs.models import Organization
from credits import caching
from credits.caching import Balance
from credits.models import (
    CreditGrant,
    CreditHold,
    CreditReversal,
    CreditTransaction,
    TransactionType,
)

__all__ = ["Balance", "Breach", "balance", "broken_invariants", "holds", "transactions"]

# Begins the key of the EXPIRE of what ended as it was given again; the lot follows.
ENDED = "ended:"


def balance(org: Organization, *, found: bytes | None = None) -> Balance:
    """What the organization has, to be shown; nothing is decided by it.

    From the cache, and never older than the last commit. Zeros for one that never had a credit.
    `found` is the cached value, where this request has it already.
    """
    return caching.balance(org.pk, found=found)


def transactions(org: Organization) -> OrgQuerySet[CreditTransaction]:
    return CreditTransaction.objects.for_org(org)


def holds(org: Organization) -> OrgQuerySet[CreditHold]:
    return CreditHold.objects.for_org(org)


class Statement(NamedTuple):
    """A month of an organization's ledger: `opening`, plus the amounts of `rows`, is the closing."""

    month: datetime.date
    opening: int
    rows: OrgQuerySet[CreditTransaction]


def statement(org: Organization, month: datetime.date) -> Statement:
    """The movements of the calendar month (UTC) that `month` is in, the oldest first."""
    start = datetime.datetime(month.year, month.month, 1, tzinfo=datetime.UTC)
    end = (start + datetime.timedelta(days=31)).replace(day=1)
    ledger = CreditTransaction.objects.for_org(org)
    # Both through (org, created_at, id): what an organization did before is not read.
    before = ledger.filter(created_at__lt=start).order_by("-created_at", "-id").first()
    rows = ledger.filter(created_at__gte=start, created_at__lt=end).order_by("created_at", "id")
    return Statement(start.date(), before.balance_after if before else 0, rows)


def grants_of(
    reference_type: str, reference_id: str, *, org: Organization
) -> list[CreditTransaction]:
    """What gave the organization credits because of something, the newest first."""
    given = CreditTransaction.objects.for_org(org).filter(
        type__in=[TransactionType.GRANT, TransactionType.PURCHASE],
        reference_type=reference_type,
        reference_id=reference_id,
    )
    return list(given.order_by("-org_seq"))


def reversible(transaction: CreditTransaction) -> int:
    """How much of what a GRANT or PURCHASE gave was not taken back yet."""
    (lot_id,) = transaction.inputs["grants"]
    before = CreditReversal.objects.filter(grant=lot_id).aggregate(sum=Sum("amount", default=0))
    return transaction.amount - int(before["sum"])


def lot_of(transaction: CreditTransaction) -> CreditGrant:
    """The lot that a GRANT or PURCHASE made."""
    (pk,) = transaction.inputs["grants"]
    return CreditGrant.objects.get(pk=pk)


class TakenBack(NamedTuple):
    """What was taken back in all, and how much of that had ended unused and was not noted since."""

    amount: int
    ended: int


def taken_back(grants: list[CreditTransaction]) -> TakenBack:
    """Of what these gave."""
    lots = [pk for grant in grants for pk in grant.inputs["grants"]]
    sums = CreditReversal.objects.filter(grant__in=lots).aggregate(
        back=Sum("amount", default=0),
        ended=Sum(F("amount") - F("taken") - F("owed"), default=0),
    )
    noted = CreditTransaction.objects.filter(
        org__in={grant.org_id for grant in grants},
        idempotency_key__in=[f"{ENDED}{pk}" for pk in lots],
    ).aggregate(sum=Sum("amount", default=0))
    # `noted` is negative: expiry takes away.
    return TakenBack(int(sums["back"]), int(sums["ended"]) + int(noted["sum"]))


class Breach(NamedTuple):
    """One place where the ledger contradicts itself. `invariant` is its number in
    clipforge/docs/ledger.md."""

    invariant: int
    org_id: uuid.UUID
    message: str


class Invariant(NamedTuple):
    number: int
    message: str
    # Selects the organization and what the message names, one row a breach. Each is one
    # statement and so sees one moment: movements under way cannot look like a breach.
    breaches: str


INVARIANTS = [
    Invariant(
        1,
        "posted is {} but the transactions add up to {}",
        """
        SELECT org_id, COALESCE(account.posted, 0), COALESCE(ledger.total, 0)
          FROM credits_creditaccount AS account
          FULL JOIN (SELECT org_id, SUM(amount) AS total
                       FROM credits_credittransaction GROUP BY org_id) AS ledger USING (org_id)
         WHERE COALESCE(account.posted, 0) <> COALESCE(ledger.total, 0)
        """,
    ),
    Invariant(
        2,
        "held is {} but the open holds add up to {}",
        """
        SELECT org_id, COALESCE(account.held, 0), COALESCE(holds.total, 0)
          FROM credits_creditaccount AS account
          FULL JOIN (SELECT org_id, SUM(amount) AS total
                       FROM credits_credithold WHERE status = 'HELD'
                      GROUP BY org_id) AS holds USING (org_id)
         WHERE COALESCE(account.held, 0) <> COALESCE(holds.total, 0)
        """,
    ),
    Invariant(
        2,
        "{} holds are counted but {} are open",
        """
        SELECT org_id, COALESCE(account.open_holds, 0), COALESCE(holds.total, 0)
          FROM credits_creditaccount AS account
          FULL JOIN (SELECT org_id, COUNT(*) AS total
                       FROM credits_credithold WHERE status = 'HELD'
                      GROUP BY org_id) AS holds USING (org_id)
         WHERE COALESCE(account.open_holds, 0) <> COALESCE(holds.total, 0)
        """,
    ),
    Invariant(
        3,
        "posted is {} but {} remain in the grants",
        """
        SELECT org_id, COALESCE(account.posted, 0), COALESCE(lots.total, 0)
          FROM credits_creditaccount AS account
          FULL JOIN (SELECT org_id, SUM(remaining) AS total
                       FROM credits_creditgrant GROUP BY org_id) AS lots USING (org_id)
         WHERE COALESCE(account.posted, 0) <> COALESCE(lots.total, 0)
        """,
    ),
    Invariant(
        4,
        "held is {} but {} are held in the grants",
        """
        SELECT org_id, COALESCE(account.held, 0), COALESCE(lots.total, 0)
          FROM credits_creditaccount AS account
          FULL JOIN (SELECT org_id, SUM(held) AS total
                       FROM credits_creditgrant GROUP BY org_id) AS lots USING (org_id)
         WHERE COALESCE(account.held, 0) <> COALESCE(lots.total, 0)
        """,
    ),
    # The same, grant by grant: two wrong grants may add up to the right sum.
    Invariant(
        4,
        "grant {}: held is {} but its open holds add up to {}",
        """
        SELECT lot.org_id, lot.id, lot.held, COALESCE(open.total, 0)
          FROM credits_creditgrant AS lot
          LEFT JOIN (SELECT grant_id, SUM(allocation.amount) AS total
                       FROM credits_holdallocation AS allocation
                       JOIN credits_credithold AS hold ON hold.id = allocation.hold_id
                      WHERE hold.status = 'HELD' GROUP BY grant_id) AS open
            ON open.grant_id = lot.id
         WHERE lot.held <> COALESCE(open.total, 0)
        """,
    ),
    Invariant(
        5,
        "transaction {}: balance_after is {} but the one before and the amount make {}",
        """
        SELECT org_id, id, balance_after, expected
          FROM (SELECT org_id, id, balance_after,
                       amount + COALESCE(LAG(balance_after) OVER chain, 0) AS expected
                  FROM credits_credittransaction
                WINDOW chain AS (PARTITION BY org_id ORDER BY org_seq)) AS chained
         WHERE balance_after <> expected
        """,
    ),
    Invariant(
        6,
        "posted is {} and held is {}: more is reserved than there is, or less than nothing",
        "SELECT org_id, posted, held FROM credits_creditaccount WHERE held < 0 OR posted < held",
    ),
    Invariant(
        7,
        "hold {}: captured is {} but {} captures took {}",
        """
        SELECT hold.org_id, hold.id, hold.captured, COUNT(spend.id), COALESCE(-SUM(spend.amount), 0)
          FROM credits_credithold AS hold
          LEFT JOIN credits_credittransaction AS spend
            ON spend.hold_id = hold.id AND spend.type = 'SPEND'
         GROUP BY hold.id
        HAVING COUNT(spend.id) > 1 OR hold.captured <> COALESCE(-SUM(spend.amount), 0)
        """,
    ),
]


def broken_invariants(
    org: Organization | None = None, *, before_each: Callable[[], None] | None = None
) -> list[Breach]:
    """Check the seven invariants, of one organization or all. Empty means that all is well.

    Reads every row of the ledger: minutes at millions of them, and it locks nothing.
    `before_each` is called before each of the statements.
    """
    found = []
    with connection.cursor() as cursor:
        for invariant in INVARIANTS:
            if before_each:
                before_each()
            found += _breaches(cursor, invariant, org)
    return found


def _breaches(cursor: Any, invariant: Invariant, org: Organization | None) -> list[Breach]:
    sql = f"SELECT * FROM ({invariant.breaches}) AS breach"  # noqa: S608 - text from above only
    if org is None:
        cursor.execute(sql)
    else:
        cursor.execute(f"{sql} WHERE org_id = %s", [org.pk])
    return [
        Breach(invariant.number, org_id, invariant.message.format(*values))
        for org_id, *values in cursor.fetchall()
    ]
