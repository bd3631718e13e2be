"""The changes of billing by staff and customers. Each names its actor and is atomic."""

from __future__ import annotations

import datetime
import logging
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection
from django.db.transaction import atomic
from django.utils import timezone

from billing import gateway, payments, subscriptions
from billing.accounts import lock_account
from billing.checkout import close_plan_pages, note_closed, open_portal, start_checkout
from billing.models import (
    BillingAccount,
    EventStatus,
    Payment,
    PaymentMethod,
    Price,
    PriceKind,
    StripeEvent,
)
from billing.refunding import (
    carry_out_refund,
    credits_with,
    effect_of_refund,
    follow_by_hand,
    page_at_stripe,
    refund_of,
    refundable,
    refunds_of,
    request_refund,
    require_refundable,
)
from billing.selectors import (
    normal_reference,
    open_of_stripe,
    open_plan_pages,
    payment_of_transfer,
    plan_already_active,
    price_for_sale,
    without_blanks,
)
from billing.webhooks.apply import apply_event
from billing.webhooks.intake import receive_event
from clipforge.audit.actor import Actor
from clipforge.audit.services import sufficient_reason, write_entry
from clipforge.common.errors import Conflict, Invalid
from clipforge.common.models import uuid7
from clipforge.common.money import money
from clipforge.orgs.models import Organization

__all__ = [
    "apply_event",
    "carry_out_refund",
    "credits_with",
    "effect_of_refund",
    "open_portal",
    "page_at_stripe",
    "paid_through_stripe",
    "receive_event",
    "record_payment",
    "refund_of",
    "refundable",
    "refunds_of",
    "request_refund",
    "require_recordable",
    "require_refundable",
    "reverse_payment",
    "revise_price",
    "set_aside",
    "set_low_balance_threshold",
    "start_checkout",
    "withdraw_price",
]

logger = logging.getLogger(__name__)

# Characters, as in the columns.
MAX_REFERENCE, MAX_REASON = 100, 500
# Credits.
MAX_THRESHOLD = 10**9

# What a customer agrees to. Everything else about a price may change while it is sold.
TERMS = frozenset({"name", "tier", "credits", "amount", "currency", "validity_days"})


def revise_price(*, price: Price, reason: str, actor: Actor, **terms: Any) -> Price:
    """Change the terms of an active price. Returns the version that is sold from now on.

    One that was ever sold stays as it was, inactive, and the next version takes its place. Terms
    that are equal change nothing. Raises Invalid for what makes no price, and Conflict when the
    price is not the one being sold.
    """
    if unknown := set(terms) - TERMS:
        raise Invalid(f"A price has no {', '.join(sorted(unknown))}.")
    with atomic():
        current = Price.objects.select_for_update().get(pk=price.pk)
        if not current.is_active:
            raise Conflict(f"{current} is not sold any more; revise the version that is.")
        changes = {name: new for name, new in terms.items() if getattr(current, name) != new}
        if not changes:
            return current
        before, was = {name: getattr(current, name) for name in changes}, current.currency
        if current.frozen_at is not None:
            current = _next_version(current)
        for name, new in changes.items():
            setattr(current, name, new)
        _require_valid(current)
        current.save()
        write_entry(
            actor=actor,
            verb="change",
            subject=current,
            before=_as_written(before, was),
            after=_as_written(changes, current.currency),
            reason=reason,
        )
    facts = {"price": str(current), "actor": str(actor), "changes": changes}
    logger.info("price revised", extra=facts)
    return current


def withdraw_price(*, price: Price, reason: str, actor: Actor) -> bool:
    """Stop selling it. What was sold is not touched. False when it was not sold any more."""
    with atomic():
        withdrawn = Price.objects.filter(pk=price.pk, is_active=True).update(is_active=False)
        if withdrawn:
            write_entry(
                actor=actor,
                verb="withdraw",
                subject=price,
                before={"is_active": True},
                after={"is_active": False},
                reason=reason,
            )
    if withdrawn:
        logger.info("price withdrawn", extra={"price": str(price), "actor": str(actor)})
    return bool(withdrawn)


