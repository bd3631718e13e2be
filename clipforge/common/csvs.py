"""CSV of any length: written row by row, and never a formula to whoever opens it."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from django.http import StreamingHttpResponse

# What a spreadsheet takes for the beginning of a formula: four of them also as wide as
# East Asian characters are.
FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
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
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


class _Echo:
    """Gives back what the writer makes of a row."""

    def write(self, line: str) -> str:
        return line
