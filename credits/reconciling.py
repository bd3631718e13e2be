"""Proving that the ledger adds up, and remembering when it last did."""

from __future__ import annotations

import time

from django.db import OperationalError
from psycopg.errors import QueryCanceled

from credits import selectors
from credits.models import LedgerCheck
from credits.selectors import Breach

# How many checks are remembered, and how many breaches of each.
KEPT, SHOWN = 1000, 20


def check_ledger(*, actor: str, seconds: float | None = None) -> tuple[LedgerCheck, list[Breach]]:
    """Check the invariants of all organizations and record the outcome.

    Given up after `seconds`, if any are given; then it is not known whether the ledger adds up.
    """
    started = time.monotonic()
    breaches: list[Breach] = []
    try:
        breaches = selectors.broken_invariants(seconds=seconds)
        found: int | None = len(breaches)
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        found = None
    check = LedgerCheck.objects.create(
        seconds=time.monotonic() - started,
        breaches=found,
        first=[f"{each.invariant}: {each.org_id}: {each.message}" for each in breaches[:SHOWN]],
        actor=actor,
    )
    LedgerCheck.objects.filter(pk__lte=check.pk - KEPT).delete()
    return check, breaches