def record_payment(
    *,
    org: Organization,
    code: str,
    reference: str,
    paid_on: datetime.date,
    reason: str,
    actor: Actor,
    audit: bool = True,
) -> Payment:
    """Record money that came by another way than Stripe, and give what it bought.

    `reference` is the transfer's own: recording it twice for the same thing returns the first
    payment and changes nothing. A pack is granted at once. A plan begins, is prolonged, or, when
    it is a higher one, begins at once for the difference; pages where a plan could be paid too are
    closed before. Raises Conflict when the reference stands for something else, or a plan of
    Stripe's runs or was just paid; Invalid for a price that is not sold, or a day to come. `audit`
    is False where the caller's act, as the yes of a second person, leaves the row in the audit.
    """
    reference = normal_reference(reference)
    require_recordable(reference=reference, paid_on=paid_on, reason=reason)
    is_plan = Price.objects.filter(code=code, kind=PriceKind.PLAN, is_active=True).exists()
    closed = close_plan_pages(org) if is_plan and payment_of_transfer(reference) is None else []
    with atomic():
        _lock_transfer(reference)
        account = lock_account(org.pk)
        earlier = payment_of_transfer(reference)
        if earlier is not None:
            return _same_payment(earlier, org, code)
        note_closed(closed)
        payment = _pay_by_hand(
            account,
            price_for_sale(code),
            reference=reference,
            paid_on=paid_on,
            reason=reason,
            actor=actor,
            audit=audit,
        )
        subscriptions.settle_tier(account, now=timezone.now(), actor=actor)
    return payment


def reverse_payment(
    *, payment: Payment, amount: int | None = None, reason: str, actor: Actor
) -> Payment | None:
    """Note that money which was recorded by hand went back: `amount` in all, or the whole.

    Credits, plan and tier follow as after a refund. None when so much had gone back before, and
    nothing changed. Raises Conflict for less than that, Invalid for more than was paid, or for a
    payment of Stripe's.
    """
    _require_reason(reason)
    with atomic():
        account = lock_account(payment.org_id)
        payment = Payment.objects.select_related("price", "org").get(pk=payment.pk)
        if payment.method != PaymentMethod.MANUAL:
            raise paid_through_stripe()
        amount = payment.amount if amount is None else amount
        if not 1 <= amount <= payment.amount:
            paid = money(payment.amount, payment.currency)
            raise Invalid(
                f"What went back is at least {money(1, payment.currency)}, at most {paid}."
            )
        if amount < payment.reversed_amount:
            raise Conflict(
                f"Of this payment {money(payment.reversed_amount, payment.currency)} went back already.",
                code="already_reversed",
            )
        if not follow_by_hand(account, payment, amount, reason=reason, actor=actor):
            return None
    return payment


def paid_through_stripe() -> Invalid:
    return Invalid("This was paid through Stripe: open the payment and choose Refund.")


def set_aside(*, event: StripeEvent, reason: str, actor: Actor) -> StripeEvent | None:
    """Leave an event of Stripe for good that cannot be applied: no sweep tries or reports it again.

    Its error stays, with the reason. None for one that has not failed, or was applied meanwhile.
    Raises Invalid for no reason, or one that is too long.
    """
    _require_reason(reason)
    with atomic():
        event = StripeEvent.objects.select_for_update().get(pk=event.pk)
        if event.status != EventStatus.FAILED:
            return None
        event.status = EventStatus.IGNORED
        event.error = f"{event.error} Set aside: {reason}"
        event.save(update_fields=["status", "error"])
        write_entry(
            actor=actor,
            verb="set_aside",
            subject=event,
            org=event.org,
            before={"status": EventStatus.FAILED},
            after={"status": event.status},
            reason=reason,
        )
    return event


