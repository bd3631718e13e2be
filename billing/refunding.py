"""Refunds that staff ask for: whole or in part, of a payment through Stripe or by transfer.

Asked for in a transaction of its own, then carried out at Stripe, and only then do the credits follow,
by what Stripe says. A crash anywhere in between leaves a row that is REQUESTED: sent again, or found by
the sweep, it is carried out under the same idempotency key.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any, NamedTuple

from django.db.models import Sum
from django.db.transaction import atomic
from django.utils import timezone

from billing import gateway, payments, subscriptions
from billing.accounts import lock_account
from billing.models import (
    BillingAccount,
    Payment,
    PaymentMethod,
    PaymentStatus,
    Refund,
    RefundStatus,
)
from billing.subscriptions import credits_reversed
from billing.webhooks.apply import follow_money
from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.common.errors import Conflict, Invalid
from clipforge.common.money import money
from credits import ledger as credit_ledger
from credits import selectors as credit_selectors

logger = logging.getLogger(__name__)

# Of a refund at Stripe that gave nothing back.
UNDONE = {"failed", "canceled"}


def refundable(payment: Payment) -> int:
    """The part that is left of it, in minor units, without what is being refunded. 0 unless it was paid."""
    if payment.status != PaymentStatus.PAID:
        return 0
    open_ = Refund.objects.filter(payment=payment, status=RefundStatus.REQUESTED)
    under_way = open_.aggregate(sum=Sum("amount"))["sum"] or 0
    return max(0, payment.amount - payment.reversed_amount - under_way)


def credits_with(payment: Payment, amount: int) -> int:
    """The credits that go back when so much more of the payment does."""
    after = Payment(
        amount=payment.amount,
        credits=payment.credits,
        reversed_amount=payment.reversed_amount + amount,
    )
    return credits_reversed(after) - credits_reversed(payment)


def require_refundable(payment: Payment, amount: int) -> None:
    """Raises Invalid for more than is left, or nothing, and Unavailable where Stripe is not set up."""
    left = refundable(payment)
    if not 1 <= amount <= left:
        raise Invalid(
            f"Of this payment {money(left, payment.currency)} can be given back, and no more."
        )
    if payment.method == PaymentMethod.STRIPE:
        if not payment.payment_intent_id:
            raise Invalid("Stripe took no money for this payment.")
        with gateway.mode_of(payment.org):
            gateway.require_configured()


class Effect(NamedTuple):
    """Credits that a refund takes out of the account, and those that are owed because they were spent."""

    taken: int
    owed: int


def effect_of_refund(payment: Payment, amount: int) -> Effect:
    """As the ledger would do it now."""
    left, taken, owed = credits_with(payment, amount), 0, 0
    for grant in credit_selectors.grants_for("payment", str(payment.pk), org=payment.org):
        if part := min(left, credit_selectors.reversible(grant)):
            parts = credit_ledger.parts_to_reverse(credit_selectors.lot_of(grant), part)
            taken, owed, left = taken + parts[0], owed + parts[1], left - part
    return Effect(taken, owed)


def refund_of(token: uuid.UUID) -> Refund | None:
    """The refund that a form asked for."""
    return Refund.objects.select_related("payment__org").filter(token=token).first()


def refunds_of(payment: Payment) -> list[Refund]:
    """Those that staff asked for, the newest first."""
    return list(Refund.objects.filter(payment=payment).order_by("-created_at", "-id"))


def request_refund(
    *,
    payment: Payment,
    amount: int,
    token: uuid.UUID,
    reason: str,
    actor: Actor,
    audit: bool = True,
) -> Refund:
    """Ask for a refund; the same token again is the same one. `carry_out_refund` does it at Stripe.

    One of a transfer is done with this: somebody sends the money by a transfer of ours. Raises Invalid
    for more than is left of it, Conflict for a token that asked for something else, and Unavailable
    where Stripe is not set up.
    """
    with atomic():
        account = lock_account(payment.org_id)
        payment = Payment.objects.select_related("price", "org").get(pk=payment.pk)
        earlier = refund_of(token)
        if earlier is not None:
            if (earlier.payment_id, earlier.amount) != (payment.pk, amount):
                raise Conflict("This form has asked for another refund already.", code="form_used")
            return earlier
        require_refundable(payment, amount)
        refund = Refund.objects.create(
            token=token,
            org=payment.org,
            payment=payment,
            amount=amount,
            reason=reason,
            actor=str(actor),
        )
        if audit:
            write_entry(
                actor=actor,
                verb="refund_payment",
                subject=payment,
                org=payment.org,
                after={
                    "refunded": money(amount, payment.currency),
                    "credits": credits_with(payment, amount),
                },
                reason=reason,
            )
        if payment.method == PaymentMethod.MANUAL:
            total = payment.reversed_amount + amount
            follow_by_hand(account, payment, total, reason=reason, actor=actor, audit=False)
            _finish(refund, RefundStatus.DONE)
    return refund


def follow_by_hand(
    account: BillingAccount,
    payment: Payment,
    total: int,
    *,
    reason: str,
    actor: Actor,
    audit: bool = True,
) -> bool:
    """Note that so much of a transfer went back, in all. False when nothing changed. Requires the lock."""
    if not payments.reverse(payment, total, reason=reason, actor=actor, audit=audit):
        return False
    subscriptions.shorten_by_hand(payment.org, now=timezone.now())
    subscriptions.settle_tier(account, now=timezone.now(), actor=actor)
    return True


def carry_out_refund(refund: Refund) -> Refund:
    """Give the money back at Stripe, once however often this is called, and let the credits follow.

    What Stripe refuses is FAILED, with its words. Raises Unavailable when Stripe cannot be asked: it
    stays REQUESTED, and the sweep comes back to it. Call it outside a transaction.
    """
    if refund.status != RefundStatus.REQUESTED:
        return refund
    payment = refund.payment
    try:
        with gateway.mode_of(payment.org):
            made = _made_before(refund) or gateway.refund(
                payment_intent_id=payment.payment_intent_id,
                amount=refund.amount,
                metadata={"refund": str(refund.pk)},
                idempotency_key=f"refund:{refund.pk}",
            )
    except Invalid as error:
        return _finish(refund, RefundStatus.FAILED, error=error.message)
    follow_money(payment)
    if made["status"] in UNDONE:
        return _finish(refund, RefundStatus.FAILED, made["id"], error=f"It is {made['status']}.")
    return _finish(refund, RefundStatus.DONE, made["id"])


def carry_out_open() -> list[str]:
    """Carry out the refunds that were asked for and not done. Returns what still waits, and why."""
    waiting = []
    open_ = Refund.objects.filter(status=RefundStatus.REQUESTED).select_related("payment__org")
    for refund in open_.order_by("created_at"):
        try:
            carry_out_refund(refund)
        except Exception as error:  # one that cannot be done must not keep the others waiting
            logger.exception("refund still waits", extra={"refund": str(refund.pk)})
            waiting.append(f"refund {refund.pk}: {error}")
    return waiting


def page_at_stripe(payment: Payment) -> str:
    """The address of the payment in Stripe's dashboard; empty for one that is not there."""
    if not payment.payment_intent_id:
        return ""
    with gateway.mode_of(payment.org):
        return gateway.page_of(payment.payment_intent_id)


def _made_before(refund: Refund) -> dict[str, Any] | None:
    """The refund as Stripe has it. It forgets our key after a day, but not the refund."""
    made = gateway.refunds(refund.payment.payment_intent_id)
    ours = (each for each in made if (each.get("metadata") or {}).get("refund") == str(refund.pk))
    return next(ours, None)


def _finish(
    refund: Refund, status: RefundStatus, stripe_id: str = "", *, error: str = ""
) -> Refund:
    """Once: what another process finished meanwhile stays as it is."""
    open_ = Refund.objects.filter(pk=refund.pk, status=RefundStatus.REQUESTED)
    open_.update(status=status, stripe_id=stripe_id, error=error, done_at=timezone.now())
    refund.refresh_from_db()
    return refund
