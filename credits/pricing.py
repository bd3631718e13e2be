"""Prices of work, from `settings.PRICES`. A charge carries everything that it was computed from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from clipforge.common.errors import Invalid


@dataclass(frozen=True)
class Charge:
    """A price in credits, and its trace: enough to compute it again."""

    credits: int
    unit_price: int
    price_version: str
    inputs: dict[str, Any] = field(default_factory=dict)
    # What else the work is, besides its item and length: a quote is for the same work only.
    options: dict[str, Any] = field(default_factory=dict)


def per_started_minute(item: str, seconds: float) -> Charge:
    """The price of `seconds` of `item`, a key of PRICES. At least one minute is charged.

    Fractions of a second are free: a length that was measured may exceed a whole minute by a few
    hundredths, and these must not cost a second minute.

    Raises Invalid for a length that is negative or no number.
    """
    if not (math.isfinite(seconds) and seconds >= 0):
        raise Invalid("The length must be a number of seconds, zero or more.")
    minutes = max(1, math.ceil(math.floor(seconds) / 60))
    prices: dict[str, Any] = settings.PRICES
    unit_price = prices[item]
    return Charge(
        credits=minutes * unit_price,
        unit_price=unit_price,
        price_version=prices["version"],
        inputs={"item": item, "seconds": seconds, "minutes": minutes},
    )
