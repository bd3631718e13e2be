"""Checks of the ledger's invariants, and the record of the checks made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from clipforge.orgs.models import Organization
from credits.invariants import Breach, broken_invariants
from credits.models import LedgerCheck

__all__ = ["Breach", "Check", "breaches", "check_ledger", "register_check", "time_limit"]

MAX_CHECKS_KEPT = 1000
MAX_BREACHES_RECORDED = 20  # of one check

Check = Callable[[Organization | None], list[Breach]]
# Invariants that tie the rows of apps above to the ledger; they register themselves.
_registered: list[Check] = []


def register_check(check: Check) -> Check:
    """Decorator for a function that returns the breaches of one more invariant, of one organization
    or all.
    """
    _registered.append(check)
    return check


def breaches(org: Organization | None = None, *, seconds: float | None = None) -> list[Breach]:
    """The breaches of every invariant, of one organization or all.

    Raises OperationalError when the statements together take longer than `seconds`.
    """
    with time_limit(seconds) as limit:
        found = broken_invariants(org, before_each=limit)
        for check in _registered:
            limit()
            found += check(org)
    return found


@contextmanager
def time_limit(seconds: float | None) -> Iterator[Callable[[], None]]:
    """A function to call before each statement: it limits the statement to the time that is left.

    Does nothing where `seconds` is None.
    """
    if seconds is None:
        yield lambda: None
        return
    end = time.monotonic() + seconds

    def limit() -> None:
        timeout = f"{milliseconds_until(end)}ms"
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [timeout])

    with transaction.atomic():
        yield limit


def milliseconds_until(end: float) -> int:
    """From now to `end` of the monotonic clock; at least 1, since a timeout of 0 would be none."""
    return max(1, round((end - time.monotonic()) * 1000))


def check_ledger(*, actor: str, seconds: float | None = None) -> tuple[LedgerCheck, list[Breach]]:
    """Check the invariants of all organizations, and record the result.

    After `seconds`, if any are given, the check is given up: `LedgerCheck.breaches` is None then.
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
        first=[
            f"{each.invariant}: {each.org_id}: {each.message}"
            for each in broken[:MAX_BREACHES_RECORDED]
        ],
        actor=actor,
    )
    LedgerCheck.objects.filter(pk__lte=check.pk - MAX_CHECKS_KEPT).delete()
    return check, broken
