"""The cached price list: `pricing:all`, one hour.

Stored under the version of the catalogue, which every write of a price raises: a change shows on
the next request in every process. When the hour is over one caller loads it anew, and all others
are served the old one meanwhile.
"""

from __future__ import annotations

from typing import Any

from billing.models import Catalogue, Price, PriceKind
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.versioned_cache import Versioned

KEY = "pricing:all"
SECONDS = 3600
# How long an old list may be served while one caller, at a time, loads it anew. Seconds.
GRACE = 600


def pricing(*, found: bytes | None = None) -> dict[str, Any]:
    """The active prices, cheapest first, and the version of the catalogue that they are from.

    `found` is as for `get_or_load`: of a list that is not old, so has GRACE left to live.
    """
    listed: dict[str, Any] = default_cache().get_or_load(
        KEY, stored_pricing, seconds=SECONDS, grace=GRACE, found=found
    )
    return listed


def catalogue_changed(version: int) -> None:
    """Forget the list. Call in the transaction that changed it."""
    default_cache().invalidate(KEY, version)


def stored_pricing() -> Versioned:
    """The list as the database has it.

    The version is read first: should a price change in between, what is returned is newer than
    it says, never older.
    """
    version = catalogue_version()
    prices = list(Price.objects.filter(is_active=True).order_by("amount", "code"))
    listed = {
        "version": version,
        "plans": [_plan(price) for price in prices if price.kind == PriceKind.PLAN],
        "packs": [_pack(price) for price in prices if price.kind == PriceKind.PACK],
    }
    return Versioned(listed, version)


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
