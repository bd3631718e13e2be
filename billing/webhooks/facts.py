"""The state of an object at Stripe, and how it is written down here.

A look-up (`LOOK_UPS`, by type of event) asks Stripe without a lock and returns `Facts`, whose
`write` runs later, in the transaction of `billing.webhooks.apply`.
"""

from __future__ import annotations

import datetime
import logging
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from django.db.transaction import atomic
from django.utils import timezone

from billing import gateway, payments, subscriptions
from billing.models import (
    BillingAccount,
    Payment,
    PaymentMethod,
    PaymentStatus,
    Price,
    PriceKind,
    Subscription,
    SubscriptionStatus,
)
from clipforge.audit.actor import Actor
from clipforge.common.errors import Invalid
from clipforge.common.money import money
from clipforge.orgs.models import Organization

logger = logging.getLogger(__name__)

# What Stripe calls the states of a subscription; those that are not here have not begun.
STATUSES = {
    "active": SubscriptionStatus.ACTIVE,
    "trialing": SubscriptionStatus.ACTIVE,
    "past_due": SubscriptionStatus.PAST_DUE,
    "unpaid": SubscriptionStatus.ENDED,
    "paused": SubscriptionStatus.ENDED,
    "canceled": SubscriptionStatus.ENDED,
}
# A dispute in one of these has taken no money, or gave it back.
HARMLESS = {"won", "warning_needs_response", "warning_under_review", "warning_closed", "prevented"}
# A refund in one of these came back.
UNDONE = {"failed", "canceled"}


class Facts(NamedTuple):
    """The present state of one organization at Stripe, and the function that stores it.

    `write` returns why the object of the event could not be written down; empty when it was.
    """

    org_id: uuid.UUID
    write: Callable[[BillingAccount, Actor], str]


def org_hinted(thing: dict[str, Any]) -> uuid.UUID | None:
    """Whose a thing of Stripe's is, as far as we know without asking there."""
    customer, intent_id = thing.get("customer"), thing.get("payment_intent")
    return _org_of_customer(customer) or _org_of_intent(intent_id)


def _org_of_customer(customer: str | None) -> uuid.UUID | None:
    if not customer:
        return None
    accounts = BillingAccount.objects.filter(stripe_customer_id=customer)
    return accounts.values_list("pk", flat=True).first()


def _org_of_intent(intent_id: str | None) -> uuid.UUID | None:
    if not intent_id:
        return None
    known = Payment.objects.filter(payment_intent_id=intent_id)
    return known.values_list("org", flat=True).first()


# --- a checkout ------------------------------------------------------------------------


def checkout_facts(thing: dict[str, Any]) -> Facts | None:
    """None when it is not one of ours: others may sell through the same account."""
    session = gateway.checkout(thing["id"])
    payment = _payment_named(session["metadata"])
    if payment is None:
        return None
    if session["subscription"]:
        return subscription_facts({"id": session["subscription"]})
    is_paid = session["payment_status"] == "paid"
    is_new = is_paid and payment.status != PaymentStatus.PAID
    back = _gone_back(session["payment_intent"] if is_new else None)

    def write(_: BillingAccount, actor: Actor) -> str:
        _note_checkout(payment.pk, session)
        if is_new:
            paid = Payment.objects.select_related("price", "org").get(pk=payment.pk)
            _settle_pack(paid, session, actor)
            _follow(payment.pk, back, actor)
        elif is_paid and session["id"] != payment.checkout_id:
            return f"Payment {payment.pk} was paid already. Refund {session['payment_intent']}."
        return ""

    return Facts(payment.org_id, write)


def _note_checkout(payment_id: uuid.UUID, session: dict[str, Any]) -> None:
    if session["status"] == "expired":
        payments.mark_expired([payment_id])


def _settle_pack(payment: Payment, session: dict[str, Any], actor: Actor) -> None:
    asked = (payment.amount, payment.currency)
    came = (session["amount_total"], session["currency"])
    if asked != came:
        raise Invalid(f"Payment {payment.pk} asked for {asked}, and {came} was paid.")
    payments.mark_paid(
        payment,
        paid_at=timezone.now(),
        actor=actor,
        checkout_id=session["id"],
        payment_intent_id=session["payment_intent"],
    )


def _payment_named(metadata: dict[str, Any] | None) -> Payment | None:
    try:
        return Payment.objects.filter(pk=uuid.UUID((metadata or {}).get("payment", ""))).first()
    except ValueError:
        return None


# --- a subscription --------------------------------------------------------------------


