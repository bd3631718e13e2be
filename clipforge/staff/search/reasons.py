"""The reason for which a row is a result: the column of it that has the text."""

from __future__ import annotations

import re
from typing import Any

from billing.selectors import without_blanks

# Columns by which rows are found, in the words of staff, the most certain first.
COLUMNS = {
    "pk": "its id",
    "request_id": "the request that did it",
    "reference_id": "what it is for",
    "slug": "its slug",
    "prefix": "its prefix",
    "checkout_id": "its checkout at Stripe",
    "invoice_id": "its invoice at Stripe",
    "payment_intent_id": "its payment at Stripe",
    "stripe_id": "its id at Stripe",
    "reference": "its reference",
    "name": "its name",
    "email": "the address",
    "title": "its title",
}


def why_of(row: Any, term: str) -> str:
    """`its name has “acme”`. Of several texts that were pasted, the first that says why."""
    for text in (term, *re.split(r"[\s,;]+", term)):
        if said := _why(row, text.strip().lower()):
            return said
    return "what you typed leads to it"


def _why(row: Any, text: str) -> str:
    if not text:
        return ""
    bare = without_blanks(text)
    for column, name in COLUMNS.items():
        value = str(getattr(row, column, "") or "").lower()
        if not value:
            continue
        if value == text or without_blanks(value) == bare:
            return f"{name} is “{text}”"
        if value.startswith(text):
            return f"{name} begins with “{text}”"
        if text in value:
            return f"{name} has “{text}”"
    return ""
