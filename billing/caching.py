"""The price list as everybody reads it: the one place where the catalogue is read for clients."""

from __future__ import annotations

from typing import Any

from billing.models import Catalogue, Price, PriceKind


def pricing() -> dict[str, Any]:
    """The active prices, cheapest first, and the version of the catalogue that they are from.

    The version is read first: should a price change in between, what is returned is newer than
    it says, never older.
    """
    version = catalogue_version()
    prices = list(Price.objects.filter(is_active=True).order_by("amount", "code"))
    return {
        "version": version,
        "plans": [_plan(price) for price in prices if price.kind == PriceKind.PLAN],
        "packs": [_pack(price) for price in prices if price.kind == PriceKind.PACK],
    }


def catalogue_version() -> int:
    """0 before the first price."""
    return Catalogue.objects.values_list("version", flat=True).first() or 0


def _plan(price: Price) -> dict[str, Any]:
    return {
        "code": price.code,
        "name": price.name,
        "tier": price.tier,
        "credits_per_month": price.credits,
        "amount": price.amount,
        "currency": price.currency,
    }


def _pack(price: Price) -> dict[str, Any]:
    return {
        "code": price.code,
        "name": price.name,
        "credits": price.credits,
        "validity_days": price.validity_days,
        "amount": price.amount,
        "currency": price.currency,
    }
