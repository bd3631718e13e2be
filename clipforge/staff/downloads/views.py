"""Ledger, projects and payments as CSV.

The last line of a complete file says how many rows it has. When the connection breaks, that line is
missing, and the last chunk of the answer too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.common.lists.csvs import attachment
from clipforge.orgs.models import User
from clipforge.staff.downloads.forms import DownloadForm
from clipforge.staff.downloads.selectors import (
    Selection,
    Sheet,
    header,
    line,
    rows_of_sheet,
    streamed,
)
from clipforge.staff.pages import needs, page


@require_GET
@needs("staff.export_data")
def choose(request: HttpRequest) -> HttpResponse:
    """The form that selects the rows of a file."""
    form = DownloadForm(request.GET) if request.GET else DownloadForm()
    return page(request, "staff/downloads/form.html", title="Download as CSV", form=form)


def export(sheet: Sheet) -> Callable[..., HttpResponse]:
    """The view that streams a sheet, after it has left an audit row."""

    @require_GET
    @needs("staff.export_data")
    def download(request: HttpRequest) -> Any:
        form = DownloadForm(request.GET)
        if not form.is_valid():
            title = "Download as CSV"
            return page(request, "staff/downloads/form.html", title=title, form=form, status=400)
        selection = form.selection()
        org = selection.org
        write_entry(
            actor=Actor.of_request(request),
            verb=f"export_{sheet.name}",
            subject=org or cast("User", request.user),
            org=org,
            after={
                "organization": org and org.slug,
                "from": selection.first_day,
                "to": selection.last_day,
            },
            reason=f"Downloaded the {sheet.name} as CSV.",
        )
        return attachment(_lines(sheet, selection), name=_file_name(sheet, selection))

    return download


def _lines(sheet: Sheet, selection: Selection) -> Iterator[Sequence[object]]:
    yield header(sheet)
    count = 0
    for row in streamed(rows_of_sheet(sheet, selection)):
        count += 1
        yield line(sheet, row)
    yield [f"# end: {count} rows"]


def _file_name(sheet: Sheet, selection: Selection) -> str:
    owner = selection.org.slug if selection.org else "all"
    start = selection.first_day or "beginning"
    end = selection.last_day or timezone.now().date()
    return f"{sheet.name}-{owner}-{start}-to-{end}.csv"