def subscription_facts(thing: dict[str, Any], invoice_id: str = "") -> Facts | None:
    """`invoice_id` is the invoice that the event is about, if it is about one."""
    found = gateway.subscription(thing["id"])
    org_id = _org_named(found["metadata"])
    if org_id is None:
        return None
    invoices = _unsettled(gateway.paid_invoices(found["id"]))
    back = {invoice["id"]: _gone_back(_intent_of(invoice)) for invoice in invoices}
    keys = _lookup_keys(found, invoices)

    def write(account: BillingAccount, actor: Actor) -> str:
        subscription = _copy_subscription(account, found, keys)
        if subscription is None:
            return ""
        why_not = {}
        for invoice in invoices:
            try:
                with atomic():  # one that is odd keeps none of the others back
                    payment = _settle_invoice(account, subscription, found, invoice, keys, actor)
                    _follow(payment.pk, back[invoice["id"]], actor)
            except Invalid as error:
                logger.error("invoice cannot be settled", extra={"why": error.message})
                why_not[invoice["id"]] = error.message
        return why_not.get(invoice_id, "")

    return Facts(org_id, write)


def _unsettled(invoices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that are no payment yet. Whatever happens to the others later has events of its own."""
    ids = [invoice["id"] for invoice in invoices]
    settled = set(Payment.objects.filter(invoice_id__in=ids).values_list("invoice_id", flat=True))
    return [invoice for invoice in invoices if invoice["id"] not in settled]


def invoice_facts(thing: dict[str, Any]) -> Facts | None:
    details = (thing.get("parent") or {}).get("subscription_details") or {}
    subscription_id = details.get("subscription")
    return subscription_facts({"id": subscription_id}, thing["id"]) if subscription_id else None


def _org_named(metadata: dict[str, Any] | None) -> uuid.UUID | None:
    try:
        org_id = uuid.UUID((metadata or {}).get("org", ""))
    except ValueError:
        return None
    return org_id if Organization.objects.filter(pk=org_id).exists() else None


def _copy_subscription(
    account: BillingAccount, found: dict[str, Any], keys: dict[str, str]
) -> Subscription | None:
    """None while it has not begun."""
    status = STATUSES.get(found["status"])
    if status is None:
        return None
    item, plan = _of_our_plans(found["items"]["data"], keys)
    known = Subscription.objects.filter(stripe_id=found["id"]).first()
    subscription = known or Subscription(org=account.org, stripe_id=found["id"])
    subscription.method = PaymentMethod.STRIPE
    subscription.price = plan
    subscription.status = status
    subscription.period_start = _time(item["current_period_start"])
    subscription.period_end = _time(item["current_period_end"])
    subscription.cancel_at_period_end = found["cancel_at_period_end"]
    subscription.ended_at = _time(found["ended_at"]) if found["ended_at"] else None
    subscription.save()
    return subscription


def _settle_invoice(
    account: BillingAccount,
    subscription: Subscription,
    found: dict[str, Any],
    invoice: dict[str, Any],
    keys: dict[str, str],
    actor: Actor,
) -> Payment:
    """Note a paid invoice as a payment, with the period that it paid and its credits."""
    line, price = _of_our_plans(invoice["lines"]["data"], keys)
    ends_at = _time(line["period"]["end"])
    Price.objects.filter(pk=price.pk).freeze()
    price.refresh_from_db()  # its terms may have changed since it was read, and cannot any more
    payment = None
    if invoice["currency"] != price.currency:
        raise Invalid(f"Invoice {invoice['id']} is in {invoice['currency']}; {price} is not.")
    if invoice["billing_reason"] == "subscription_create":
        payment = _payment_named(found["metadata"])
    if payment is not None and payment.org_id != account.org_id:
        raise Invalid(f"Invoice {invoice['id']} names the payment of another organization.")
    payment = payment or Payment(org=account.org, method=PaymentMethod.STRIPE, actor=str(actor))
    payment.price = price
    payment.amount = invoice["amount_paid"]
    payment.currency = invoice["currency"]
    payment.credits = subscriptions.credits_missing(subscription, price, ends_at)
    payment.save()
    payments.mark_paid(
        payment,
        paid_at=timezone.now(),
        actor=actor,
        invoice_id=invoice["id"],
        payment_intent_id=_intent_of(invoice),
    )
    subscriptions.add_period(payment, subscription, _time(line["period"]["start"]), ends_at)
    return payment


def _lookup_keys(found: dict[str, Any], invoices: list[dict[str, Any]]) -> dict[str, str]:
    """The lookup key of every price that is mentioned, by Stripe's id."""
    items = found["items"]["data"]
    keys = {item["price"]["id"]: item["price"]["lookup_key"] or "" for item in items}
    lines = [line for invoice in invoices for line in invoice["lines"]["data"]]
    for price_id in filter(None, map(_price_id, lines)):
        if price_id not in keys:
            keys[price_id] = gateway.price(price_id)["lookup_key"] or ""
    return keys


def _of_our_plans(
    things: list[dict[str, Any]], keys: dict[str, str]
) -> tuple[dict[str, Any], Price]:
    """Which item of a subscription, or line of an invoice, is one of our plans, and which plan.

    Of an upgrade's lines that is the dearer: another gives back the rest of the old plan. Raises
    Invalid when none is.
    """
    plans = [(thing, plan) for thing in things if (plan := _plan(keys.get(_price_id(thing), "")))]
    if not plans:
        named = ", ".join(filter(None, map(_price_id, things)))
        raise Invalid(f"None of Stripe's prices ({named}) is one of our plans.")
    return max(plans, key=lambda found: found[0].get("amount", 0))


def _price_id(thing: dict[str, Any]) -> str:
    """Of an item or a line; empty for a line that has none."""
    if "pricing" in thing:
        details = (thing["pricing"] or {}).get("price_details") or {}
        return str(details.get("price") or "")
    return str((thing.get("price") or {}).get("id", ""))


def _plan(lookup_key: str) -> Price | None:
    code, _, version = lookup_key.partition(":")
    if not version.isdecimal():
        return None
    return Price.objects.filter(code=code, version=version, kind=PriceKind.PLAN).first()


def _intent_of(invoice: dict[str, Any]) -> str:
    """The payment intent of the invoice; empty when nothing had to be paid."""
    for each in (invoice["payments"] or {"data": []})["data"]:
        if intent := each["payment"].get("payment_intent"):
            return str(intent)
    return ""


# --- money that goes back --------------------------------------------------------------


def reversal_facts(thing: dict[str, Any]) -> Facts | None:
    """A charge, a refund or a dispute. None when it is of what others sold.

    Of a payment that was not heard of yet nothing is written. But a transaction that writes it down just
    now, and asked before the money went, finds that its answer is too old, and asks again.
    """
    intent_id = thing.get("payment_intent")
    if not intent_id:
        return None
    org_id = _org_of_intent(intent_id)
    if org_id is None:
        org_id = _org_of_customer(gateway.payment_intent(intent_id)["customer"])
    if org_id is None:
        return None
    back = _gone_back(intent_id)

    def write(_: BillingAccount, actor: Actor) -> str:
        payment = Payment.objects.filter(payment_intent_id=intent_id).first()
        if payment is not None:
            _follow(payment.pk, back, actor)
        return ""

    return Facts(org_id, write)


class GoneBack(NamedTuple):
    """Of what was paid: how much was refunded, and how much is disputed or lost."""

    refunded: int
    disputed: int


def _gone_back(payment_intent_id: str | None) -> GoneBack:
    if not payment_intent_id:
        return GoneBack(0, 0)
    refunded = sum(
        each["amount"]
        for each in gateway.refunds(payment_intent_id)
        if each["status"] not in UNDONE
    )
    disputed = sum(
        each["amount"]
        for each in gateway.disputes(payment_intent_id)
        if each["status"] not in HARMLESS
    )
    return GoneBack(int(refunded), int(disputed))


def _follow(payment_id: uuid.UUID, back: GoneBack, actor: Actor) -> None:
    payment = Payment.objects.select_related("price", "org").get(pk=payment_id)
    total = min(sum(back), payment.amount)
    reason = f"{payment}: {money(total, payment.currency)} went back"
    payments.reverse(payment, total, reason=reason, actor=actor, disputed=back.disputed)


def _time(stamp: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(stamp, datetime.UTC)


# Every type of event that means something to us, and where it says to look. The endpoint is set up
# to hear of each (clipforge/docs/billing.md); the sweep lists them, and Stripe takes no more than 20
# for that.
LOOK_UPS: dict[str, Callable[[dict[str, Any]], Facts | None]] = {
    "checkout.session.completed": checkout_facts,
    "checkout.session.expired": checkout_facts,
    "checkout.session.async_payment_succeeded": checkout_facts,
    "checkout.session.async_payment_failed": checkout_facts,
    "customer.subscription.created": subscription_facts,
    "customer.subscription.updated": subscription_facts,
    "customer.subscription.deleted": subscription_facts,
    "customer.subscription.paused": subscription_facts,
    "customer.subscription.resumed": subscription_facts,
    "invoice.paid": invoice_facts,
    "charge.refunded": reversal_facts,
    "refund.created": reversal_facts,
    "refund.updated": reversal_facts,
    "refund.failed": reversal_facts,
    "charge.dispute.created": reversal_facts,
    "charge.dispute.updated": reversal_facts,
    "charge.dispute.closed": reversal_facts,
    "charge.dispute.funds_withdrawn": reversal_facts,
    "charge.dispute.funds_reinstated": reversal_facts,
}
