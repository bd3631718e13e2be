"""Reads of jobs of any kind."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.db import models
from django.db.models import Case, OuterRef, Subquery, Value, When
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from clipforge.jobs import kinds, places
from clipforge.jobs.models import FAILED, QUEUED, Job
from clipforge.orgs.models import Organization
from credits.models import CreditHold, HoldStatus

J = TypeVar("J", bound=Job)


def with_reserved(rows: models.QuerySet[J]) -> models.QuerySet[J]:
    """The same rows, knowing what is reserved for them. Only of those that are open a hold is read."""
    held = CreditHold.objects.filter(pk=OuterRef("hold_id"), status=HoldStatus.HELD)
    amount = Coalesce(Subquery(held.values("amount")), Value(0))
    is_open = When(status__in=[QUEUED, rows.model.RUNNING], then=amount)
    annotated: models.QuerySet[Any] = rows.annotate(reserved=Case(is_open, default=Value(0)))
    return annotated


def all_jobs(model: type[J]) -> models.QuerySet[J]:
    """Jobs of all organizations, whatever their status: for staff."""
    return model._default_manager.all()


def jobs_of(model: type[J], org: Organization) -> models.QuerySet[J]:
    return model._default_manager.filter(org=org)


class Turn(NamedTuple):
    """How many jobs of all kinds start before a queued one, itself included: 1 is next; and when it is expected to.

    Beyond `places.MAX_POSITION` it is "at least so many": counting on would cost more than it tells. There,
    for one that waits to be prepared, and where too little was measured, when it starts is not known.
    """

    position: int
    starts_at: datetime.datetime | None


def turn_of(job: Job) -> Turn | None:
    """As the request that queued it was told, else as it is now. None if it is not queued."""
    if job.ahead_when_queued is not None:
        return _turn(job, job.ahead_when_queued, job.starts_when_queued)
    if job.status != QUEUED or job.queued_at is None:
        return None
    return _turn(job, *places.turn(job.pk, most=places.MAX_POSITION))


def _turn(job: Job, ahead: int, starts_at: datetime.datetime | None) -> Turn:
    is_known = ahead < places.MAX_POSITION and not kinds.prepares(job)
    return Turn(ahead + 1, starts_at if is_known else None)


def queue_position(job: Job) -> int | None:
    """The position of its turn as it is now."""
    if job.status != QUEUED or job.queued_at is None:
        return None
    return places.position(job.pk, most=places.MAX_POSITION) + 1


def seconds_until_news(job: Job, position: int | None) -> int | None:
    """When it is worth asking for an unfinished job again; None for one that has ended.

    Those that wait are told by their place; of those that run, a tenth of the time that has passed.
    """
    if job.status == QUEUED:
        return min(30, 2 + 3 * (position or 1))
    if job.status != job.RUNNING or job.started_at is None:
        return None
    passed = (timezone.now() - job.started_at).total_seconds()
    return max(2, min(15, round(passed / 10)))


def queued_jobs(model: type[J]) -> models.QuerySet[J]:
    """Jobs of all organizations that wait for a worker, the one that waits longest first."""
    return model._default_manager.filter(status=QUEUED).order_by("queued_at")


def running_jobs(model: type[J]) -> models.QuerySet[J]:
    """Jobs of all organizations that a worker holds."""
    return model._default_manager.filter(status=model.RUNNING)


def open_jobs(model: type[J]) -> models.QuerySet[J]:
    """Jobs of all organizations that wait or run."""
    return model._default_manager.filter(status__in=[QUEUED, model.RUNNING])


def failed_jobs(model: type[J]) -> models.QuerySet[J]:
    """Jobs of all organizations that ended without a result."""
    return model._default_manager.filter(status=FAILED)


def lapsed_jobs(model: type[J]) -> models.QuerySet[J]:
    """Running jobs whose worker gave no sign of life for a lease, the longest silent first."""
    lapsed = model._default_manager.filter(status=model.RUNNING, lease_expires_at__lt=Now())
    return lapsed.order_by("lease_expires_at")


def aging_jobs(model: type[J], status: str) -> models.QuerySet[J]:
    """Jobs of an open status whose hold has lived half of its life."""
    half = datetime.timedelta(seconds=settings.HOLD_SECONDS / 2)
    return model._default_manager.filter(
        status=status, hold__status="HELD", hold__expires_at__lt=Now() + half
    )
