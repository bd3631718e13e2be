"""Who may act on jobs, and why an action is impossible: for every page that offers it."""

from __future__ import annotations

import contextlib

from clipforge.common import storage
from clipforge.common.errors import StorageUnavailable
from clipforge.jobs import rules
from clipforge.jobs.kinds import kind_of
from clipforge.jobs.models import FAILED, Job
from clipforge.jobs.rules import Action, Refusal

PERMISSIONS = {
    Action.RETRY: "staff.retry_work",
    Action.REQUEUE: "staff.rescue_work",
    Action.CANCEL: "staff.rescue_work",
    Action.RELEASE: "staff.rescue_work",
}
INPUT_IS_GONE = Refusal(
    "Its source is not there any more, so it would fail again. The customer has to upload it again."
)
WOULD_FAIL_AGAIN = Refusal(
    "It failed for what is wrong with its file or its order, so it would fail again. The customer has to "
    "send another."
)


def why_not(action: Action, job: Job) -> Refusal | None:
    """As `rules.why_not`; a retry, moreover, has to have a chance, and needs the file that a run reads.

    The store is asked only about a job that failed for want of its file.
    """
    if refusal := rules.why_not(action, job):
        return refusal
    if action is not Action.RETRY:
        return None
    if job.status == FAILED and kind_of(job).is_lasting(job):
        return WOULD_FAIL_AGAIN
    return INPUT_IS_GONE if _is_input_gone(job) else None


def _is_input_gone(job: Job) -> bool:
    kind = kind_of(job)
    if kind.input_key is None:
        return False
    key = kind.input_key(job)
    if not key:
        return True
    if job.error_code not in kind.input_lost:
        return False
    # While the store cannot say, it is offered.
    with contextlib.suppress(StorageUnavailable):
        return not storage.is_there(key)
    return False
