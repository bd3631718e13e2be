"""Quotes that bind: prices of pieces of work that hold for an hour, whatever the price list says then.

A quote has a line for each piece, and each line pays for one. An order that names the quote takes a
line of the same work, of which `Work` is the measure, and costs what that line says; where there is
none left it is refused. The line is taken in the transaction of the order, under a lock on the quote:
of two orders at the same time the second waits, and finds it taken, or free again if the first failed.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

from clipforge.common.errors import Conflict, NotFound
from clipforge.orgs.models import Organization
from credits.errors import MaxCreditsExceeded
from credits.models import CreditQuote
from credits.pricing import Charge

# Long enough to show it to somebody who decides, and short against the life of a price list.
LIFE = datetime.timedelta(hours=1)
# That a customer may still be told that it has ended, and what took it.
RETENTION = datetime.timedelta(days=7)
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Terms:
    """The bounds that an order sets to its price: credits at most, and the quote that it is to cost."""

    max_credits: int | None = None
    quote_id: uuid.UUID | None = None

    def require_within(self, credits_: int) -> None:
        """Raises MaxCreditsExceeded for more than `max_credits`."""
        if self.max_credits is not None and credits_ > self.max_credits:
            raise MaxCreditsExceeded(needed=credits_, max_credits=self.max_credits)


# Of an order that sets none.
AT_ANY_PRICE = Terms()


def make_quote(*, org: Organization, charges: Sequence[Charge]) -> CreditQuote:
    """Promise these prices for LIFE. Nothing is reserved."""
    lines = [
        {
            "work": work_of(charge),
            "credits": charge.credits,
            "unit_price": charge.unit_price,
            "price_version": charge.price_version,
            "inputs": charge.inputs,
            "used_by": None,
        }
        for charge in charges
    ]
    return CreditQuote.objects.create(org=org, lines=lines, expires_at=timezone.now() + LIFE)


def agreed(*, org: Organization, charge: Charge, terms: Terms, order: uuid.UUID) -> Charge:
    """The charge at which the work is ordered: that of the quote where one is named, else `charge`.

    Requires the transaction of the order where a quote is named. Raises MaxCreditsExceeded; NotFound
    for a quote of another organization; Conflict for one that has ended (`quote_expired`), is of other
    work (`quote_mismatch`), or has paid for all such work already (`quote_used`).
    """
    if terms.quote_id is not None:
        charge = _take(org, charge, terms.quote_id, order)
    terms.require_within(charge.credits)
    return charge


def lock_quote(org: Organization, quote_id: uuid.UUID) -> CreditQuote:
    """The quote, whose lines nobody else takes before the caller's transaction ends.

    Raises NotFound, and Conflict (`quote_expired`).
    """
    locked = CreditQuote.objects.for_org(org).select_for_update(no_key=True)
    quote = locked.filter(pk=quote_id).first()
    if quote is None:
        raise NotFound
    if timezone.now() >= quote.expires_at:
        raise Conflict(
            f"The quote ended at {quote.expires_at:%Y-%m-%d %H:%M:%S} UTC. Ask for another.",
            code="quote_expired",
        )
    return quote


def work_of(charge: Charge) -> dict[str, Any]:
    """The measure of what a charge is for: the same work has the same, whatever the prices are."""
    counted = {name: charge.inputs.get(name) for name in ("item", "minutes")}
    return {**counted, **charge.options}


def forget_old_quotes() -> int:
    """Delete the quotes that ended RETENTION ago, at most BATCH of them. Returns how many."""
    old = CreditQuote.objects.filter(expires_at__lt=Now() - RETENTION).order_by("expires_at")
    deleted, _ = CreditQuote.objects.filter(
        pk__in=list(old.values_list("pk", flat=True)[:BATCH])
    ).delete()
    return deleted


def _take(org: Organization, charge: Charge, quote_id: uuid.UUID, order: uuid.UUID) -> Charge:
    quote = lock_quote(org, quote_id)
    line = _free_line(quote, work_of(charge))
    line["used_by"] = str(order)
    quote.save(update_fields=["lines"])
    return Charge(
        credits=line["credits"],
        unit_price=line["unit_price"],
        price_version=line["price_version"],
        # Of the quote, but for the length, which is that of the work.
        inputs={
            **line["inputs"],
            **{name: charge.inputs[name] for name in ("seconds",) if name in charge.inputs},
            "quote": str(quote.pk),
        },
        options=charge.options,
    )


def _free_line(quote: CreditQuote, work: Mapping[str, Any]) -> dict[str, Any]:
    same = [line for line in quote.lines if line["work"] == work]
    if not same:
        raise Conflict(
            f"The quote is not for this work, which is {_in_words(work)}. Nothing was charged.",
            code="quote_mismatch",
        )
    free: dict[str, Any] | None = next((line for line in same if not line["used_by"]), None)
    if free is None:
        raise Conflict(
            "What this quote was for has been ordered with it already. Ask for another.",
            code="quote_used",
            existing=same[0]["used_by"],
        )
    return free


def _in_words(work: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in work.items())
