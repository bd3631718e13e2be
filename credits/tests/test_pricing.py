from __future__ import annotations

import math

import pytest

from clipforge.common.errors import Invalid
from credits.pricing import Charge, per_started_minute

ITEM = "export_per_output_minute"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, 1),
        (0.04, 1),
        (59.999, 1),
        (60, 1),
        (60.999, 1),
        (61, 2),
        (120, 2),
        (0.1 * 3 * 600, 3),  # 180.00000000000003
        (7200.5, 120),
    ],
)
def test_every_started_minute_costs_one_credit(seconds: float, expected: int):
    assert per_started_minute(ITEM, seconds).credits == expected


def test_a_charge_carries_what_it_was_made_of(settings):
    settings.PRICES = {"version": "2031-01", ITEM: 3}
    assert per_started_minute(ITEM, 61.5) == Charge(
        credits=6,
        unit_price=3,
        price_version="2031-01",
        inputs={"item": ITEM, "seconds": 61.5, "minutes": 2},
    )


@pytest.mark.parametrize("seconds", [-0.1, math.nan, math.inf])
def test_a_length_that_is_none_has_no_price(seconds: float):
    with pytest.raises(Invalid):
        per_started_minute(ITEM, seconds)
