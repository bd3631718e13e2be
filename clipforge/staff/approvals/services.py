"""Credits that staff move by hand: once a form, and above a limit only with a second person.

Locks are taken in the order person, request, account: the proposals of one person wait for each
other, so that several small ones at once cannot pass for less than their sum.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Any, NamedTuple, cast

from django.db import connection
from django.db.models.functions import Now
from django.db.transaction import atomic

from billing import services as billing_services
from billing.models import Payment, Price, Refund, blankless
from billing.selectors import payment_of_transfer, price_for_sale, without_blanks
from clipforge.audit.actor import Actor
from clipforge.audit.services import sufficient_reason, write_entry
from clipforge.common.errors import Conflict, Forbidden, NotFound
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import User
from clipforge.staff.approvals.limits import ACQUAINTANCE, KEY, made_account_of, why_two_persons
from clipforge.staff.approvals.proposals import (
    Proposal,
    facts_of,
    not_covered,
    proposal_of,
    require_possible,
)
from clipforge.staff.approvals.selectors import REQUEST_LIFE, open_requests
from clipforge.staff.models import ApprovalKind, ApprovalRequest, RequestStatus
from credits import selectors as credit_selectors
from credits import services as credit_services
from credits.errors import InsufficientCredits
from credits.models import CreditTransaction, TransactionType
from credits.rules import Funds, funds_of, require_trace

# A transaction that a second person confirmed refers to its request, one made alone to its ticket.
BY_REQUEST, BY_TICKET = "staff_request", "ticket"
# The permission to ask, which the first person must still have when the second one confirms.
NEEDED = {
    ApprovalKind.GRANT: "staff.grant_credits",
    ApprovalKind.ADJUST: "staff.adjust_credits",
    ApprovalKind.PAYMENT: "billing.add_payment",
    ApprovalKind.REFUND: "billing.add_payment",
}


class Outcome(NamedTuple):
    """The ledger row, or the request that a second person has to confirm."""

    made: CreditTransaction | ApprovalRequest
    is_repetition: bool

    @property
    def request(self) -> ApprovalRequest | None:
        return self.made if isinstance(self.made, ApprovalRequest) else None


def submit(proposal: Proposal, *, token: uuid.UUID, actor: Actor) -> Outcome:
    """Move the credits, or ask for a second person; the same token again returns what it made.

    The actor is a person or a command. Raises Conflict when the token made something else, or more
    would be taken than is available, and Forbidden for a command that needs an operator to ask.
    """
    with atomic():
        person = locked_person(actor)
        if earlier := _earlier(proposal, token):
            return Outcome(earlier, True)
        if why_two_persons(proposal, person):
            return Outcome(_ask(proposal, token, actor), False)
        ticket = (BY_TICKET, proposal.ticket) if proposal.ticket else ("", "")
        return Outcome(_move(proposal, token, actor, reference=ticket), False)


def ask_to_record(proposal: Proposal, *, actor: Actor) -> ApprovalRequest | None:
    """The request for a payment that needs a second person; None when the person may record it.

    Requires a transaction, in which it is recorded then. The reference names the payment: sent
    again it is the same request, or the payment that was recorded. Raises Invalid, Conflict.
    """
    price = cast("Price", proposal.price)
    billing_services.require_recordable(
        reference=proposal.ticket,
        paid_on=cast("datetime.date", proposal.paid_on),
        reason=proposal.reason,
    )
    person = locked_person(actor)
    if payment_of_transfer(proposal.ticket) is not None:
        return None
    asked = open_requests().filter(kind=ApprovalKind.PAYMENT).alias(same=blankless("ticket"))
    waiting = asked.filter(same=without_blanks(proposal.ticket)).first()
    if waiting is not None:
        if (waiting.org_id, waiting.price_id) != (proposal.org.pk, price.pk):
            raise Conflict(f'The reference "{proposal.ticket}" waits for a second person already.')
        return waiting
    if not why_two_persons(proposal, person):
        return None
    # Its terms stand from now on: what is confirmed is what is asked for.
    price = price_for_sale(price.code)
    return _ask(proposal._replace(price=price, amount=price.credits), uuid.uuid4(), actor)


def submit_refund(
    proposal: Proposal, *, token: uuid.UUID, actor: Actor
) -> Refund | ApprovalRequest:
    """Ask for a refund of a payment, or for a second person; the same token again is the same one.

    `billing.services.carry_out_refund` does it at Stripe, after the commit. Raises Invalid, Conflict.
    """
    with atomic():
        person = locked_person(actor)
        asked = ApprovalRequest.objects.filter(token=token).first()
        if asked is not None:
            if proposal_of(asked) != proposal:
                raise _used()
            return asked
        is_repetition = billing_services.refund_of(token) is not None
        if not is_repetition and why_two_persons(proposal, person):
            return _ask(proposal, token, actor)
        return _refund(proposal, token, actor)


def confirm(
    asked: ApprovalRequest, *, reason: str, actor: Actor
) -> CreditTransaction | Payment | Refund:
    """Move what another person asked for. Raises Conflict, Forbidden as `refuse` does.

    Also Conflict when the first person may not ask any more, and Forbidden when the two can be one
    person. Where more would be taken than is available, nothing happened, and the request waits.
    """
    with atomic():
        decided = _decide(asked, RequestStatus.CONFIRMED, reason, actor)
        if doubt := why_not_confirmed(decided, org_selectors.all_users().get(pk=_person_of(actor))):
            raise doubt
        if decided.kind == ApprovalKind.PAYMENT:
            return _record(decided, actor)
        if decided.kind == ApprovalKind.REFUND:
            return _refund_confirmed(decided, actor)
        return _move_confirmed(decided, actor)


def why_not_confirmed(asked: ApprovalRequest, person: User) -> Conflict | Forbidden | None:
    """The refusal of this person's yes to the request. A request can always be refused."""
    asker = asked.requested_by
    if not (asker.is_staff and asker.has_perm(NEEDED[ApprovalKind(asked.kind)])):
        return Conflict(
            f"{asker} may not ask for this any more, so it cannot be confirmed. Refuse it; if it "
            "should be done all the same, somebody else asks anew."
        )
    if made_account_of(asker, person) or made_account_of(person, asker):
        return Forbidden(
            f"Within the last {ACQUAINTANCE.days} days one of you and {asker} made or changed the "
            "account of the other, or of somebody who did, so you do not count as two persons. "
            "Somebody else has to confirm this."
        )
    return None


