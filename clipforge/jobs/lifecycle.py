"""The life of a job: paid with a hold, and safe from workers that die.

The row is the truth; the queue is only a messenger. A row carries a *fence*, a number
that grows with every change of hands, and so does its hold. Only the current
fence lets a caller change them; a worker that came back from the dead knows an old one, and its
conditional UPDATE touches nothing.

    submit     QUEUED,  fence n      hold reserved, task (id, n) deferred in one transaction
    claim      RUNNING, fence n+1    only WHERE status = QUEUED AND fence = n
    beat       lease renewed         only WHERE status = RUNNING AND fence = n+1
    succeed    hold captured         only WHERE status = RUNNING AND fence = n+1
    fail       hold released         likewise
    cancel     hold released         from QUEUED or RUNNING, fence one up
    requeue    QUEUED,  fence n+2    by the sweeper when the lease ran out
    hand over  QUEUED,  fence n+2    by its worker, to the queue of its preparation and back

Whether a queued job gets its task at once, or when others of its organization have ended, is for
`places` to say. Locks are always taken in the order row, quote, hold, account, grants, share; of several
rows, the projects come first.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from clipforge.common.cache.kept_pages import TRANSACTION
from clipforge.common.errors import Conflict, NotFound
from clipforge.common.failure_excerpt import failure_excerpt
from clipforge.jobs import caching, kinds, places, rules
from clipforge.jobs.errors import in_terms_of_jobs
from clipforge.jobs.events import job_ended
from clipforge.jobs.failures import HOLD_LAPSED, HoldLost
from clipforge.jobs.models import CANCELLED, FAILED, QUEUED, Job
from clipforge.jobs.rules import Action
from credits import services as credit_services
from credits.errors import TooManyOpenHolds
from credits.models import CreditHold, HoldStatus
from credits.pricing import Charge

ACTOR = "system:worker"

# A job that returns to the queue was promised its place: its new task goes before those that wait.
PRIORITY_RETURNING = 1

J = TypeVar("J", bound=Job)


# --- by the customer, or by staff for one -----------------------------------------------


def submit(
    job: Job,
    *,
    charge: Charge,
    reason: str,
    actor: str,
    most_open: int | None = None,
    looked_up: Mapping[str, models.QuerySet[Any]] | None = None,
) -> None:
    """Reserve the price, insert the row as QUEUED and defer its task: one statement, all or nothing.

    `looked_up` are columns with what these queries of one value find as the row is inserted. Raises
    InsufficientCredits, and TooManyAtOnce where `most_open` jobs of the organization wait or run; then
    nothing was written.
    """
    job.status = QUEUED
    job.queued_at = timezone.now()
    submission = places.Submission(job, looked_up or {})
    job.hold = _reserve(job, charge, reason, actor, most_open, by=submission.ask)
    submission.note()


def retry(
    job: J,
    *,
    charge: Charge,
    reason: str,
    actor: str,
    most_open: int | None = None,
) -> J:
    """Queue a FAILED or CANCELLED row again, under the same id and at today's price.

    Raises Conflict in any other state, InsufficientCredits and TooManyAtOnce as `submit` does.
    """
    with transaction.atomic():
        locked = _locked(job)
        rules.require(Action.RETRY, locked)
        locked.fence += 1
        locked.hold = _reserve(locked, charge, reason, actor, most_open)
        locked.status = QUEUED
        locked.attempts = 0
        locked.stage, locked.progress = "", 0
        locked.error_code = locked.error_message = locked.failure_detail = ""
        locked.queued_at = timezone.now()
        locked.started_at = locked.finished_at = None
        locked.save()
        caching.changed(type(job), job.pk)
        places.enter(locked)
    return locked


def lock(job: J) -> J:
    """The row as it is now, locked until the caller's transaction ends. Raises NotFound."""
    return _locked(job)


def cancel(job: J, *, actor: str) -> J:
    """Stop a queued or running job and give the credits back. A running worker notices by its beat.

    Cancelling what is cancelled already changes nothing. Raises Conflict when it is finished.
    """
    with transaction.atomic():
        stopped, was = _stop(job, actor)
        if was not in {QUEUED, job.RUNNING, CANCELLED}:
            rules.require(Action.CANCEL, stopped)
        return stopped


def abandon(job: J, *, actor: str) -> J:
    """Before the row is deleted: cancel it if it is open, and lock it until the caller commits.

    Returns the row as it is once it is locked: a worker may have named a file in it before. Call inside
    the transaction that deletes. Raises NotFound when it is gone already.
    """
    locked, _ = _stop(job, actor)
    caching.deleting(locked)
    return locked


# --- by the worker that does it -------------------------------------------------------


