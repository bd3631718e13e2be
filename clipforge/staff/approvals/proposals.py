"""A credit transaction that a member of staff proposes, and the account after it."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from billing import services as billing_services
from billing.models import Payment, Price
from clipforge.common.errors import Conflict
from clipforge.common.money import money
from clipforge.orgs.models import Organization
from clipforge.staff.models import ApprovalKind, ApprovalRequest
from credits import rules
from credits.errors import InsufficientCredits
from credits.rules import Funds


class Proposal(NamedTuple):
    """A form, filled in. `grant_kind` is empty for an adjustment, which may be negative.

    Of a payment, `amount` is the most that its price brings and `ticket` the transfer's reference. Of a
    refund, `amount` is what goes back in credits, and `refund_amount` in minor units.
    """

    org: Organization
    kind: str
    amount: int
    reason: str
    grant_kind: str = ""
    expires_at: datetime.datetime | None = None
    ticket: str = ""
    price: Price | None = None
    paid_on: datetime.date | None = None
    payment: Payment | None = None
    refund_amount: int | None = None


def proposal_of(asked: ApprovalRequest) -> Proposal:
    return Proposal(
        org=asked.org,
        kind=asked.kind,
        amount=asked.amount,
        reason=asked.reason,
        grant_kind=asked.grant_kind,
        expires_at=asked.expires_at,
        ticket=asked.ticket,
        price=asked.price,
        paid_on=asked.paid_on,
        payment=asked.payment,
        refund_amount=asked.refund_amount,
    )


def facts_of(proposal: Proposal) -> dict[str, Any]:
    """As the audit keeps it."""
    facts = {
        "amount": proposal.amount,
        "kind": proposal.grant_kind,
        "expires_at": proposal.expires_at,
        "ticket": proposal.ticket,
        "price": str(proposal.price or ""),
        "paid_on": proposal.paid_on,
    }
    if proposal.payment is not None and proposal.refund_amount is not None:
        facts["refunded"] = money(proposal.refund_amount, proposal.payment.currency)
    return {name: value for name, value in facts.items() if value}


def forecast(proposal: Proposal, now: Funds) -> Funds:
    """The account once the proposal is carried out, by the ledger's own rules."""
    if proposal.kind == ApprovalKind.ADJUST:
        return now.after_adjustment(proposal.amount)
    if proposal.payment is not None and proposal.refund_amount is not None:
        effect = billing_services.effect_of_refund(proposal.payment, proposal.refund_amount)
        return now._replace(posted=now.posted - effect.taken, debt=now.debt + effect.owed)
    return now.after_grant(proposal.amount)


def require_possible(proposal: Proposal, now: Funds) -> None:
    """Raises Conflict and Invalid where the ledger's own rules would refuse it now."""
    if proposal.kind == ApprovalKind.ADJUST:
        try:
            rules.require_adjustable(proposal.amount, now)
        except InsufficientCredits:
            raise not_covered(-proposal.amount, now) from None
    elif proposal.payment is not None:
        billing_services.require_refundable(proposal.payment, proposal.refund_amount or 0)
    else:
        rules.require_grantable(proposal.expires_at)


def not_covered(needed: int, now: Funds) -> Conflict:
    waits = f" Running work holds {now.held:,} more." if now.held else ""
    return Conflict(
        f"{needed:,} credits cannot be taken: {max(0, now.available):,} are available now.{waits} "
        "Nothing was moved. Take less, or wait for running work to finish.",
        code="not_covered",
    )
