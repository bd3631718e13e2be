"""Charts as plain SVG, drawn by `staff/chart.html`, each with a sentence and a table for screen readers.

No text is inside the drawing, so that it can be as wide as a phone or a desk.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from clipforge.staff import formatting

# Units of the drawing; the page scales it.
WIDTH, HEIGHT = 600, 41
# The share of a day's width that its bar fills.
BAR_SHARE = 0.72


class Bar(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Series:
    """One number a day: "Credits spent" are credits (`unit`, of one) that were spent (`done`).

    `state` colours it.
    """

    name: str
    unit: str
    done: str
    values: Sequence[int]
    state: str = ""


@dataclass(frozen=True)
class Band:
    """A series drawn to its own scale: a grant of thousands leaves the days of spending visible."""

    series: Series
    days: Sequence[datetime.date]

    width, height = WIDTH, HEIGHT

    @cached_property
    def bars(self) -> list[Bar]:
        """A bar for each day with a value; a day without one is a zero."""
        most = max(self.series.values, default=0)
        slot = WIDTH / max(len(self.days), 1)
        return [
            self._bar(place * slot, slot, value, most, date)
            for place, (date, value) in enumerate(zip(self.days, self.series.values, strict=True))
            if value > 0
        ]

    def _bar(self, left: float, slot: float, value: int, most: int, date: datetime.date) -> Bar:
        # A day with little stays visible beside one with much.
        height = max(1.0, value / most * (HEIGHT - 1))
        return Bar(
            round(left + slot * (1 - BAR_SHARE) / 2, 2),
            round(HEIGHT - height, 2),
            round(slot * BAR_SHARE, 2),
            round(height, 2),
            f"{formatting.day(date)}: {formatting.count(value, self.series.unit)}",
        )

    @cached_property
    def sum(self) -> str:
        return formatting.number(sum(self.series.values))

    @cached_property
    def summary(self) -> str:
        """`1,200 credits spent, most on 14 Nov 2026 (300)`."""
        most = max(self.series.values, default=0)
        if most <= 0:
            return f"no {self.series.unit}s {self.series.done}"
        total, date = sum(self.series.values), self.days[list(self.series.values).index(most)]
        return (
            f"{formatting.count(total, self.series.unit)} {self.series.done}, "
            f"most on {formatting.day(date)} ({formatting.number(most)})"
        )


@dataclass(frozen=True)
class Chart:
    """Numbers over days, one series below the other. `name` begins the ids of its elements."""

    name: str
    title: str
    days: Sequence[datetime.date]
    series: Sequence[Series]

    @cached_property
    def bands(self) -> list[Band]:
        return [Band(series, self.days) for series in self.series]

    @cached_property
    def period(self) -> str:
        if not self.days:
            return "no days"
        first, last = formatting.day(self.days[0]), formatting.day(self.days[-1])
        return first if first == last else f"{first} to {last}"

    @cached_property
    def summary(self) -> str:
        """The chart as a sentence."""
        if not any(value for series in self.series for value in series.values):
            return f"Nothing happened: {self.period}."
        return f"{self.period}: {'; '.join(band.summary for band in self.bands)}."

    @cached_property
    def rows(self) -> list[tuple[datetime.date, list[str]]]:
        """The chart as a table, the newest day first."""
        columns = [series.values for series in self.series]
        numbers = [
            [formatting.number(value) for value in row] for row in zip(*columns, strict=True)
        ]
        return list(zip(self.days, numbers, strict=True))[::-1]
