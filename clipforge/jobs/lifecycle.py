"""Long work that is paid with a hold and survives dead workers.

The row is the truth; the queue is only a messenger. A row carries a *fence*, a number
that grows with every change of hands, and so does its hold. Whoever knows the current
fence may change them; a worker that came back from the dead knows an old one, and its
conditional UPDATE touches nothing.

    submit     QUEUED,  fence n      hold reserved, task (id, n) deferred in one transaction
    claim      RUNNING, fence n+1    only WHERE status = QUEUED AND fence = n
    beat       lease renewed         only WHERE status = RUNNING AND fence = n+1
    succeed    hold captured         only WHERE status = RUNNING AND fence = n+1
    fail       hold released         likewise
    cancel     hold released         from QUEUED or RUNNING, fence one up
    requeue    QUEUED,  fence n+2    by the sweeper when the lease ran out

Locks are always taken in the order row, hold, account, grants.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Any, Protocol, TypeVar

from django.conf import settings
from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from clipforge.common.errors import Conflict, NotFound
from clipforge.common.failure_excerpt import failure_excerpt
from clipforge.jobs.errors import TooManyAtOnce
from clipforge.jobs.failures import HOLD_LAPSED, HoldLost
from clipforge.jobs.models import CANCELLED, FAILED, QUEUED, Job
from clipforge.jobs.selectors import lapsed_jobs
from credits import services as credit_services
from credits.errors import TooManyOpenHolds
from credits.models import CreditHold
from credits.pricing import Charge

ACTOR = "system:worker"

# Work that comes back was promised its place: its new job goes before those that wait already.
COMES_BACK = 1


class Defer(Protocol):
    """Queues the task that does the work, inside the transaction that queues the row."""

    def __call__(self, pk: uuid.UUID, fence: int, *, priority: int = 0) -> None: ...


W = TypeVar("W", bound=Job)


# --- by whoever asks for the work -----------------------------------------------------


def submit(
    item: Job,
    *,
    charge: Charge,
    reason: str,
    actor: str,
    defer: Defer,
    most_open: int | None = None,
) -> None:
    """Reserve the price, insert the row as QUEUED and defer its task, all or nothing.

    Raises InsufficientCredits, and TooManyAtOnce where `most_open` jobs of the organization wait
    or run; then nothing was written.
    """
    with transaction.atomic():
        item.hold = _reserve(item, charge, reason, actor, most_open)
        item.status = QUEUED
        item.queued_at = timezone.now()
        item.save(force_insert=True)
        defer(item.pk, item.fence)


def retry(
    item: W,
    *,
    charge: Charge,
    reason: str,
    actor: str,
    defer: Defer,
    most_open: int | None = None,
) -> W:
    """Queue a FAILED or CANCELLED row again, under the same id and at today's price.

    Raises Conflict in any other state, InsufficientCredits and TooManyAtOnce as `submit` does.
    """
    with transaction.atomic():
        locked = _locked(item)
        if locked.status not in {FAILED, CANCELLED}:
            raise Conflict(f"It is {locked.status}; only FAILED or CANCELLED work can be retried.")
        locked.fence += 1
        locked.hold = _reserve(locked, charge, reason, actor, most_open)
        locked.status = QUEUED
        locked.attempts = 0
        locked.stage, locked.progress = "", 0
        locked.error_code = locked.error_message = locked.failure_detail = ""
        locked.queued_at = timezone.now()
        locked.started_at = locked.finished_at = None
        locked.save()
        defer(locked.pk, locked.fence)
    return locked


def cancel(item: W, *, actor: str) -> W:
    """Stop queued or running work and give the credits back. A running worker notices by its beat.

    Cancelling what is cancelled already changes nothing. Raises Conflict when it is finished.
    """
    with transaction.atomic():
        locked = _locked(item)
        if not _stop(locked, actor) and locked.status != CANCELLED:
            raise Conflict(f"It is {locked.status} already; there is nothing to cancel.")
        # Read again with its hold: what was joined to the lock may be from before we waited for it.
        return type(item)._default_manager.select_related("org", "hold").get(pk=item.pk)


def abandon(item: Job, *, actor: str) -> None:
    """Before the row is deleted: cancel it if it is open, and lock it until the caller commits.

    Call inside the transaction that deletes. Raises NotFound when it is gone already.
    """
    _stop(_locked(item), actor)


# --- by the worker that does it -------------------------------------------------------


def claim(model: type[W], pk: uuid.UUID, *, fence: int) -> W | None:
    """Take queued work: the row, RUNNING under a fence of its own, or None if somebody was first."""
    with transaction.atomic():
        claimed = model._default_manager.filter(pk=pk, status=QUEUED, fence=fence).update(
            status=model.RUNNING,
            fence=fence + 1,
            attempts=F("attempts") + 1,
            started_at=Now(),
            lease_expires_at=_lease_end(),
            stage="",
            progress=0,
        )
        if not claimed:
            return None
        item = model._default_manager.select_related("org", "hold").get(pk=pk)
        if _transfer_hold(item, from_fence=fence, to_fence=fence + 1):
            return item
        _settle(item, status=FAILED, error=HOLD_LAPSED)
        return None


def beat(item: Job, *, stage: str, progress: float) -> bool:
    """Say that the work goes on. False: it is no longer ours; stop and change nothing."""
    return bool(_mine(item).update(lease_expires_at=_lease_end(), stage=stage, progress=progress))


def succeed(item: Job, *, status: str, actor: str, charged: bool = True, **fields: Any) -> bool:
    """Record the result and settle the hold: captured, or released when `charged` is False.

    False: the work was no longer ours, nothing changed. Raises HoldLost when the row was ours
    but its hold is gone: the caller throws the result away and calls `fail` with HOLD_LAPSED.
    """
    cost = item.hold.amount if charged and item.hold else 0
    with transaction.atomic():
        if not _settle(item, status=status, progress=1, charged=cost, **fields):
            return False
        if not charged:
            _release(item, actor)
        elif item.hold_id is None or not credit_services.capture(
            hold_id=item.hold_id, fence=item.fence, actor=actor
        ):
            raise HoldLost
        return True


def fail(item: Job, *, error: tuple[str, str], actor: str, detail: str = "") -> bool:
    """Record a failure `(code, sentence)` and release the hold. False: it was no longer ours.

    `detail` is for staff: what it says of this machine is taken out, and the end of it is kept.
    """
    with transaction.atomic():
        if not _settle(item, status=FAILED, error=error, failure_detail=failure_excerpt(detail)):
            return False
        _release(item, actor)
        return True


def hand_back(item: Job, *, defer: Defer) -> bool:
    """Queue our own running work again, because this worker has to stop. Costs no attempt."""
    with transaction.atomic():
        return requeue_row(item, attempts=F("attempts") - 1, defer=defer)


# --- by the sweeper and by staff ---


def requeue(item: W, *, defer: Defer) -> W:
    """By hand, what the sweeper does by itself: a new job for work that nobody does.

    QUEUED work whose job was lost, or RUNNING work whose lease is over; the hold stays. A job that
    was not lost after all finds the fence moved on. Raises Conflict otherwise, and where the hold
    is gone: such work can only be cancelled, and retried.
    """
    with transaction.atomic():
        locked = _locked(item)
        lapsed = lapsed_jobs(type(item)).filter(pk=item.pk).exists()
        if locked.status != QUEUED and not lapsed:
            works = locked.status == locked.RUNNING
            raise Conflict(
                "Its worker gives signs of life." if works else f"It is {locked.status} already."
            )
        requeue_row(locked, defer=defer)
        ours = CreditHold.objects.filter(fence=locked.fence + 1, status="HELD")
        if locked.hold_id is None or not ours.filter(pk=locked.hold_id).exists():
            raise Conflict("Its reserved credits were given back. Cancel it, and retry it.")
        return type(item)._default_manager.select_related("org", "hold").get(pk=item.pk)


# --- inside ---------------------------------------------------------------------------


def _reserve(
    item: Job, charge: Charge, reason: str, actor: str, most_open: int | None
) -> CreditHold:
    try:
        return credit_services.reserve(
            org=item.org,
            charge=charge,
            reason=reason,
            reference_type=item.REFERENCE_TYPE,
            reference_id=str(item.pk),
            idempotency_key=f"{item.REFERENCE_TYPE}:{item.pk}:{item.fence}",
            actor=actor,
            fence=item.fence,
            max_open_holds=most_open,
        )
    except TooManyOpenHolds as refusal:
        # Each waiting or running job has exactly one open hold.
        raise TooManyAtOnce(running=refusal.open_holds, quota=refusal.limit) from refusal


def _release(item: Job, actor: str) -> None:
    if item.hold_id is not None:
        credit_services.release(hold_id=item.hold_id, fence=item.fence, actor=actor)


def _stop(locked: Job, actor: str) -> bool:
    """Cancel a locked row that is queued or running. False: it is neither, nothing changed."""
    if not locked.is_open:
        return False
    _settle(locked, status=CANCELLED, fence=F("fence") + 1)
    _release(locked, actor)
    return True


def _transfer_hold(item: Job, *, from_fence: int, to_fence: int) -> bool:
    return item.hold_id is not None and credit_services.transfer_hold(
        hold_id=item.hold_id, from_fence=from_fence, to_fence=to_fence
    )


def _lease_end() -> Any:
    return Now() + datetime.timedelta(seconds=settings.WORK_LEASE_SECONDS)


def _mine(item: Job) -> models.QuerySet[Any]:
    return type(item)._default_manager.filter(pk=item.pk, status=item.RUNNING, fence=item.fence)


def _here(item: Job) -> models.QuerySet[Any]:
    """The row, if it is still where `item` saw it."""
    return type(item)._default_manager.filter(pk=item.pk, status=item.status, fence=item.fence)


def _locked(item: W) -> W:
    locked = (
        type(item)
        ._default_manager.select_for_update(of=("self",))
        .select_related("org", "hold")
        .filter(pk=item.pk)
        .first()
    )
    if locked is None:
        raise NotFound
    return locked


def _settle(item: Job, *, status: str, error: tuple[str, str] = ("", ""), **fields: Any) -> bool:
    """Finish a row whose fence is still the one that `item` knows."""
    code, message = error
    return bool(
        _here(item).update(
            status=status,
            error_code=code,
            error_message=message,
            stage="",
            lease_expires_at=None,
            finished_at=Now(),
            updated_at=Now(),
            **fields,
        )
    )


def requeue_row(item: Job, *, defer: Defer, **fields: Any) -> bool:
    queued = _here(item).update(
        status=QUEUED,
        fence=item.fence + 1,
        lease_expires_at=None,
        stage="",
        progress=0,
        **fields,
    )
    if not queued:
        return False
    _transfer_hold(item, from_fence=item.fence, to_fence=item.fence + 1)
    defer(item.pk, item.fence + 1, priority=COMES_BACK)
    return True