def claim(model: type[J], pk: uuid.UUID, *, fence: int) -> J | None:
    """Take a queued job: the row, RUNNING under a fence of its own, or None if it was taken already."""
    with transaction.atomic():
        claimed = model._default_manager.filter(pk=pk, status=QUEUED, fence=fence).update(
            status=model.RUNNING,
            fence=fence + 1,
            attempts=F("attempts") + 1,
            started_at=Now(),
            lease_expires_at=_lease_end(),
            stage="",
            progress=0,
            updated_at=Now(),
        )
        if not claimed:
            return None
        caching.changed(model, pk)
        job = model._default_manager.select_related("org", "hold").get(pk=pk)
        if _transfer_hold(job, from_fence=fence, to_fence=fence + 1):
            places.start(job, prepares=kinds.prepares(job))
            return job
        _settle(job, status=FAILED, error=HOLD_LAPSED)
        places.give_back(job)
        places.left(job)
        return None


def beat(job: Job, *, stage: str, progress: float) -> bool:
    """Say that the job goes on. False: it is no longer ours; stop and change nothing.

    A new stage is news for whoever waits for the job; progress, which comes every second, is not.
    """
    model = type(job)
    # One statement, every second of every running job: its new version comes back with it.
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {connection.ops.quote_name(model._meta.db_table)}"  # noqa: S608 - of a model
            " SET lease_expires_at = statement_timestamp() + make_interval(secs => %s),"
            " stage = %s, progress = %s"
            " WHERE id = %s AND status = %s AND fence = %s"
            f" RETURNING version, {TRANSACTION}",
            [settings.WORK_LEASE_SECONDS, stage, progress, job.pk, job.RUNNING, job.fence],
        )
        row = cursor.fetchone()
    if row is None:
        return False
    is_news, job.stage = stage != job.stage, stage
    version, changed_by = row
    caching.advanced(
        model, job.pk, job.org_id, version=version, changed_by=changed_by, is_news=is_news
    )
    return True


def succeed(job: Job, *, status: str, actor: str, charged: bool = True, **fields: Any) -> bool:
    """Record the result and settle the hold: captured, or released when `charged` is False.

    False: the job was no longer ours, nothing changed. Raises HoldLost when the row was ours
    but its hold is gone: the caller throws the result away and calls `fail` with HOLD_LAPSED.
    """
    cost = job.hold.amount if charged and job.hold else 0
    with transaction.atomic():
        if not _settle(job, status=status, progress=1, charged=cost, **fields):
            return False
        if not charged:
            _release(job, actor)
        elif job.hold_id is None or not credit_services.capture(
            hold_id=job.hold_id, fence=job.fence, actor=actor
        ):
            raise HoldLost
        places.leave(job)
        return True


def fail(job: Job, *, error: tuple[str, str], actor: str, detail: str = "") -> bool:
    """Record a failure `(code, sentence)` and release the hold. False: it was no longer ours.

    Of one that is queued: it ends before it began.

    `detail` is for staff: what it says of this machine is taken out, and the end of it is kept.
    """
    with transaction.atomic():
        if not _settle(job, status=FAILED, error=error, failure_detail=failure_excerpt(detail)):
            return False
        _release(job, actor)
        _free_place(job)
        return True


def hand_back(job: Job) -> bool:
    """Queue our own running job again, because this worker has to stop. Costs no attempt."""
    with transaction.atomic():
        return requeue_row(job, attempts=F("attempts") - 1)


def hand_over(job: Job, *, task: str) -> bool:
    """Queue our own running job for the task of this name: its preparation, or its own once it is prepared.

    It waits there for its turn. Costs no attempt.
    """
    with transaction.atomic():
        return requeue_row(job, task=task, attempts=F("attempts") - 1)


def reserve_anew(job: Job, *, charge: Charge) -> bool:
    """Reserve the price of our running job that is known by now, in place of what was reserved for it.

    For whoever ordered it, and within the cap of that key. False: it was no longer ours, nothing changed.
    Raises InsufficientCredits and KeyCapReached, and HoldLost where the hold is gone; then nothing changed.
    """
    with transaction.atomic():
        if job.hold is None or not _here(job).update(updated_at=Now()):
            return False
        old = job.hold
        if old.amount == charge.credits:
            return True
        if not credit_services.release(hold_id=old.pk, fence=job.fence, actor=ACTOR):
            raise HoldLost
        hold = _reserve(job, charge, kinds.kind_of(job).reason(job), old.actor, None)
        _here(job).update(hold=hold)
        caching.changed(type(job), job.pk)
    job.hold = hold
    return True


# --- by the sweeper and by staff ---


def requeue(job: J) -> J:
    """By hand, what the sweeper does by itself: a new task for a job that no worker does.

    A QUEUED one whose task was lost, or a RUNNING one whose lease is over; the hold stays. A task
    that was not lost after all finds the fence moved on. Raises Conflict otherwise, and where the
    hold is gone: such a job can only be cancelled, and retried.
    """
    with transaction.atomic():
        _locked(job)
        found = _as_it_is(job)
        rules.require(Action.REQUEUE, found)
        requeue_row(found)
        held = CreditHold.objects.filter(status=HoldStatus.HELD, fence=found.fence + 1)
        if found.hold_id is None or not held.filter(pk=found.hold_id).exists():
            raise rules.HOLD_IS_GONE.as_error()
        return _as_it_is(job)


