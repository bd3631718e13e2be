"""Services for jobs of any kind: submit and retry at the present price, within the present limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import QuerySet

from clipforge.jobs import lifecycle
from clipforge.jobs.kinds import kind_of
from clipforge.jobs.models import Job
from clipforge.orgs import selectors as org_selectors
from credits.pricing import Charge
from credits.quotes import AT_ANY_PRICE, Terms, agreed

J = TypeVar("J", bound=Job)


def agreed_charge(*, job: Job, terms: Terms) -> Charge:
    """The price of the job on these terms: of the quote that they name, else today's.

    Requires the transaction that submits it. Raises MaxCreditsExceeded, and NotFound and Conflict about
    the quote.
    """
    price = kind_of(job).price(job)
    return agreed(org=job.org, charge=price, terms=terms, order=job.pk)


def submit_job(
    *,
    job: J,
    actor: str,
    charge: Charge | None = None,
    looked_up: Mapping[str, QuerySet[Any]] | None = None,
) -> None:
    """Insert the row as QUEUED, reserve its price and queue its task, all or nothing.

    `charge` is the price that was agreed, today's unless given; `looked_up` is as for `submit`. Raises InsufficientCredits, and
    TooManyAtOnce beyond the jobs that may run and wait in the tier.
    """
    kind = kind_of(job)
    lifecycle.submit(
        job,
        charge=charge or kind.price(job),
        reason=kind.reason(job),
        actor=actor,
        most_open=org_selectors.limits_of(job.org).open_jobs,
        looked_up=looked_up,
    )


def retry_job(*, job: J, actor: str, terms: Terms = AT_ANY_PRICE) -> J:
    """Do it again after a failure or a cancel, under the same id.

    A job that failed was not charged, so this costs what the first attempt would have. Raises
    Conflict in any other state, InsufficientCredits, TooManyAtOnce, NotFound when it was deleted, and
    what `agreed_charge` does.
    """
    kind = kind_of(job)
    with transaction.atomic():
        if terms.quote_id is not None:
            lifecycle.lock(job)  # before the quote, as all who take both: see `lifecycle`
        return lifecycle.retry(
            job,
            charge=agreed_charge(job=job, terms=terms),
            reason=kind.reason(job),
            actor=actor,
            most_open=org_selectors.limits_of(job.org).open_jobs,
        )


def cancel_job(*, job: J, actor: str) -> J:
    """Stop it and give the credits back. Raises Conflict once it is finished."""
    return lifecycle.cancel(job, actor=actor)


def requeue_job(*, job: J) -> J:
    """Queue a job again that no worker does: its task was lost, or its worker stopped.

    Raises Conflict.
    """
    return lifecycle.requeue(job)


def release_hold_of(*, job: Job, actor: str) -> Job:
    """Give back the credits that an ended job left reserved. Raises Conflict."""
    return lifecycle.release_left_hold(job, actor=actor)
