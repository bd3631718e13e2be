"""Numbers with their units, dates, and the colours of states."""

from __future__ import annotations

import datetime
from typing import Any, cast

from django.db.models import Model

from clipforge.common.states import state_of

__all__ = ["state_of"]

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def number(value: int) -> str:
    return f"{value:,}"


def count(value: int, one: str, many: str = "") -> str:
    """`1 credit`, `1,200 credits`."""
    return f"{value:,} {one if abs(value) == 1 else many or one + 's'}"


def size(bytes_: int) -> str:
    """In the largest unit of which there is one: `512 bytes`, `1.5 GB`. A kB is 1,000 bytes."""
    value, unit = float(bytes_), 0
    # Rounded, 999,950 bytes are a MB.
    while round(value, 1) >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return count(bytes_, "byte") if unit == 0 else f"{value:,.1f} {UNITS[unit]}"


def length(seconds: float) -> str:
    """`1:05`, `1:02:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def seconds(value: float) -> str:
    """`0.4 s`, `15.4 s`, `1:02:05`: with a tenth below a minute."""
    return f"{value:.1f} s" if value < 59.95 else length(value)


def moment(at: datetime.datetime) -> str:
    """`2026-11-03 14:05:09 UTC`: the one way in which staff read a time."""
    return f"{at.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


def status_in_words(model: type[Model], status: str) -> str:
    field: Any = model._meta.get_field("status")
    return str(dict(field.flatchoices).get(status, status))


def status_of(row: Model) -> str:
    return status_in_words(type(row), cast("Any", row).status)


def day(date: datetime.date) -> str:
    """`2026-11-03`, as in `moment`."""
    return f"{date:%Y-%m-%d}"


def month(date: datetime.date) -> str:
    """`Nov 2026`."""
    return f"{date:%b %Y}"


def short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
