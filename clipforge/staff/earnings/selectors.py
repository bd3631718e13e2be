"""Revenue, recurring revenue and unspent credits, of all customers and no sandbox.

Months are those of UTC. Money is in minor units of its currency, and never added up across currencies.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Case, Sum, TextField, Value, When

from clipforge.common.lists.by_time import first_number_since
from clipforge.orgs import selectors as org_selectors
from clipforge.staff.earnings import caching
from credits import selectors as credit_selectors
from credits.models import CreditTransaction
from credits.selectors import Meaning

DAY = datetime.timedelta(days=1)
# Longer than a transaction takes: until then a day may get rows that began before its end.
SETTLED = datetime.timedelta(hours=1)
SANDBOX = {"sandbox_of__isnull": False}
# Customers who paid most, of each currency.
TOP = 10


class Month(NamedTuple):
    """A calendar month of UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, date: datetime.date) -> Month:
        return cls(date.year, date.month)

    @property
    def start(self) -> datetime.datetime:
        return datetime.datetime(self.year, self.number, 1, tzinfo=datetime.UTC)

    @property
    def end(self) -> datetime.datetime:
        return self.back(-1).start

    def back(self, months: int) -> Month:
        year, number = divmod(self.year * 12 + self.number - 1 - months, 12)
        return Month(year, number + 1)


def last_months(now: datetime.datetime, count: int) -> list[Month]:
    """The running month and those before it, the oldest first."""
    this = Month.of(now.astimezone(datetime.UTC).date())
    return [this.back(back) for back in reversed(range(count))]


# --- money -----------------------------------------------------------------------------


class Revenue(NamedTuple):
    """The payments of a month for a plan, or for packs (`tier` is empty), in a currency.

    What went back of it since is counted here, in whatever month it did.
    """

    month: Month
    tier: str
    currency: str
    payments: int
    settled: int
    refunded: int
    disputed: int

    @property
    def net(self) -> int:
        return self.settled - self.refunded - self.disputed


# Of a payment, what banks took; a won dispute is 0, and never more than went back in all.
DISPUTED = "LEAST(payment.disputed_amount, payment.reversed_amount)"
PAID = """
    FROM billing_payment AS payment
    JOIN billing_price AS price ON price.id = payment.price_id
    JOIN orgs_organization AS org ON org.id = payment.org_id AND org.sandbox_of_id IS NULL
   WHERE payment.status = 'PAID' AND payment.paid_at >= %(since)s AND payment.paid_at < %(until)s
"""


def revenue(months: list[Month]) -> list[Revenue]:
    """The newest month first."""
    rows = _rows(
        f"""
        SELECT date_trunc('month', payment.paid_at AT TIME ZONE 'UTC')::date, price.tier,
               payment.currency, COUNT(*), SUM(payment.amount),
               SUM(payment.reversed_amount - {DISPUTED}), SUM({DISPUTED})
        {PAID}
         GROUP BY 1, 2, 3 ORDER BY 1 DESC, 3 DESC, 2
        """,
        _stretch(months),
    )
    return [
        Revenue(Month.of(date), tier, currency, payments, *map(int, sums))
        for date, tier, currency, payments, *sums in rows
    ]


class Customer(NamedTuple):
    """Who paid, and what of that stayed."""

    org: str
    name: str
    currency: str
    payments: int
    settled: int
    net: int


def top_customers(months: list[Month]) -> list[Customer]:
    """The TOP of each currency, by what stayed."""
    rows = _rows(
        f"""
        SELECT org, name, currency, payments, settled, net FROM (
            SELECT org.id AS org, org.name, payment.currency, COUNT(*) AS payments,
                   SUM(payment.amount) AS settled,
                   SUM(payment.amount - payment.reversed_amount) AS net,
                   ROW_NUMBER() OVER (PARTITION BY payment.currency ORDER BY
                       SUM(payment.amount - payment.reversed_amount) DESC, org.id) AS place
            {PAID} GROUP BY org.id, org.name, payment.currency) AS ranked
         WHERE place <= %(top)s ORDER BY currency DESC, place
        """,  # noqa: S608 - words of ours
        {**_stretch(months), "top": TOP},
    )
    return [
        Customer(str(org), name, currency, payments, int(settled), int(net))
        for org, name, currency, payments, settled, net in rows
    ]


class Recurring(NamedTuple):
    """Plans of a currency in a month: what those that go on at its end bring a month, how many they
    are, and how many began and ended in it."""

    month: Month
    currency: str
    amount: int
    plans: int
    new: int
    churned: int


