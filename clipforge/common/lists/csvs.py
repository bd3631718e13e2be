"""CSV of any length: written row by row, with no cell that a spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import datetime
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from django.http import StreamingHttpResponse

# Signs that a spreadsheet takes for the beginning of a formula; in East Asia also the wide forms.
SIGN = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
LEADING = re.compile(rf"[\s\ufeff]*{SIGN}|[\t\r\n]")
# The same in what becomes a cell of its own where semicolons or tabs are what separates cells.
INSIDE = re.compile(rf'([;\t\r\n][\s\ufeff"]*)(?={SIGN})')
# Lines that are sent at once.
BATCH = 200


def attachment(rows: Iterable[Sequence[object]], *, name: str) -> StreamingHttpResponse:
    """The rows as a file that a browser saves under `name`, a plain one."""
    response = StreamingHttpResponse(_batches(rows), content_type="text/csv")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _batches(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    lines: Iterator[Any] = (writer.writerow([_cell(value) for value in row]) for row in rows)
    while batch := "".join(islice(lines, BATCH)):
        yield batch


def _cell(value: object) -> object:
    """Numbers stay numbers, also below zero; times are ISO; no text is a formula."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    if not isinstance(value, str):
        return value
    start = "'" if LEADING.match(value) else ""
    return start + (INSIDE.sub(r"\1'", value) if INSIDE.search(value) else value)


class _Echo:
    """Gives back what the writer makes of a row."""

    def write(self, line: str) -> str:
        return line
