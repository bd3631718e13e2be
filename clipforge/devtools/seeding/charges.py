"""The prices of work, as the ledger traces them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from django.conf import settings

from clipforge.devtools.seeding.draws import Ints, JobKind, Jobs


@dataclass(frozen=True)
class Price:
    """The price of a kind of work, and its name in the ledger."""

    reference_type: str
    item: str
    reason: str

    @cached_property
    def unit(self) -> int:
        prices: dict[str, Any] = settings.PRICES
        return int(prices[self.item])

    @cached_property
    def version(self) -> str:
        return str(settings.PRICES["version"])

    def credits(self, seconds: float) -> int:
        return minutes(seconds) * self.unit

    def inputs(self, seconds: float) -> str:
        return f'{{"item": "{self.item}", "seconds": {seconds}, "minutes": {minutes(seconds)}}}'


PRICES: dict[int, Price] = {
    JobKind.PROJECT: Price("project", "analysis_per_source_minute", "Analysis of a recording"),
    JobKind.EXPORT: Price("export", "export_per_output_minute", "Export of a moment"),
}


def prices_of(jobs: Jobs) -> Ints:
    """Credits, one a job."""
    length = np.maximum(1, np.ceil(np.floor(jobs.seconds) / 60)).astype(np.int64)
    units = np.array([0, PRICES[JobKind.PROJECT].unit, PRICES[JobKind.EXPORT].unit])
    return np.asarray(length * units[jobs.kind])


def minutes(seconds: float) -> int:
    """Started minutes, as `credits.pricing` counts them."""
    return max(1, -(-int(seconds) // 60))
