"""Conditions that need a person: what each one is seen by, and what is said of it.

The headings of clipforge/docs/runbook.md are their codes.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from django.utils import timezone

from clipforge.staff import formatting
from clipforge.staff.dashboard.selectors import CHECK_IS_STALE, VERY_LATE, Snapshot

T = TypeVar("T")

AT_ONCE = datetime.timedelta()
# Longer than a deployment goes without workers, and a database without answers while it restarts.
LASTING = datetime.timedelta(minutes=2)


class Unknown(Exception):
    """The part of the snapshot that tells did not answer."""


class Condition(NamedTuple):
    """`says` gives a sentence while it holds, else None. Raises Unknown. Somebody is told once it lasts."""

    code: str
    title: str
    lasts: datetime.timedelta
    says: Callable[[Snapshot], str | None]


def _ledger_broken(found: Snapshot) -> str | None:
    check = _known(found.ledger).check
    if check is None or not check.breaches:
        return None
    return f"The check of {formatting.moment(check.checked_at)} found {check.breaches} breaches."


def _ledger_unproven(found: Snapshot) -> str | None:
    check = _known(found.ledger).check
    if check is None:
        return "It was never checked."
    if timezone.now() - check.checked_at > CHECK_IS_STALE:
        return f"The last check was at {formatting.moment(check.checked_at)}."
    return "The last check took too long and was given up." if check.breaches is None else None


def _no_worker(found: Snapshot) -> str | None:
    workers = _known(found.workers)
    if workers.alive:
        return None
    seen = workers.last_seen
    return f"One was last seen: {formatting.moment(seen) if seen else 'never'}."


def _dead_letters(found: Snapshot) -> str | None:
    counts = _known(found.counts)
    if not counts.queue_failed:
        return None
    return f"Queue entries that are not tried again: {counts.queue_failed}. They are under Rescue."


def _jobs_wait(found: Snapshot) -> str | None:
    late = [
        f"{jobs.label}: the oldest waits since {formatting.moment(jobs.oldest)}."
        for jobs in _known(found.counts).jobs
        if jobs.oldest and timezone.now() - jobs.oldest > VERY_LATE
    ]
    return " ".join(late) or None


def _jobs_lost(found: Snapshot) -> str | None:
    lost = [f"{jobs.label}: {jobs.lapsed}." for jobs in _known(found.counts).jobs if jobs.lapsed]
    return " ".join(["Jobs without a sign of life.", *lost]) if lost else None


def _payments_failed(found: Snapshot) -> str | None:
    failed = _known(found.counts).events_failed
    return f"Events of Stripe that could not be applied: {failed}." if failed else None


def _known(part: T | None) -> T:
    if part is None:
        raise Unknown
    return part


CONDITIONS = [
    Condition("ledger_broken", "The ledger does not add up", AT_ONCE, _ledger_broken),
    Condition(
        "ledger_unproven", "The ledger is not being checked", CHECK_IS_STALE, _ledger_unproven
    ),
    Condition("no_worker", "No worker lives", LASTING, _no_worker),
    Condition("dead_letters", "Tasks were given up", AT_ONCE, _dead_letters),
    Condition("jobs_wait", "Jobs wait for more than an hour", AT_ONCE, _jobs_wait),
    Condition("jobs_lost", "Jobs of dead workers are not taken over", LASTING, _jobs_lost),
    Condition("payments_failed", "Payments could not be applied", AT_ONCE, _payments_failed),
]
