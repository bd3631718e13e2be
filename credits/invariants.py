"""The invariants of the ledger, each as one SQL statement that selects the breaches."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from django.db import connection

from clipforge.orgs.models import Organization

# Of one statement so many are read: however many rows the ledger has, and however many of them are
# wrong, a check takes the memory of these.
MOST_BREACHES = 1000


class Breach(NamedTuple):
    """One place where the ledger contradicts itself. `invariant` is its number in
    clipforge/docs/ledger.md."""

    invariant: int
    org_id: uuid.UUID
    message: str


class Invariant(NamedTuple):
    number: int
    message: str
    # Selects the organization and the values of the message, one row a breach. Each is one
    # statement and so sees one snapshot: changes under way cannot look like a breach.
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
         GROUP BY hold.id, hold.org_id
        HAVING COUNT(spend.id) > 1 OR hold.captured <> COALESCE(-SUM(spend.amount), 0)
        """,
    ),
    Invariant(
        9,
        "keys {} in {}: used is {} but what they reserved adds up to {}",
        """
        SELECT org_id, family, month, COALESCE(spending.used, 0), COALESCE(holds.total, 0)
          FROM orgs_keyspending AS spending
          FULL JOIN (SELECT hold.org_id, hold.family, credits_month(hold.created_at) AS month,
                            SUM(CASE WHEN hold.status = 'HELD' THEN hold.amount
                                     ELSE hold.captured END - COALESCE(back.total, 0)) AS total
                       FROM credits_credithold AS hold
                       LEFT JOIN (SELECT hold_id, SUM(refunded) AS total
                                    FROM credits_holdallocation WHERE refunded > 0
                                   GROUP BY hold_id) AS back ON back.hold_id = hold.id
                      WHERE hold.family IS NOT NULL
                      GROUP BY 1, 2, 3) AS holds USING (org_id, family, month)
         WHERE COALESCE(spending.used, 0) <> COALESCE(holds.total, 0)
        """,
    ),
]


def broken_invariants(
    org: Organization | None = None, *, before_each: Callable[[], None] | None = None
) -> list[Breach]:
    """The breaches of the invariants, of one organization or all, MOST_BREACHES of each statement.

    PostgreSQL reads every row of the ledger: minutes at millions of them, and it locks nothing. Of these
    rows only breaches are sent to us.
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
        cursor.execute(f"{sql} LIMIT %s", [MOST_BREACHES])
    else:
        cursor.execute(f"{sql} WHERE org_id = %s LIMIT %s", [org.pk, MOST_BREACHES])
    return [
        Breach(invariant.number, org_id, invariant.message.format(*values))
        for org_id, *values in cursor.fetchall()
    ]