def refuse(asked: ApprovalRequest, *, reason: str, actor: Actor) -> ApprovalRequest:
    """Let nothing move. Raises Conflict when it was decided or has expired, Forbidden for who asked."""
    with atomic():
        decided = _decide(asked, RequestStatus.REFUSED, reason, actor)
        write_entry(
            actor=actor,
            verb="refuse_credits",
            subject=decided,
            org=decided.org,
            before={"status": RequestStatus.PENDING},
            after={"status": decided.status, **facts_of(proposal_of(decided))},
            reason=reason,
        )
    return decided


def expire_requests() -> int:
    """End the requests that were not decided in time. Returns how many."""
    late = ApprovalRequest.objects.filter(
        status=RequestStatus.PENDING, requested_at__lte=Now() - REQUEST_LIFE
    )
    return late.update(status=RequestStatus.EXPIRED, decided_at=Now())


# --- inside ---------------------------------------------------------------------------


def _person_of(actor: Actor) -> int:
    """Raises Forbidden for an actor without a person: then there are no two who could agree."""
    if actor.user_id is None:
        raise Forbidden(
            "This is more than may be moved without a second person. Name the member of staff who "
            "asks for it: --operator EMAIL."
        )
    return actor.user_id


def locked_person(actor: Actor) -> User | None:
    """The person who asks, locked until the transaction ends; None for a command without one.

    Commands without an operator wait for each other as the proposals of one person do.
    """
    if actor.user_id is None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", ["staff.approvals"])
        return None
    return org_selectors.all_users().select_for_update(no_key=True).get(pk=actor.user_id)


def _record(decided: ApprovalRequest, actor: Actor) -> Payment:
    """The payment that was asked for, with its audit row. Requires the lock of the request."""
    price = cast("Price", decided.price)
    if payment_of_transfer(decided.ticket) is not None:
        raise Conflict("A payment with this reference was recorded meanwhile. Refuse this one.")
    before = funds_of(decided.org_id)
    payment = billing_services.record_payment(
        org=decided.org,
        code=price.code,
        reference=decided.ticket,
        paid_on=cast("datetime.date", decided.paid_on),
        reason=decided.reason,
        actor=Actor.of_user(decided.requested_by),
        audit=False,
    )
    if payment.price_id != price.pk:
        raise Conflict(
            f"{price} is not sold any more. Refuse this; what was paid is recorded anew."
        )
    _write_confirmed(decided, payment, before, actor, credits=payment.credits)
    return payment


def _refund(proposal: Proposal, token: uuid.UUID, actor: Actor, *, audit: bool = True) -> Refund:
    return billing_services.request_refund(
        payment=cast("Payment", proposal.payment),
        amount=cast("int", proposal.refund_amount),
        token=token,
        reason=proposal.reason,
        actor=actor,
        audit=audit,
    )


def _refund_confirmed(decided: ApprovalRequest, actor: Actor) -> Refund:
    """The refund that was asked for, with its audit row. Requires the lock of the request."""
    before, asker = funds_of(decided.org_id), Actor.of_user(decided.requested_by)
    refund = _refund(proposal_of(decided), decided.token, asker, audit=False)
    _write_confirmed(decided, refund.payment, before, actor)
    return refund


