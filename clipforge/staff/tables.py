"""Tables of figures, each of which leads to its rows: for a page, and for CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from clipforge.common.money import money
from clipforge.staff import formatting


@dataclass(frozen=True)
class Cell:
    """A figure: as people read it, as a file has it, and the list of the rows that it is the sum of."""

    text: str
    value: Any
    url: str = ""
    is_number: bool = True


class Table(NamedTuple):
    title: str
    note: str
    headings: list[str]
    rows: list[list[Cell]]

    @property
    def labelled(self) -> list[list[tuple[str, Cell]]]:
        """The rows, each cell with its heading."""
        return [list(zip(self.headings, row, strict=True)) for row in self.rows]


def word(text: str, url: str = "") -> Cell:
    return Cell(text, text, url, is_number=False)


def number(value: int, url: str = "") -> Cell:
    return Cell(formatting.number(value), value, url)


def money_cell(minor: int, currency: str, url: str = "") -> Cell:
    return Cell(money(minor, currency), minor, url)


def lines_of(table: Table) -> Iterator[Sequence[object]]:
    """Each figure as it is counted; of money also as people write it."""
    of_money = [
        place
        for place in range(len(table.headings))
        if any(cell.is_number and cell.text != f"{cell.value:,}" for cell in _column(table, place))
    ]
    yield [*table.headings, *(f"{table.headings[place]} (written)" for place in of_money)]
    for row in table.rows:
        yield [*(cell.value for cell in row), *(row[place].text for place in of_money)]


def _column(table: Table, place: int) -> Iterator[Cell]:
    return (row[place] for row in table.rows)
