"""Ledger, projects and payments as CSV: of one organization or all, whole or between two days.

A table of any size is read through a cursor of the server's, inside a transaction of its own: one
moment is seen from the first row to the last, a few thousand rows are in memory, and no statement
takes longer than it takes to fetch them. A file that is whole says so in its last line: when the
connection breaks, that line is missing, and the last chunk of the answer too.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple, cast

from django import forms
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from billing.models import Payment
from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.common.lists import search
from clipforge.common.lists.csvs import attachment
from clipforge.orgs.models import Organization, User
from clipforge.staff.pages import needs, page
from credits.models import CreditTransaction
from projects.models import Project

# Rows that are in memory at once.
CHUNK = 2000
# Until the first rows of a late month are found among all of the ledger.
STATEMENT_TIMEOUT = "2min"
DAY = datetime.timedelta(days=1)


class Sheet(NamedTuple):
    """What is downloaded: its columns by the names that they have there, and the order of all."""

    name: str
    rows: QuerySet[Any]
    columns: dict[str, str]
    order: Sequence[Any]


OWNER = {"organization": "org_id", "organization_slug": "org__slug"}
LEDGER = Sheet(
    "ledger",
    CreditTransaction.objects.all(),
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
    Project.objects.all(),
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
    Payment.objects.all(),
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
)


class Filters(forms.Form):
    """Which rows. Days are of UTC, and both are included."""

    org = forms.CharField(
        label="Organization",
        required=False,
        max_length=search.LONGEST,
        help_text="Its slug or id. Leave it empty for all organizations.",
    )
    to = forms.DateField(
        label="To",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="That day is included.",
    )
    field_order = ["org", "from", "to"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A name that Python keeps for itself.
        self.fields["from"] = forms.DateField(
            label="From", required=False, widget=forms.DateInput(attrs={"type": "date"})
        )
        self.order_fields(self.field_order)

    def clean_org(self) -> Organization | None:
        text = self.cleaned_data["org"].strip()
        if not text:
            return None
        pk = search.uuid_of(text)
        by = {"pk": pk} if pk else {"slug": text.lower()}
        found = Organization.objects.filter(**by).first()
        if found is None:
            raise forms.ValidationError("No organization has this slug or id.")
        return found

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        # A misspelt filter must not widen a file.
        if unknown := sorted(set(self.data) - set(self.fields)):
            raise forms.ValidationError(f"There is no filter called {', '.join(unknown)}.")
        start, end = values.get("from"), values.get("to")
        if start and end and start > end:
            raise forms.ValidationError("The first day is after the last.")
        if end == datetime.date.max:  # it ends in no year that there is
            self.add_error("to", "Choose an earlier day, or none.")
        return values


@require_GET
@needs("staff.export_data")
def choose(request: HttpRequest) -> HttpResponse:
    """The form that says what to download."""
    form = Filters(request.GET) if request.GET else Filters()
    return page(request, "staff/downloads/form.html", title="Download as CSV", form=form)


def export(sheet: Sheet) -> Callable[..., HttpResponse]:
    """The view that streams a sheet, after it has written down who took what."""

    @require_GET
    @needs("staff.export_data")
    def download(request: HttpRequest) -> Any:
        form = Filters(request.GET)
        if not form.is_valid():
            title = "Download as CSV"
            return page(request, "staff/downloads/form.html", title=title, form=form, status=400)
        filters = form.cleaned_data
        org: Organization | None = filters["org"]
        write_entry(
            actor=Actor.of_request(request),
            verb=f"export_{sheet.name}",
            subject=org or cast("User", request.user),
            org=org,
            after={"organization": org and org.slug, "from": filters["from"], "to": filters["to"]},
            reason=f"Downloaded the {sheet.name} as CSV.",
        )
        return attachment(_lines(sheet, filters), name=_file_name(sheet, filters))

    return download


def _lines(sheet: Sheet, filters: dict[str, Any]) -> Iterator[Sequence[object]]:
    yield [*sheet.columns]
    count = 0
    for row in streamed(wanted(sheet, filters)):
        count += 1
        yield row
    yield [f"# end: {count} rows"]


def wanted(sheet: Sheet, filters: dict[str, Any]) -> QuerySet[Any, Any]:
    """The rows of a file, for filters as the form cleans them."""
    rows, order = sheet.rows, sheet.order
    if filters["org"]:
        # Through (org, created_at, id), which all three tables have.
        rows, order = rows.filter(org=filters["org"]), ["created_at", "pk"]
    if filters["from"]:
        rows = rows.filter(created_at__gte=_midnight(filters["from"]))
    if filters["to"]:
        rows = rows.filter(created_at__lt=_midnight(filters["to"]) + DAY)
    return rows.order_by(*order).values_list(*sheet.columns.values())


def streamed(rows: QuerySet[Any, Any]) -> Generator[Any, None, None]:
    """The rows, a chunk at a time, as they are when the first one is asked for.

    In a transaction: else Django asks for a cursor WITH HOLD, of which PostgreSQL writes down all
    rows before it gives the first. It ends when whoever reads gives up, too.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [STATEMENT_TIMEOUT])
        yield from rows.iterator(chunk_size=CHUNK)


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC)


def _file_name(sheet: Sheet, filters: dict[str, Any]) -> str:
    whose = filters["org"].slug if filters["org"] else "all"
    start, end = filters["from"] or "beginning", filters["to"] or timezone.now().date()
    return f"{sheet.name}-{whose}-{start}-to-{end}.csv"
