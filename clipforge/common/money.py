"""Amounts of money as people write them, and as they type them.

Amounts are whole numbers of the currency's minor unit, as Stripe has them: cents for USD, yen for JPY,
fils of which a dinar has 1,000 for KWD.
"""

from __future__ import annotations

from decimal import Decimal

from babel.numbers import format_currency, get_currency_precision

# Pages and commands speak English; the symbol and the digits are the currency's own.
LOCALE = "en"


def money(minor: int, currency: str) -> str:
    """`$1,234.50`, `-€9.00`, `¥4,900`: the sign first, then the symbol, then thousands apart."""
    return format_currency(major_units(minor, currency), currency.upper(), locale=LOCALE)


def major_units(minor: int, currency: str) -> Decimal:
    """`Decimal("12.30")` of 1230 cents."""
    return Decimal(minor).scaleb(-digits(currency))


def minor_units(major: Decimal, currency: str) -> int:
    """1230 of `Decimal("12.3")` dollars. Raises ValueError for a part of a minor unit."""
    minor = major.scaleb(digits(currency))
    if minor != minor.to_integral_value():
        raise ValueError(f"{currency.upper()} has {digits(currency)} digits after the point.")
    return int(minor)


def digits(currency: str) -> int:
    """After the decimal point: 2 for USD, 0 for JPY, 3 for KWD."""
    return get_currency_precision(currency.upper())
