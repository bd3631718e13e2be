"""The tables that are downloaded: of one organization or all, whole or between two days.

A table of any size is read through a server-side cursor, inside a transaction of its own: the rows
are those of one moment, a few thousand of them are in memory, and no statement takes longer than it
takes to fetch them.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import F, QuerySet

from billing import selectors as billing_selectors
from clipforge.common.money import money
from clipforge.orgs.models import Organization
from credits import selectors as credit_selectors
from projects import selectors as project_selectors

# Rows that are in memory at once.
CHUNK = 2000
# Until the first rows of a late month are found among all of the ledger.
STATEMENT_TIMEOUT = "2min"
DAY = datetime.timedelta(days=1)


class Sheet(NamedTuple):
    """A table to download: its rows, its columns by the names that they have in the file."""

    name: str
    all_rows: Callable[[], QuerySet[Any]]
    rows_of: Callable[[Organization], QuerySet[Any]]
    columns: dict[str, str]
    order: Sequence[Any]  # of all rows
    # Columns of minor units, and the names under which they come once more as people write them.
    money: dict[str, str] = {}


class Selection(NamedTuple):
    """The rows of a file. None: no limit. Both days are included, and are days of UTC."""

    org: Organization | None = None
    first_day: datetime.date | None = None
    last_day: datetime.date | None = None


OWNER = {"organization": "org_id", "organization_slug": "org__slug"}
LEDGER = Sheet(
    "ledger",
    credit_selectors.all_transactions,
    credit_selectors.transactions,
    {
        "id": "pk",
        "created_at": "created_at",
        **OWNER,
        "type": "type",
        "amount": "amount",
        "balance_after": "balance_after",
        "reason": "reason",
        "reference_type": "reference_type",
        "reference_id": "reference_id",
        "hold": "hold_id",
        "actor": "actor",
        "idempotency_key": "idempotency_key",
    },
    ["pk"],
)
PROJECTS = Sheet(
    "projects",
    project_selectors.all_projects,
    project_selectors.projects,
    {
        "id": "pk",
        "created_at": "created_at",
        **OWNER,
        "title": "title",
        "status": "status",
        "source_name": "source_name",
        "bytes": "size",
        "seconds": "duration",
        "width": "width",
        "height": "height",
        "attempts": "attempts",
        "error_code": "error_code",
        "hold": "hold_id",
    },
    # The index of the admin's list, from its end.
    [F("created_at").asc(nulls_first=True), F("id").asc(nulls_first=True)],
)
PAYMENTS = Sheet(
    "payments",
    billing_selectors.all_payments,
    billing_selectors.payments,
    {
        "id": "pk",
        "created_at": "created_at",
        "paid_at": "paid_at",
        **OWNER,
        "price": "price__code",
        "price_version": "price__version",
        "method": "method",
        "status": "status",
        "amount_in_minor_units": "amount",
        "reversed_in_minor_units": "reversed_amount",
        "currency": "currency",
        "credits": "credits",
        "reference": "reference",
        "reason": "reason",
        "actor": "actor",
        "checkout": "checkout_id",
        "invoice": "invoice_id",
        "payment_intent": "payment_intent_id",
    },
    ["pk"],
    {"amount_in_minor_units": "amount", "reversed_in_minor_units": "reversed"},
)
SHEETS = (LEDGER, PROJECTS, PAYMENTS)


def header(sheet: Sheet) -> list[str]:
    return [*sheet.columns, *sheet.money.values()]


def line(sheet: Sheet, values: Sequence[Any]) -> list[Any]:
    """The values of a row, and its amounts of money in the currency that it names."""
    row = dict(zip(sheet.columns, values, strict=True))
    return [*values, *(money(row[minor], row["currency"]) for minor in sheet.money)]


def rows_of_sheet(sheet: Sheet, selection: Selection) -> QuerySet[Any, Any]:
    """The values of each row, in the order of the columns."""
    rows, order = sheet.all_rows(), sheet.order
    if selection.org:
        # Through (org, created_at, id), which all three tables have.
        rows, order = sheet.rows_of(selection.org), ["created_at", "pk"]
    if selection.first_day:
        rows = rows.filter(created_at__gte=_midnight(selection.first_day))
    if selection.last_day:
        rows = rows.filter(created_at__lt=_midnight(selection.last_day) + DAY)
    return rows.order_by(*order).values_list(*sheet.columns.values())


def streamed(rows: QuerySet[Any, Any]) -> Generator[Any, None, None]:
    """The rows, a chunk at a time, as they are when the first one is read.

    In a transaction: else Django asks for a cursor WITH HOLD, of which PostgreSQL writes down all
    rows before it gives the first. It also ends when the reader gives up.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [STATEMENT_TIMEOUT])
        yield from rows.iterator(chunk_size=CHUNK)


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC)
