"""Credits that work took, given back by staff to the lots they came from."""

from __future__ import annotations

import uuid

from django.db.models import Sum
from django.db.transaction import atomic

from clipforge.audit.actor import Actor
from clipforge.common.errors import Conflict
from clipforge.jobs.models import Job
from clipforge.staff.approvals.limits import KEY, why_two_persons
from clipforge.staff.approvals.proposals import Proposal
from clipforge.staff.approvals.services import locked_person
from clipforge.staff.models import ApprovalKind
from credits import selectors as credit_selectors
from credits import services as credit_services
from credits.models import CreditTransaction, TransactionType


def charge_of(job: Job) -> CreditTransaction | None:
    """The last ledger row that charged the job; None where nothing was charged."""
    rows = credit_selectors.transactions(job.org).filter(
        reference_id=str(job.pk), reference_type=job.REFERENCE_TYPE, type=TransactionType.SPEND
    )
    return rows.order_by("-id").first()


def left_of(charge: CreditTransaction) -> int:
    """The credits of it that were not yet given back."""
    given = credit_selectors.transactions(charge.org).filter(
        hold=charge.hold_id, type=TransactionType.REFUND
    )
    return -charge.amount - (given.aggregate(sum=Sum("amount"))["sum"] or 0)


def refund_job(
    *, job: Job, amount: int, token: uuid.UUID, reason: str, actor: Actor
) -> CreditTransaction:
    """Give back so much of what the job was charged; the same token again gives back nothing more.

    Raises Conflict for more than is left, and for more than one person may move.
    """
    with atomic():
        person = locked_person(actor)
        charge = charge_of(job)
        if charge is None:
            raise Conflict("Nothing was charged for it, so there is nothing to give back.")
        key = f"{KEY}{token}"
        ledger = credit_selectors.transactions(job.org)
        is_repetition = ledger.filter(idempotency_key=key).exists()
        proposal = Proposal(org=job.org, kind=ApprovalKind.GRANT, amount=amount, reason=reason)
        if not is_repetition and (why := why_two_persons(proposal, person)):
            raise Conflict(f"{why} Grant the credits instead: a second person confirms that.")
        return credit_services.refund(
            transaction=charge, amount=amount, reason=reason, actor=actor, idempotency_key=key
        )
