from __future__ import annotations

from decimal import Decimal

import pytest

from clipforge.common.money import major_units, minor_units, money


@pytest.mark.parametrize(
    ("minor", "currency", "written"),
    [
        (900, "usd", "$9.00"),
        (49900, "USD", "$499.00"),
        (123456789, "usd", "$1,234,567.89"),
        (-900, "eur", "-€9.00"),
        (1, "gbp", "£0.01"),
        (0, "usd", "$0.00"),
        (4900, "jpy", "¥4,900"),
        (1500, "kwd", "KWD1.500"),
    ],
)
def test_an_amount_has_the_digits_and_the_symbol_of_its_currency(
    minor: int, currency: str, written: str
):
    assert money(minor, currency) == written


@pytest.mark.parametrize("currency", ["usd", "jpy", "kwd"])
def test_what_is_typed_is_what_was_shown(currency: str):
    assert minor_units(major_units(123456, currency), currency) == 123456


def test_a_part_of_a_cent_is_refused():
    assert minor_units(Decimal("12.3"), "usd") == 1230
    with pytest.raises(ValueError, match="USD has 2 digits"):
        minor_units(Decimal("12.345"), "usd")
    with pytest.raises(ValueError, match="JPY has 0 digits"):
        minor_units(Decimal("1.5"), "jpy")
