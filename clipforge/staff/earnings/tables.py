"""The figures of the business as tables: for the page, where each leads to its rows, and for CSV."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from django.urls import reverse
from django.utils.http import urlencode

from clipforge.orgs.models import Tier
from clipforge.staff import formatting
from clipforge.staff.earnings import selectors as earning_selectors
from clipforge.staff.earnings.selectors import Month
from clipforge.staff.tables import Cell, Table, money_cell, word
from credits.models import GrantKind
from credits.selectors import Meaning

DAY = datetime.timedelta(days=1)


def revenue(months: list[Month], now: datetime.datetime) -> Table:
    rows = []
    for line in earning_selectors.revenue(months):
        of: dict[str, Any] = {**_paid(line.month, line.currency)}
        of |= {"price__tier__exact": line.tier} if line.tier else {"price__kind__exact": "PACK"}
        back = _payments({**of, "reversed_amount__gt": 0})
        rows.append(
            [
                word(formatting.month(line.month.start)),
                word(str(Tier(line.tier).label) if line.tier else "Credit packs"),
                word(line.currency.upper()),
                Cell(formatting.number(line.payments), line.payments, _payments(of)),
                money_cell(line.settled, line.currency, _payments(of)),
                money_cell(line.refunded, line.currency, back),
                money_cell(
                    line.disputed, line.currency, _payments({**of, "disputed_amount__gt": 0})
                ),
                money_cell(line.net, line.currency, _payments(of)),
            ]
        )
    return Table(
        "Revenue by month, plan and currency",
        "By the day on which a payment arrived. What went back of it since is counted in that month.",
        ["Month", "Plan", "Currency", "Payments", "Settled", "Refunded", "Disputed", "Net"],
        rows,
    )


def recurring(months: list[Month], now: datetime.datetime) -> Table:
    rows = []
    for line in earning_selectors.recurring(months):
        began = _subscriptions(_days("created_at", line.month, line.currency))
        ended = _subscriptions(_days("ended_at", line.month, line.currency))
        open_ = {"price__currency__exact": line.currency, "of": "customers"}
        going_on = _subscriptions({**open_, "goes_on": f"{line.month.start:%Y-%m}"})
        rows.append(
            [
                word(formatting.month(line.month.start)),
                word(line.currency.upper()),
                money_cell(line.amount, line.currency, going_on),
                Cell(formatting.number(line.plans), line.plans, going_on),
                Cell(formatting.number(line.new), line.new, began),
                Cell(formatting.number(line.churned), line.churned, ended),
            ]
        )
    return Table(
        "Monthly recurring revenue",
        "Of the plans that went on at the end of the month, those past due too, at the price that each"
        " has now.",
        ["Month", "Currency", "MRR", "Plans", "New", "Churned"],
        rows,
    )


def customers(months: list[Month], now: datetime.datetime) -> Table:
    first, last = months[0].start.date(), months[-1].end.date() - DAY
    rows = []
    for line in earning_selectors.top_customers(months):
        organization = reverse("admin:orgs_organization_change", args=[line.org])
        of = {
            "status__exact": "PAID",
            "paid_at_from": first.isoformat(),
            "paid_at_to": last.isoformat(),
            "currency__exact": line.currency,
            "of": line.org,
        }
        rows.append(
            [
                word(line.name, organization),
                word(line.currency.upper()),
                Cell(formatting.number(line.payments), line.payments, _payments(of)),
                money_cell(line.settled, line.currency, _payments(of)),
                money_cell(line.net, line.currency, _payments(of)),
            ]
        )
    return Table(
        "Top customers",
        f"The {earning_selectors.TOP} who paid most in each currency, by what stayed.",
        ["Organization", "Currency", "Payments", "Settled", "Net"],
        rows,
    )


def credits_(months: list[Month], now: datetime.datetime) -> Table:
    rows = []
    for line in earning_selectors.credits_by_month(months, now):
        days = {
            "created_at_from": line.month.start.date().isoformat(),
            "created_at_to": (line.month.end.date() - DAY).isoformat(),
            "of": "customers",
        }
        cells = [
            Cell(formatting.number(amount), amount, _ledger({**days, "meaning": kind}))
            for kind, amount in line.sums.items()
        ]
        change = Cell(formatting.number(line.change), line.change, _ledger(days))
        rows.append([word(formatting.month(line.month.start)), *cells, change])
    return Table(
        "Credits",
        "Sold: brought by payments, and returned with their money. Given: by staff and free plans. Given"
        " back: of work that failed its customer. The change is that of all balances.",
        ["Month", *(str(Meaning(kind).label) for kind in earning_selectors.KINDS), "Change"],
        rows,
    )


ENDS = {"30": "within 30 days", "90": "within 90 days", "later": "later", "never": "never"}


def liability(months: list[Month], now: datetime.datetime) -> Table:
    rows = []
    for line in earning_selectors.liability(now):
        of: dict[str, Any] = {
            "kind__exact": line.kind,
            "remaining__gt": 0,
            "ends": line.ends,
            "of": "customers",
        }
        url = f"{reverse('admin:credits_creditgrant_changelist')}?{urlencode(of)}"
        rows.append(
            [
                word(str(GrantKind(line.kind).label)),
                word(ENDS[line.ends]),
                Cell(formatting.number(line.lots), line.lots, url),
                Cell(formatting.number(line.remaining), line.remaining, url),
                Cell(formatting.number(line.held), line.held, url),
            ]
        )
    return Table(
        "Unspent credits",
        "What customers may yet spend, by the kind of lot that it is left in and when that ends. Held"
        " credits are a part of it.",
        ["Kind", "Ends", "Lots", "Unspent", "Of that held"],
        rows,
    )


# By the names of the files.
TABLES: dict[str, Callable[[list[Month], datetime.datetime], Table]] = {
    "revenue": revenue,
    "recurring": recurring,
    "customers": customers,
    "credits": credits_,
    "liability": liability,
}


def _paid(month: Month, currency: str) -> dict[str, Any]:
    return {"status__exact": "PAID", **_days("paid_at", month, ""), "currency__exact": currency}


def _days(field: str, month: Month, currency: str) -> dict[str, Any]:
    of = {"price__currency__exact": currency} if currency else {}
    return {
        f"{field}_from": month.start.date().isoformat(),
        f"{field}_to": (month.end.date() - DAY).isoformat(),
        "of": "customers",
        **of,
    }


def _payments(of: dict[str, Any]) -> str:
    return f"{reverse('admin:billing_payment_changelist')}?{urlencode(of)}"


def _subscriptions(of: dict[str, Any]) -> str:
    return f"{reverse('admin:billing_subscription_changelist')}?{urlencode(of)}"


def _ledger(of: dict[str, Any]) -> str:
    return f"{reverse('admin:credits_credittransaction_changelist')}?{urlencode(of)}"
