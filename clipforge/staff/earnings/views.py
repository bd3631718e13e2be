"""The page of what the business earns and owes, and its tables as CSV."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import cast

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.common.lists.csvs import attachment
from clipforge.orgs.models import User
from clipforge.staff.charts import Chart, Series
from clipforge.staff.earnings import selectors as earning_selectors
from clipforge.staff.earnings.selectors import Month
from clipforge.staff.earnings.tables import TABLES
from clipforge.staff.pages import needs, page
from clipforge.staff.tables import Table, lines_of

# How many months are shown; the first unless another is asked for.
MONTHS = (12, 3, 24)


@require_GET
@needs("staff.view_business")
def business(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    months = _months(request, now)
    tables = [(name, make(months, now)) for name, make in TABLES.items()]
    return page(
        request,
        "staff/business/page.html",
        title="Business",
        at=now,
        chosen=len(months),
        choices=sorted(MONTHS),
        charts=_charts(dict(tables), months),
        tables=[
            (name, table, f"{reverse(f'admin:business-{name}')}?months={len(months)}")
            for name, table in tables
        ],
    )


def download(name: str) -> Callable[..., HttpResponse]:
    """The view of one table as CSV, after it has left an audit row."""

    @require_GET
    @needs("staff.view_business")
    def as_csv(request: HttpRequest) -> HttpResponse:
        now = timezone.now()
        months = _months(request, now)
        table = TABLES[name](months, now)
        first, last = months[0].start, months[-1].start
        write_entry(
            actor=Actor.of_request(request),
            verb=f"export_{name}",
            subject=cast("User", request.user),
            after={"from": f"{first:%Y-%m}", "to": f"{last:%Y-%m}"},
            reason=f"Downloaded the {name} of the business as CSV.",
        )
        response = attachment(lines_of(table), name=f"{name}-{first:%Y-%m}-to-{last:%Y-%m}.csv")
        return cast("HttpResponse", response)

    return as_csv


def _months(request: HttpRequest, now: datetime.datetime) -> list[Month]:
    asked = request.GET.get("months", str(MONTHS[0]))
    if asked not in map(str, MONTHS):
        raise Http404
    return earning_selectors.last_months(now, int(asked))


def _charts(tables: dict[str, Table], months: list[Month]) -> list[Chart]:
    """Net revenue of each currency, and the credits sold and spent."""
    dates = [month.start.date() for month in months]
    net: dict[str, dict[str, int]] = {}
    for row in tables["revenue"].rows:
        of = net.setdefault(row[2].value.lower(), {})
        of[row[0].text] = of.get(row[0].text, 0) + row[-1].value
    said = [f"{date:%b %Y}" for date in dates]
    revenue = [
        Series(
            f"Net revenue in {currency.upper()}",
            "payment",
            "net",
            [of.get(month, 0) for month in said],
            "ok",
            currency,
        )
        for currency, of in net.items()
    ]
    rows = {row[0].text: row for row in tables["credits"].rows}
    place = {heading: number for number, heading in enumerate(tables["credits"].headings)}
    sold = [rows[month][place["Sold"]].value for month in said]
    spent = [-rows[month][place["Spent"]].value for month in said]
    return [
        Chart("revenue", "Net revenue", dates, revenue, "month"),
        Chart(
            "credits",
            "Credits sold and spent",
            dates,
            [
                Series("Credits sold", "credit", "sold", sold, "ok"),
                Series("Credits spent", "credit", "spent", spent),
            ],
            "month",
        ),
    ]
