"""Reads of what is sold."""

from __future__ import annotations

from typing import Any

from billing import caching
from billing.models import Price
from clipforge.common.errors import Invalid


def pricing() -> dict[str, Any]:
    """What `GET /pricing` answers: `{version, plans, packs}`."""
    return caching.pricing()


def price_for_sale(code: str, *, currency: str | None = None) -> Price:
    """The version of `code` that can be bought now, straight from the table.

    Raises Invalid with the code `unknown_price`, `price_inactive`, `wrong_currency` or, for what
    costs nothing, `not_for_sale`.
    """
    price = Price.objects.filter(code=code).order_by("-is_active", "-version").first()
    if price is None:
        raise Invalid(f'There is no price "{code}". GET /pricing lists them.', code="unknown_price")
    if not price.is_active:
        raise Invalid(f'"{code}" is not sold any more.', code="price_inactive")
    if currency is not None and currency.lower() != price.currency:
        raise Invalid(
            f'"{code}" is sold in {price.currency}, not {currency}.', code="wrong_currency"
        )
    if price.amount == 0:
        raise Invalid(f'"{code}" costs nothing and needs no payment.', code="not_for_sale")
    return price