def recurring(months: list[Month]) -> list[Recurring]:
    """The newest month first. Of a plan that changed, the price that it has now."""
    rows = _rows(
        """
        SELECT month.starts, price.currency,
               COALESCE(SUM(price.amount) FILTER (WHERE plan.created_at < month.ends
                   AND (plan.ended_at IS NULL OR plan.ended_at >= month.ends)), 0),
               COUNT(*) FILTER (WHERE plan.created_at < month.ends
                   AND (plan.ended_at IS NULL OR plan.ended_at >= month.ends)),
               COUNT(*) FILTER (WHERE plan.created_at >= month.starts
                                  AND plan.created_at < month.ends),
               COUNT(*) FILTER (WHERE plan.ended_at >= month.starts AND plan.ended_at < month.ends)
          FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS month(starts, ends)
          JOIN billing_subscription AS plan ON plan.created_at < month.ends
           AND (plan.ended_at IS NULL OR plan.ended_at >= month.starts)
          JOIN billing_price AS price ON price.id = plan.price_id
          JOIN orgs_organization AS org ON org.id = plan.org_id AND org.sandbox_of_id IS NULL
         GROUP BY 1, 2 ORDER BY 1 DESC, 2 DESC
        """,
        {"starts": [month.start for month in months], "ends": [month.end for month in months]},
    )
    return [
        Recurring(Month.of(start.astimezone(datetime.UTC)), currency, int(amount), *counts)
        for start, currency, amount, *counts in rows
    ]


# --- credits ---------------------------------------------------------------------------


# In the order of the table.
KINDS = tuple(Meaning.values)


class Credits(NamedTuple):
    """The credits that a month moved, by their meaning: together, how much the balances changed."""

    month: Month
    sums: dict[str, int]

    @property
    def change(self) -> int:
        return sum(self.sums.values())


def credits_by_month(months: list[Month], now: datetime.datetime) -> list[Credits]:
    """The newest month first. Only what is not over yet is read: the rest is remembered."""
    found = []
    for month in reversed(months):
        sums: dict[str, int] = defaultdict(int)
        for since, until in _stretches(month, now):
            for kind, amount in _sums(since, until, now).items():
                sums[kind] += amount
        found.append(Credits(month, {kind: sums[kind] for kind in KINDS}))
    return found


def forget(months: list[Month], now: datetime.datetime) -> None:
    """Add everything up anew the next time."""
    for month in months:
        for since, until in _stretches(month, now):
            caching.forget(since, until)


def _stretches(
    month: Month, now: datetime.datetime
) -> Iterator[tuple[datetime.datetime, datetime.datetime]]:
    """The month, apart at the first day that may still get rows."""
    open_from = (now - SETTLED).astimezone(datetime.UTC)
    open_from = open_from.replace(hour=0, minute=0, second=0, microsecond=0)
    if month.start < open_from < month.end:
        yield month.start, open_from
        yield open_from, month.end
    else:
        yield month.start, month.end


def _sums(
    since: datetime.datetime, until: datetime.datetime, now: datetime.datetime
) -> dict[str, int]:
    is_over = until + SETTLED <= now
    kept = caching.sums(since, until) if is_over else None
    if isinstance(kept, dict):
        return kept
    rows = credit_selectors.all_transactions().filter(
        pk__gte=first_number_since(CreditTransaction, since),
        pk__lt=first_number_since(CreditTransaction, until + 2 * SETTLED),
        created_at__gte=since,
        created_at__lt=until,
    )
    meaning = Case(
        *(When(each.condition, then=Value(each.value)) for each in Meaning),
        output_field=TextField(),
    )
    customers = rows.exclude(org__in=org_selectors.all_organizations().filter(**SANDBOX))
    summed = customers.order_by().values(meaning=meaning).annotate(sum=Sum("amount"))
    found = {kind: int(amount) for kind, amount in summed.values_list("meaning", "sum")}
    if is_over:
        caching.keep_sums(since, until, found)
    return found


class Liability(NamedTuple):
    """Lots of a kind that end in the same stretch of time (`ends`: 30, 90, later, never), and what is
    left of them."""

    kind: str
    ends: str
    lots: int
    remaining: int
    held: int


def liability(now: datetime.datetime) -> list[Liability]:
    """The credits that customers have and may yet spend, as of now."""
    rows = _rows(
        """
        SELECT lot.kind, CASE WHEN lot.expires_at IS NULL THEN 'never'
                          WHEN lot.expires_at < %(month)s THEN '30'
                          WHEN lot.expires_at < %(quarter)s THEN '90' ELSE 'later' END,
               COUNT(*), SUM(lot.remaining), SUM(lot.held)
          FROM credits_creditgrant AS lot
          JOIN orgs_organization AS org ON org.id = lot.org_id AND org.sandbox_of_id IS NULL
         WHERE lot.remaining > 0
         GROUP BY 1, 2 ORDER BY 1, 2
        """,
        {"month": now + 30 * DAY, "quarter": now + 90 * DAY},
    )
    return [Liability(kind, ends, lots, *map(int, sums)) for kind, ends, lots, *sums in rows]


def _stretch(months: list[Month]) -> dict[str, datetime.datetime]:
    return {"since": months[0].start, "until": months[-1].end}


def _rows(sql: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
