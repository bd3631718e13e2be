"""Proving that the ledger adds up, and remembering when it last did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from clipforge.orgs.models import Organization
from credits import selectors
from credits.models import LedgerCheck
from credits.selectors import Breach

# How many checks are remembered, and how many breaches of each.
KEPT, SHOWN = 1000, 20


Check = Callable[[Organization | None], list[Breach]]
# What the modules above know of the ledger and prove besides.
_others: list[Check] = []


def also_checks(check: Check) -> Check:
    """Decorates what finds breaches of an invariant of its own, of one organization or all."""
    _others.append(check)
    return check


def breaches(org: Organization | None = None, *, seconds: float | None = None) -> list[Breach]:
    """Check every invariant, of one organization or all. Empty means that all is well.

    After `seconds`, if any are given, the database gives up and OperationalError is raised.
    """
    with time_limit(seconds) as limit:
        found = selectors.broken_invariants(org, before_each=limit)
        for check in _others:
            limit()
            found += check(org)
    return found


@contextmanager
def time_limit(seconds: float | None) -> Iterator[Callable[[], None]]:
    """Gives what is to be called before each statement: what is left is all that it may take."""
    if seconds is None:
        yield lambda: None
        return
    end = time.monotonic() + seconds

    def limit() -> None:
        left = max(1, round((end - time.monotonic()) * 1000))  # 0 would be no limit
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{left}ms"])

    with transaction.atomic():
        yield limit


def check_ledger(*, actor: str, seconds: float | None = None) -> tuple[LedgerCheck, list[Breach]]:
    """Check the invariants of all organizations and record the outcome.

    Given up after `seconds`, if any are given; then it is not known whether the ledger adds up.
    """
    started = time.monotonic()
    broken: list[Breach] = []
    try:
        broken = breaches(seconds=seconds)
        found: int | None = len(broken)
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        found = None
    check = LedgerCheck.objects.create(
        seconds=time.monotonic() - started,
        breaches=found,
        first=[f"{each.invariant}: {each.org_id}: {each.message}" for each in broken[:SHOWN]],
        actor=actor,
    )
    LedgerCheck.objects.filter(pk__lte=check.pk - KEPT).delete()
    return check, broken
