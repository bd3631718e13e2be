"""Charts as plain SVG, drawn by `staff/chart.html`, each with a sentence and a table for screen readers.

No text is inside the drawing, so that it can be as wide as a phone or a desk.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from clipforge.common.money import money
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
    # Of money, in whose minor units the values are.
    currency: str = ""

    def say(self, value: int) -> str:
        """`300 credits`, `$9.00`."""
        if self.currency:
            return money(value, self.currency)
        return formatting.count(value, self.unit)

    def say_briefly(self, value: int) -> str:
        return money(value, self.currency) if self.currency else formatting.number(value)


@dataclass(frozen=True)
class Band:
    """A series drawn to its own scale: a grant of thousands leaves the days of spending visible."""

    series: Series
    days: Sequence[datetime.date]
    say_day: Callable[[datetime.date], str] = formatting.day

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
            f"{self.say_day(date)}: {self.series.say(value)}",
        )

    @cached_property
    def sum(self) -> str:
        return self.series.say_briefly(sum(self.series.values))

    @cached_property
    def summary(self) -> str:
        """`1,200 credits spent, most on 14 Nov 2026 (300)`."""
        most = max(self.series.values, default=0)
        if most <= 0:
            return f"no {self.series.unit}s {self.series.done}"
        total, date = sum(self.series.values), self.days[list(self.series.values).index(most)]
        return (
            f"{self.series.say(total)} {self.series.done}, "
            f"most {'on' if self.say_day is formatting.day else 'in'} {self.say_day(date)} "
            f"({self.series.say_briefly(most)})"
        )


@dataclass(frozen=True)
class Chart:
    """Numbers over days, one series below the other. `name` begins the ids of its elements."""

    name: str
    title: str
    days: Sequence[datetime.date]
    series: Sequence[Series]
    # "day", or "month": then each date is the first of one.
    span: str = "day"

    @property
    def _words(self) -> Callable[[datetime.date], str]:
        return formatting.month if self.span == "month" else formatting.day

    @cached_property
    def bands(self) -> list[Band]:
        return [Band(series, self.days, self._words) for series in self.series]

    @cached_property
    def period(self) -> str:
        if not self.days:
            return f"no {self.span}s"
        first, last = self._words(self.days[0]), self._words(self.days[-1])
        return first if first == last else f"{first} to {last}"

    @cached_property
    def summary(self) -> str:
        """The chart as a sentence."""
        if not any(value for series in self.series for value in series.values):
            return f"Nothing happened: {self.period}."
        return f"{self.period}: {'; '.join(band.summary for band in self.bands)}."

    @cached_property
    def rows(self) -> list[tuple[datetime.date, str, list[str]]]:
        """The chart as a table, the newest day first: dates, and how they are said."""
        numbers = [
            [series.say_briefly(series.values[place]) for series in self.series]
            for place in range(len(self.days))
        ]
        return list(zip(self.days, map(self._words, self.days), numbers, strict=True))[::-1]