def _move_confirmed(decided: ApprovalRequest, actor: Actor) -> CreditTransaction:
    """The ledger row that was asked for. Requires the lock of the request."""
    made = _move(
        proposal_of(decided),
        decided.token,
        Actor.of_user(decided.requested_by),
        reference=(BY_REQUEST, str(decided.pk)),
        audit=False,
    )
    # The service has locked the account: nothing else moved it in between.
    after = funds_of(decided.org_id)
    before = Funds(
        posted=made.balance_after - made.amount,
        held=after.held,
        debt=after.debt + made.balance_after - after.posted,
    )
    _write_confirmed(decided, made, before, actor)
    return made


def _write_confirmed(
    decided: ApprovalRequest,
    made: CreditTransaction | Payment,
    before: Funds,
    actor: Actor,
    **more: Any,
) -> None:
    """One row for the act of two: its actor confirmed, and it names the person who asked."""
    write_entry(
        actor=actor,
        verb="confirm_credits",
        subject=made,
        org=decided.org,
        before=before.as_facts(),
        after={
            **funds_of(decided.org_id).as_facts(),
            **facts_of(proposal_of(decided)),
            **more,
            "request": decided.pk,
            "asked_by": str(decided.requested_by),
        },
        reason=decided.decision_reason,
    )


def _move(
    proposal: Proposal,
    token: uuid.UUID,
    actor: Actor,
    *,
    reference: tuple[str, str],
    audit: bool = True,
) -> CreditTransaction:
    """Through the service of the ledger. Requires the lock of the person or the request."""
    trace: dict[str, Any] = {
        "org": proposal.org,
        "amount": proposal.amount,
        "reason": proposal.reason,
        "actor": actor,
        "audit": audit,
        "idempotency_key": f"{KEY}{token}",
        "reference_type": reference[0],
        "reference_id": reference[1],
    }
    try:
        if proposal.kind == ApprovalKind.GRANT:
            return credit_services.grant(
                kind=proposal.grant_kind, expires_at=proposal.expires_at, **trace
            )
        return credit_services.adjust(**trace)
    except InsufficientCredits:
        raise not_covered(-proposal.amount, funds_of(proposal.org.pk)) from None


def _ask(proposal: Proposal, token: uuid.UUID, actor: Actor) -> ApprovalRequest:
    require_trace(proposal.reason, str(actor), str(token))
    require_possible(proposal, funds_of(proposal.org.pk))
    asked = ApprovalRequest.objects.create(
        token=token, requested_by_id=_person_of(actor), **proposal._asdict()
    )
    write_entry(
        actor=actor,
        verb="request_credits",
        subject=asked,
        org=proposal.org,
        after={"status": RequestStatus.PENDING, **facts_of(proposal)},
        reason=proposal.reason,
    )
    return asked


def _decide(asked: ApprovalRequest, status: str, reason: str, actor: Actor) -> ApprovalRequest:
    """Take the request out of PENDING, once. Requires a transaction."""
    reason = sufficient_reason(reason)
    decided = (
        open_requests()
        .filter(pk=asked.pk)
        .exclude(requested_by=actor.user_id)
        .update(status=status, decided_by=actor.user_id, decided_at=Now(), decision_reason=reason)
    )
    rows = ApprovalRequest.objects.select_related("org", "requested_by", "price", "payment")
    found = rows.filter(pk=asked.pk).first()
    if found is None:
        raise NotFound("There is no such request.")
    if decided:
        return found
    if found.requested_by_id == actor.user_id:
        raise Forbidden("You asked for this. Somebody else has to confirm or refuse it.")
    if found.status == RequestStatus.PENDING:
        raise Conflict("It was not decided within seven days, so it has expired. Ask anew.")
    raise Conflict(f"This was decided already: {found.get_status_display().lower()}.")


def _earlier(proposal: Proposal, token: uuid.UUID) -> CreditTransaction | ApprovalRequest | None:
    """The transaction or the request that the token made before. Raises Conflict if that is not this proposal."""
    asked = ApprovalRequest.objects.filter(token=token).first()
    if asked is not None:
        if proposal_of(asked) != proposal:
            raise _used()
        return asked
    moved = credit_selectors.transactions(proposal.org).filter(idempotency_key=f"{KEY}{token}")
    earlier = moved.first()
    if earlier is not None and not _is_same(earlier, proposal):
        raise _used()
    return earlier


def _is_same(earlier: CreditTransaction, proposal: Proposal) -> bool:
    if (earlier.amount, earlier.reason) != (proposal.amount, proposal.reason):
        return False
    if proposal.kind == ApprovalKind.ADJUST:
        return earlier.type == TransactionType.ADJUST
    lot = credit_selectors.lot_of(earlier)
    return (lot.kind, lot.expires_at) == (proposal.grant_kind, proposal.expires_at)


def _used() -> Conflict:
    return Conflict(
        "This form has done its work already, with other values. Nothing more was moved: "
        "look at the ledger, and open the form anew if you want another transaction.",
        code="form_used",
    )
