"""Every way in which billing changes anything. Each names its actor and is atomic."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import ValidationError
from django.db.transaction import atomic

from billing.models import Price
from clipforge.common.errors import Conflict, Invalid
from clipforge.common.models import uuid7

logger = logging.getLogger(__name__)

# What a customer agrees to. Everything else about a price may change while it is sold.
TERMS = frozenset({"name", "tier", "credits", "amount", "currency", "validity_days"})


def revise_price(*, price: Price, actor: str, **terms: Any) -> Price:
    """Change the terms of an active price. Returns the version that is sold from now on.

    One that was ever sold stays as it was, inactive, and the next version takes its place. Terms
    that are equal change nothing. Raises Invalid for what makes no price, and Conflict when the
    price is not the one being sold.
    """
    if unknown := set(terms) - TERMS:
        raise Invalid(f"A price has no {', '.join(sorted(unknown))}.")
    with atomic():
        current = Price.objects.select_for_update().get(pk=price.pk)
        if not current.is_active:
            raise Conflict(f"{current} is not sold any more; revise the version that is.")
        changes = {name: new for name, new in terms.items() if getattr(current, name) != new}
        if not changes:
            return current
        if current.frozen_at is not None:
            current = _next_version(current)
        for name, new in changes.items():
            setattr(current, name, new)
        _require_valid(current)
        current.save()
    logger.info("price revised", extra={"price": str(current), "actor": actor, **changes})
    return current


def withdraw_price(*, price: Price, actor: str) -> bool:
    """Stop selling it. What was sold is not touched. False when it was not sold any more."""
    withdrawn = Price.objects.filter(pk=price.pk, is_active=True).update(is_active=False)
    if withdrawn:
        logger.info("price withdrawn", extra={"price": str(price), "actor": actor})
    return bool(withdrawn)


def _next_version(price: Price) -> Price:
    """A copy to take the place of the price, not saved yet. Requires its lock."""
    Price.objects.filter(pk=price.pk).update(is_active=False)
    newest = Price.objects.filter(code=price.code).order_by("-version")[0]
    return Price(
        pk=uuid7(),
        code=price.code,
        version=newest.version + 1,
        kind=price.kind,
        **{name: getattr(price, name) for name in TERMS},
    )


def _require_valid(price: Price) -> None:
    try:
        price.full_clean(validate_unique=False)
    except ValidationError as error:
        raise Invalid("; ".join(error.messages)) from None
