"""Payments and reversals with their credits, each in one transaction.

Everything here requires the account's lock.
"""

from __future__ import annotations

import datetime
import logging
import uuid
from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from billing.models import Payment, PaymentMethod, PaymentStatus, PlanPeriod, PriceKind
from billing.subscriptions import LATE_LIFE, credits_reversed
from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.common.errors import Invalid
from clipforge.common.money import money
from clipforge.events import outbox
from credits import selectors as credit_selectors
from credits import services as credit_services
from credits.models import CreditTransaction, GrantKind

logger = logging.getLogger(__name__)

# Begins the key of what was given again.
RESTORE = "restore:"


def mark_paid(
    payment: Payment,
    *,
    paid_at: datetime.datetime,
    actor: Actor,
    audit: bool = True,
    **known: Any,
) -> bool:
    """Take the payment to PAID, once, and grant the credits of a pack. False: it was paid before.

    What a plan brings is granted with its period. `known` are the ids that Stripe gave it. `audit`
    is False where the caller's act leaves the row in the audit.
    """
    unpaid = Payment.objects.filter(pk=payment.pk).exclude(status=PaymentStatus.PAID)
    if not unpaid.update(status=PaymentStatus.PAID, paid_at=paid_at, **known):
        return False
    payment.refresh_from_db()
    if payment.price.kind == PriceKind.PACK:
        _grant_pack(payment, actor)
    if audit:
        _write_paid(payment, actor)
    outbox.record("payment.succeeded", payment, org=payment.org)
    logger.info(
        "payment received",
        extra={"org": str(payment.org_id), "payment": str(payment.pk), "actor": str(actor)},
    )
    return True


def mark_expired(payment_ids: Iterable[uuid.UUID]) -> None:
    """Take payments that still wait for their money to EXPIRED. Their pages are closed."""
    waiting = Payment.objects.filter(pk__in=payment_ids, status=PaymentStatus.PENDING)
    for payment in waiting.select_for_update(of=("self",)).select_related("org").order_by("pk"):
        payment.status = PaymentStatus.EXPIRED
        payment.save(update_fields=["status"])
        outbox.record("payment.failed", payment, org=payment.org)


def reverse(
    payment: Payment,
    reversed_amount: int,
    *,
    reason: str,
    actor: Actor,
    audit: bool = True,
    disputed: int | None = None,
) -> bool:
    """Make the credits follow the money: `reversed_amount` of it, in all, went back.

    `disputed` of that was taken by a bank; None where that is not asked about, and stays as it is.

    More than before takes credits back, or makes them owed; less (a dispute that was won) gives
    them again. False when nothing changed. Raises Invalid for more than was paid. `audit` is False
    where the caller's act leaves the row in the audit.
    """
    if payment.status != PaymentStatus.PAID or not 0 <= reversed_amount <= payment.amount:
        raise Invalid(f"Payment {payment.pk} cannot have {reversed_amount} reversed.")
    disputed = min(payment.disputed_amount if disputed is None else disputed, reversed_amount)
    if disputed != payment.disputed_amount:
        payment.disputed_amount = disputed
        payment.save(update_fields=["disputed_amount"])
    if reversed_amount == payment.reversed_amount:
        return False
    before, was_reversed = credits_reversed(payment), payment.reversed_amount
    payment.reversed_amount = reversed_amount
    payment.reversals += 1
    payment.save(update_fields=["reversed_amount", "reversals"])
    change = credits_reversed(payment) - before
    if change > 0:
        _take_back(payment, change, reason=reason, actor=actor)
    elif change < 0 and _was_granted(payment):
        _give_again(payment, -change, reason=reason, actor=actor)
    if audit:
        write_entry(
            actor=actor,
            verb="reverse_payment",
            subject=payment,
            org=payment.org,
            before={"went back": money(was_reversed, payment.currency)},
            after={"went back": money(reversed_amount, payment.currency)},
            reason=reason,
        )
    outbox.record("payment.refunded", payment, org=payment.org)
    logger.info(
        "payment reversed",
        extra={"payment": str(payment.pk), "reversed": reversed_amount, "actor": str(actor)},
    )
    return True


def _write_paid(payment: Payment, actor: Actor) -> None:
    """Of a payment by hand with its terms and reason, of Stripe's with what Stripe says."""
    by_hand = payment.method == PaymentMethod.MANUAL
    facts = {"reference": payment.reference, "paid_on": payment.paid_at and payment.paid_at.date()}
    write_entry(
        actor=actor,
        verb="add" if by_hand else "receive_payment",
        subject=payment,
        org=payment.org,
        after={
            "price": str(payment.price),
            "credits": payment.credits,
            "paid": money(payment.amount, payment.currency),
            **(facts if by_hand else {}),
        },
        reason=payment.reason if by_hand else f"{payment.price} was paid through Stripe",
    )


def _grant_pack(payment: Payment, actor: Actor) -> None:
    days = payment.price.validity_days
    credit_services.grant(
        org=payment.org,
        amount=payment.credits,
        kind=GrantKind.PURCHASE,
        reason=f"{payment.price.name} bought",
        actor=actor,
        audit=False,
        idempotency_key=payment.ledger_key,
        expires_at=None if days is None else timezone.now() + datetime.timedelta(days=days),
        reference_type="payment",
        reference_id=str(payment.pk),
    )


def _take_back(payment: Payment, amount: int, *, reason: str, actor: Actor) -> None:
    """Out of what it brought, the newest first: a dispute that was won gave a second lot."""
    for grant in credit_selectors.grants_for("payment", str(payment.pk), org=payment.org):
        part = min(amount, credit_selectors.reversible(grant))
        if part:
            credit_services.reverse_grant(
                transaction=grant,
                amount=part,
                reason=reason,
                actor=actor,
                audit=False,
                idempotency_key=f"reverse:{payment.pk}:{payment.reversals}:{grant.pk}",
                reference_type="payment",
                reference_id=str(payment.pk),
            )
            amount -= part


def _give_again(payment: Payment, amount: int, *, reason: str, actor: Actor) -> None:
    """As it was given first: until the same end, in the same place of the order of drawing.

    What had ended unused before it was taken back does not come to life again.
    """
    grants = credit_selectors.grants_for("payment", str(payment.pk), org=payment.org)
    back = credit_selectors.reversed_totals(grants)
    again = sum(each.amount for each in grants if each.idempotency_key.startswith(RESTORE))
    usable = back.amount - again - back.ended
    priority, ends_at = _first_terms(payment, grants)
    late = timezone.now() + LATE_LIFE
    credit_services.grant(
        org=payment.org,
        amount=amount,
        kind=GrantKind.ADJUST,
        reason=reason,
        actor=actor,
        audit=False,
        idempotency_key=f"{RESTORE}{payment.pk}:{payment.reversals}",
        expires_at=late if ends_at is not None and ends_at <= timezone.now() else ends_at,
        priority=priority,
        ended=max(0, min(back.ended, amount - usable)),
        reference_type="payment",
        reference_id=str(payment.pk),
    )


def _first_terms(
    payment: Payment, grants: list[CreditTransaction]
) -> tuple[int, datetime.datetime | None]:
    """Priority and end. A month that began while all of it was disputed brought nothing at first."""
    if payment.price.is_plan:
        return credit_services.PRIORITIES[GrantKind.PLAN], payment.period.ends_at
    lot = credit_selectors.lot_of(grants[-1])
    return lot.priority, lot.expires_at


def _was_granted(payment: Payment) -> bool:
    """A plan that begins later is granted then, by what is paid for it at that time."""
    return not PlanPeriod.objects.filter(payment=payment, granted_at=None).exists()