def release_left_hold(job: J, *, actor: str) -> J:
    """Give back what an ended job left reserved. Raises Conflict, NotFound."""
    with transaction.atomic():
        _locked(job)
        found = _as_it_is(job)
        rules.require(Action.RELEASE, found)
        if found.hold_id is None or not credit_services.release(hold_id=found.hold_id, actor=actor):
            raise Conflict("It was settled meanwhile.")
        return _as_it_is(job)


# --- inside ---------------------------------------------------------------------------


def _reserve(
    job: Job,
    charge: Charge,
    reason: str,
    actor: str,
    most_open: int | None,
    *,
    by: Callable[[str, list[Any]], tuple[Any, ...]] | None = None,
) -> CreditHold:
    try:
        return credit_services.reserve(
            org=job.org,
            charge=charge,
            reason=reason,
            reference_type=job.REFERENCE_TYPE,
            reference_id=str(job.pk),
            idempotency_key=f"{job.REFERENCE_TYPE}:{job.pk}:{job.fence}",
            actor=actor,
            fence=job.fence,
            max_open_holds=most_open,
            by=by,
        )
    except TooManyOpenHolds as refusal:
        raise in_terms_of_jobs(refusal) from refusal


def _release(job: Job, actor: str) -> None:
    if job.hold_id is not None:
        credit_services.release(hold_id=job.hold_id, fence=job.fence, actor=actor)


def _stop(job: J, actor: str) -> tuple[J, str]:
    """Cancel the job if it is queued or running, and lock it whatever it is: one statement.

    Returns it as it is now, with the status that it had. Raises NotFound.
    """
    cancellation = places.Cancellation(job, actor=actor)
    row = credit_services.release_by(cancellation.sql, cancellation.params)
    stopped = cancellation.note(job, row)
    if stopped is None:
        raise NotFound
    if cancellation.was in {QUEUED, job.RUNNING}:
        caching.has_changed(
            type(job),
            job.pk,
            job.org_id,
            version=stopped.version,
            changed_by=cancellation.changed_by,
        )
        places.left(stopped)
        job_ended.send(sender=type(job), job=stopped, status=CANCELLED)
    return stopped, cancellation.was


def _free_place(job: Job) -> None:
    """Of a job that was ended in the status that it had."""
    if job.status == QUEUED:
        places.give_back(job)
    else:
        places.leave(job)
    places.left(job)


def _transfer_hold(job: Job, *, from_fence: int, to_fence: int) -> bool:
    return job.hold_id is not None and credit_services.transfer_hold(
        hold_id=job.hold_id, from_fence=from_fence, to_fence=to_fence
    )


def _lease_end() -> Any:
    return Now() + datetime.timedelta(seconds=settings.WORK_LEASE_SECONDS)


def _here(job: Job) -> models.QuerySet[Any]:
    """The row, if it is still where `job` saw it."""
    return type(job)._default_manager.filter(pk=job.pk, status=job.status, fence=job.fence)


def _locked(job: J) -> J:
    locked = (
        type(job)
        ._default_manager.select_for_update(of=("self",))
        .select_related("org", "hold", *job.SHOWN_WITH)
        .filter(pk=job.pk)
        .first()
    )
    if locked is None:
        raise NotFound
    return locked


def _settle(job: Job, *, status: str, error: tuple[str, str] = ("", ""), **fields: Any) -> bool:
    """Finish a row whose fence is still the one that `job` knows. Requires a transaction."""
    code, message = error
    settled = _here(job).update(
        status=status,
        error_code=code,
        error_message=message,
        stage="",
        lease_expires_at=None,
        finished_at=Now(),
        updated_at=Now(),
        **fields,
    )
    if settled:
        caching.changed(type(job), job.pk)
        job_ended.send(sender=type(job), job=job, status=status)
    return bool(settled)


def _as_it_is(job: J) -> J:
    """Read again with its hold: what is joined to a lock may be from before we waited for it."""
    related = ("org", "hold", *job.SHOWN_WITH)
    return type(job)._default_manager.select_related(*related).get(pk=job.pk)


def requeue_row(job: Job, *, task: str = "", pause: float = 0, **fields: Any) -> bool:
    """In the caller's transaction. False: it is no longer where `job` saw it, nothing changed.

    It starts after `pause` seconds, at the earliest; before all that wait, unless it is handed over to the
    `task` of this name.
    """
    queued = _here(job).update(
        status=QUEUED,
        fence=job.fence + 1,
        lease_expires_at=None,
        stage="",
        progress=0,
        updated_at=Now(),
        **fields,
    )
    if not queued:
        return False
    caching.changed(type(job), job.pk)
    _transfer_hold(job, from_fence=job.fence, to_fence=job.fence + 1)
    kind, fence = kinds.kind_of(job), job.fence + 1
    if task and places.hand_over(job, fence, prepared=task == kind.task):
        return True
    if not task and not places.may_return(job, fence):
        return True
    kinds.defer(kind, job.pk, fence, priority=PRIORITY_RETURNING, pause=pause, name=task)
    return True
