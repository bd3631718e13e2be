"""Alarms: people are told of a condition once it lasts, again each day while it does, and when it is over.

Any number of processes may watch at the same time: whoever has the lock on a condition's row tells.
People are told before that is noted, so that a crash in between tells them twice, and never not at all.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from clipforge.staff.dashboard import selectors as dashboard_selectors
from clipforge.staff.models import Alarm
from clipforge.staff.watching import telling
from clipforge.staff.watching.conditions import CONDITIONS, Condition, Unknown

logger = logging.getLogger(__name__)

AGAIN = datetime.timedelta(days=1)


def check() -> list[str]:
    """Look at every condition once, and tell whoever has to know. Returns the codes of those that hold.

    What cannot be known now stays as it is; so does all that people have to be told when nobody can be
    reached. Raises DatabaseError.
    """
    held = set(Alarm.objects.filter(since__isnull=False).values_list("code", flat=True))
    holding: list[str] = []
    changes: list[Callable[[], None]] = []
    found = dashboard_selectors.collect()
    for condition in CONDITIONS:
        try:
            said = condition.says(found)
        except Unknown:
            continue
        if said is not None:
            holding.append(condition.code)
            changes.append(partial(_holds, condition, said))
        elif condition.code in held:
            changes.append(partial(_is_over, condition))
    try:
        for change in changes:
            change()
    except telling.NobodyTold:
        logger.warning("nobody could be told; it is tried again")
    return holding


def _holds(condition: Condition, said: str) -> None:
    Alarm.objects.bulk_create([Alarm(code=condition.code)], ignore_conflicts=True)
    Alarm.objects.filter(pk=condition.code, since=None).update(since=Now(), told_at=None)
    with transaction.atomic():
        alarm = _locked(condition)
        if alarm is None or alarm.since is None:
            return
        is_due = alarm.told_for is None or alarm.told_for >= AGAIN
        if alarm.held_for >= condition.lasts and is_due:
            telling.tell(condition, said, since=alarm.since)
            Alarm.objects.filter(pk=alarm.pk).update(told_at=Now())


def _is_over(condition: Condition) -> None:
    with transaction.atomic():
        alarm = _locked(condition)
        if alarm is None or alarm.since is None:
            return
        if alarm.told_at is not None:
            telling.tell_over(condition, since=alarm.since)
        Alarm.objects.filter(pk=alarm.pk).update(since=None, told_at=None)


def _locked(condition: Condition) -> Any:
    """The row, with how long it holds and how long ago somebody was told. None: another process has it."""
    rows = Alarm.objects.select_for_update(skip_locked=True).annotate(
        held_for=_since("since"), told_for=_since("told_at")
    )
    return rows.filter(pk=condition.code).first()


def _since(column: str) -> ExpressionWrapper[Any]:
    return ExpressionWrapper(Now() - F(column), output_field=DurationField())
