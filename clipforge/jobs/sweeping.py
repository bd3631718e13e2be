"""Taking jobs from workers that stopped, and ending those whose task was given up."""

from __future__ import annotations

import logging

from django.conf import settings
from django.db import transaction

from clipforge.jobs import kinds, places, queue, retrying
from clipforge.jobs.failures import DATABASE_FAULTS, INTERNAL_ERROR, WORKER_LOST
from clipforge.jobs.lifecycle import fail, requeue_row
from clipforge.jobs.models import QUEUED, Job
from clipforge.jobs.selectors import aging_jobs, lapsed_jobs
from credits import services as credit_services

logger = logging.getLogger(__name__)

ACTOR = "system:sweeper"
# Rows that one run looks at, of which it sees to a batch: those that cannot be swept are passed over.
MOST_LOOKED_AT = 1000


def sweep(model: type[Job], *, batch: int = 100) -> tuple[int, int]:
    """Take jobs from workers that stopped. Returns how many rows were requeued and failed.

    Also ends queued rows whose task was given up, and renews the holds of queued and running rows, so
    that a long queue loses no reservation. Each row has a transaction of its own: one that cannot be swept keeps no other waiting, and
    no two accounts are ever locked together.
    """
    requeued = failed = 0
    lapsed = lapsed_jobs(model)
    for pk in list(lapsed.values_list("pk", flat=True)[:MOST_LOOKED_AT]):
        if requeued + failed >= batch:
            break
        try:
            with transaction.atomic():
                job = lapsed.select_for_update(skip_locked=True).filter(pk=pk).first()
                if job is None:  # another sweeper has it, or its worker gave a sign of life
                    continue
                if job.attempts < settings.WORK_MAX_ATTEMPTS:
                    requeued += requeue_row(job, pause=retrying.pause_after_loss(job.attempts))
                else:
                    failed += fail(job, error=WORKER_LOST, actor=ACTOR, detail=_last_seen(job))
        except DATABASE_FAULTS:
            raise
        except Exception:
            logger.exception("sweeping failed", extra={"row": str(pk)})
    failed += _end_given_up(model)
    _renew_holds(model)
    places.tidy(model)
    return requeued, failed


def _end_given_up(model: type[Job]) -> int:
    """Fail the rows that wait for a task which failed as often as it may: nothing else brings it back.

    Their places go to the next of their organizations. The entry stays, as a dead letter.
    """
    ended = 0
    for pk, fence in queue.given_up(kinds.kind_of(model)):
        try:
            with transaction.atomic():
                waiting = model._default_manager.filter(pk=pk, status=QUEUED, fence=fence)
                job = waiting.select_for_update(of=("self",), skip_locked=True).first()
                if job is not None:
                    ended += fail(job, error=INTERNAL_ERROR, actor=ACTOR, detail=_GIVEN_UP)
        except DATABASE_FAULTS:
            raise
        except Exception:
            logger.exception("a job that was given up could not be ended", extra={"row": str(pk)})
    return ended


_GIVEN_UP = (
    f"It could not be begun in {retrying.MOST_TRIES} tries; the log of the workers says why. Its "
    "queue entry is under Rescue, as a dead letter."
)


def _last_seen(job: Job) -> str:
    where = f"in {job.stage} at {job.progress:.0%}" if job.stage else "before its first stage"
    return (
        f"Attempt {job.attempts} gave its last sign of life {where}; "
        f"its lease ended at {job.lease_expires_at:%Y-%m-%d %H:%M:%S} UTC."
    )


def _renew_holds(model: type[Job]) -> None:
    # One status at a time: each has an index of the few rows that are in it.
    for status in (QUEUED, model.RUNNING):
        aging = aging_jobs(model, status).values_list("hold_id", flat=True)
        if hold_ids := list(aging[:1000]):
            credit_services.extend_holds(hold_ids=hold_ids)