def set_low_balance_threshold(
    *, org: Organization, threshold: int | None, reason: str, actor: Actor
) -> None:
    """Have those who run the organization told when fewer credits are available; None: never.

    Another threshold is a crossing of its own.
    """
    if threshold is not None and not 1 <= threshold <= MAX_THRESHOLD:
        raise Invalid(f"The threshold must be a number of credits from 1 to {MAX_THRESHOLD}.")
    with atomic():
        account = lock_account(org.pk)
        if account.low_balance_threshold == threshold:
            return
        before = account.low_balance_threshold
        account.low_balance_threshold, account.is_low = threshold, False
        account.save(update_fields=["low_balance_threshold", "is_low"])
        write_entry(
            actor=actor,
            verb="change",
            subject=account,
            org=org,
            before={"low_balance_threshold": before},
            after={"low_balance_threshold": threshold},
            reason=reason,
        )
    logger.info(
        "low balance threshold set",
        extra={"org": str(org.pk), "threshold": threshold, "actor": str(actor)},
    )


def _pay_by_hand(
    account: BillingAccount,
    price: Price,
    *,
    paid_on: datetime.date,
    actor: Actor,
    audit: bool,
    **fields: Any,
) -> Payment:
    offer = None
    amount, credits_ = price.amount, price.credits
    if price.is_plan:
        if open_of_stripe(account.org) is not None:
            raise plan_already_active()
        if gateway.is_configured() and open_plan_pages(account.org).exists():
            raise Conflict(
                "A page to pay for a plan was opened this moment. Record the payment again.",
                code="checkout_open",
            )
        offer = subscriptions.offer_by_hand(account.org, price, now=timezone.now())
        amount, credits_ = offer.amount, offer.credits
    payment = Payment.objects.create(
        org=account.org,
        price=price,
        method=PaymentMethod.MANUAL,
        amount=amount,
        currency=price.currency,
        credits=credits_,
        actor=str(actor),
        **fields,
    )
    paid_at = datetime.datetime.combine(paid_on, datetime.time.min, datetime.UTC)
    payments.mark_paid(payment, paid_at=paid_at, actor=actor, audit=audit)
    if offer is not None:
        subscriptions.begin_or_prolong_by_hand(payment, offer)
    return payment


def _lock_transfer(reference: str) -> None:
    """Let two records of one transfer wait for each other, also of two organizations.

    The unique constraint knows only references that are equal to the blank.
    """
    with connection.cursor() as cursor:
        name = f"billing.transfer:{without_blanks(reference)}"
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def _same_payment(earlier: Payment, org: Organization, code: str) -> Payment:
    if (earlier.org_id, earlier.price.code) != (org.pk, code):
        raise Conflict(
            f'The reference "{earlier.reference}" stands for another payment.',
            code="reference_used",
        )
    return earlier


def require_recordable(*, reference: str, paid_on: datetime.date, reason: str) -> None:
    """Raises Invalid as `record_payment` does, for what can be said without a look at the price."""
    if not reference.strip():
        raise Invalid("A payment by hand needs the reference of the transfer.")
    if len(reference) > MAX_REFERENCE:
        raise Invalid(f"A reference has at most {MAX_REFERENCE} characters.")
    _require_reason(reason)
    if paid_on > timezone.now().date():
        raise Invalid("The day of payment is still to come.")


def _require_reason(reason: str) -> None:
    sufficient_reason(reason)
    if len(reason) > MAX_REASON:
        raise Invalid(f"A reason has at most {MAX_REASON} characters.")


def _next_version(price: Price) -> Price:
    """A copy to take the place of the price, not saved yet. Requires its lock."""
    Price.objects.filter(pk=price.pk).update(is_active=False)
    newest = Price.objects.filter(code=price.code).order_by("-version")[0]
    return Price(
        pk=uuid7(),
        code=price.code,
        version=newest.version + 1,
        kind=price.kind,
        **{name: getattr(price, name) for name in TERMS},
    )


def _as_written(terms: dict[str, Any], currency: str) -> dict[str, Any]:
    """Terms for people: the amount with its currency."""
    amount = terms.get("amount")
    return terms if amount is None else terms | {"amount": money(amount, currency)}


def _require_valid(price: Price) -> None:
    try:
        price.full_clean(validate_unique=False)
    except ValidationError as error:
        raise Invalid("; ".join(error.messages)) from None
