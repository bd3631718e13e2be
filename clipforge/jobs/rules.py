"""Rules for actions on jobs, shared by the service that acts and the page that offers the action."""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import TextChoices
from django.utils import timezone

from clipforge.common.errors import Conflict
from clipforge.jobs.models import CANCELLED, FAILED, QUEUED, Job
from credits.models import CreditHold, HoldStatus


class Action(TextChoices):
    RETRY = "retry", "Retry"
    REQUEUE = "requeue", "Requeue"
    CANCEL = "cancel", "Cancel"
    RELEASE = "release", "Release hold"


class Refusal(NamedTuple):
    """Why an action is impossible. `code` is stable."""

    message: str
    code: str = Conflict.code

    def as_error(self) -> Conflict:
        return Conflict(self.message, code=self.code)


def why_not(action: Action, job: Job) -> Refusal | None:
    """Why the job as it stands cannot be retried, requeued, cancelled, or its hold released.

    None: it can. Reads the organization and the hold of the job.
    """
    return _RULES[action](job)


def require(action: Action, job: Job) -> None:
    """Raises Conflict where `why_not` has a refusal. To be asked of a locked row."""
    if refusal := why_not(action, job):
        raise refusal.as_error()


def why_not_release(hold: CreditHold, *, pays_open_job: bool) -> Refusal | None:
    """Why the hold cannot be released by hand; `pays_open_job`: a job waits or runs on it."""
    if hold.status != HoldStatus.HELD:
        return Refusal(f"It is {hold.status} already.")
    if pays_open_job:
        return Refusal("It pays for a job that waits or runs. Cancel that instead.")
    return None


HOLD_IS_GONE = Refusal("Its reserved credits were given back. Cancel it, and retry it.")


def _why_not_retry(job: Job) -> Refusal | None:
    if job.status not in {FAILED, CANCELLED}:
        return Refusal(f"It is {job.status}; only FAILED or CANCELLED work can be retried.")
    if not job.org.is_active:
        return Refusal("Its organization is suspended. Restore that first.")
    return None


def _why_not_requeue(job: Job) -> Refusal | None:
    """By hand, what the sweeper does by itself: for a job that no worker does."""
    if not job.is_open:
        return Refusal(f"It is {job.status} already.")
    lease = job.lease_expires_at
    if job.status != QUEUED and (lease is None or lease >= timezone.now()):
        return Refusal("Its worker gives signs of life.")
    return None if _is_held(job) else HOLD_IS_GONE


def _why_not_cancel(job: Job) -> Refusal | None:
    if job.is_open:
        return None
    return Refusal(f"It is {job.status} already; there is nothing to cancel.")


def _why_not_release(job: Job) -> Refusal | None:
    """Of a job that has ended; the hold of one that waits or runs pays for it."""
    if not _is_held(job):
        return Refusal("No credits are held for it.")
    return Refusal("It waits or runs. Cancel it instead.") if job.is_open else None


def _is_held(job: Job) -> bool:
    return job.hold is not None and job.hold.status == HoldStatus.HELD


_RULES = {
    Action.RETRY: _why_not_retry,
    Action.REQUEUE: _why_not_requeue,
    Action.CANCEL: _why_not_cancel,
    Action.RELEASE: _why_not_release,
}
