"""What Stripe tells us: stored first, then applied in one transaction with its effect.

An event only says where to look. What is there is fetched again, so that events may come twice,
late and in any order: the end is always what Stripe says now. Nothing is locked while Stripe is
asked; an answer that is older than one applied meanwhile is thrown away and fetched again.
"""

from __future__ import annotations

import datetime
import functools
import logging
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from django.db.transaction import atomic
from django.utils import timezone

from billing import gateway, payments, subscriptions
from billing.accounts import lock_account
from billing.models import (
    BillingAccount,
    EventStatus,
    Payment,
    PaymentMethod,
    PaymentStatus,
    Price,
    PriceKind,
    StripeEvent,
    Subscription,
    SubscriptionStatus,
)
from clipforge.common.errors import Invalid, Unavailable
from clipforge.orgs.models import Organization

logger = logging.getLogger(__name__)

ACTOR = "stripe"
# How often a newer answer may overtake ours before Stripe is asked to come again.
ATTEMPTS = 5

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
# What has had its effect, or will never have one.
DONE = {EventStatus.APPLIED, EventStatus.IGNORED}


class Facts(NamedTuple):
    """What Stripe says now about one organization, and how it is written down.

    `write` returns why what the event is about could not be; empty when it was.
    """

    org_id: uuid.UUID
    write: Callable[[BillingAccount], str]


def receive(document: dict[str, Any]) -> StripeEvent:
    """Store what came, once. Raises Invalid for what is no event of our mode."""
    event_id, kind, created = (document.get(key) for key in ("id", "type", "created"))
    if not (isinstance(event_id, str) and isinstance(kind, str) and isinstance(created, int)):
        raise Invalid("This is no event.", code="invalid_event")
    if document.get("livemode") is not gateway.is_live():
        raise Invalid("This event is of the other mode, test or live.", code="wrong_mode")
    event, _ = StripeEvent.objects.get_or_create(
        pk=event_id,
        defaults={
            "type": kind[:100],
            "payload": document,
            "created_at": datetime.datetime.fromtimestamp(created, datetime.UTC),
        },
    )
    return event


def apply(event: StripeEvent) -> str:
    """Do what follows from the event, once. Returns its status afterwards.

    Raises Unavailable when Stripe cannot be asked: the event stays RECEIVED and is applied when it
    comes again, or by `billing.reconciling`.
    """
    if event.status in DONE:
        return event.status
    look_up = LOOK_UPS.get(event.type)
    thing = event.payload.get("data", {}).get("object", {})
    if look_up is None or not thing.get("id"):
        return _finish(event, EventStatus.IGNORED)
    try:
        return _apply(event, functools.partial(look_up, thing), _org_hinted(thing))
    except Invalid as error:
        logger.error("event cannot be applied", extra={"event": event.pk, "why": error.message})
        return _finish(event, EventStatus.FAILED, error=error.message)


def catch_up(known: Payment | Subscription) -> None:
    """Do what Stripe says of it now, without an event. Raises Unavailable, and Invalid."""
    look_up, stripe_id = (
        (_checkout, known.checkout_id)
        if isinstance(known, Payment)
        else (_subscription, known.stripe_id)
    )
    _apply(None, functools.partial(look_up, {"id": stripe_id}), known.org_id)


def _apply(
    event: StripeEvent | None, look_up: Callable[[], Facts | None], org_id: uuid.UUID | None
) -> str:
    """`org_id` is whose it probably is: the version has to be read before Stripe is asked."""
    for _ in range(ATTEMPTS):
        version = _version_of(org_id)
        facts = look_up()
        if facts is None:
            return _finish(event, EventStatus.IGNORED)
        if facts.org_id != org_id:
            org_id = facts.org_id
            continue
        with atomic():
            account = lock_account(facts.org_id)
            if event is not None:
                event = StripeEvent.objects.select_for_update().get(pk=event.pk)
                if event.status in DONE:
                    return event.status
            if account.sync_version != version:
                continue
            account.sync_version += 1
            account.save(update_fields=["sync_version"])
            why_not = facts.write(account)
            subscriptions.settle_tier(account, now=timezone.now())
            status = EventStatus.FAILED if why_not else EventStatus.APPLIED
            return _finish(event, status, org_id=org_id, error=why_not)
    raise Unavailable("Too much is happening at once. Send the event again.")


def _version_of(org_id: uuid.UUID | None) -> int:
    if org_id is None:
        return -1
    versions = BillingAccount.objects.filter(pk=org_id).values_list("sync_version", flat=True)
    return versions.first() or 0


def _finish(event: StripeEvent | None, status: EventStatus, **fields: Any) -> str:
    if event is not None:
        # What was applied by another process meanwhile, or set aside by a person, stays so.
        undecided = StripeEvent.objects.filter(pk=event.pk).exclude(status__in=DONE)
        undecided.update(status=status, applied_at=timezone.now(), **fields)
    return status


def _org_hinted(thing: dict[str, Any]) -> uuid.UUID | None:
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


def _checkout(thing: dict[str, Any]) -> Facts | None:
    """None when it is not one of ours: others may sell through the same account."""
    session = gateway.checkout(thing["id"])
    payment = _payment_named(session["metadata"])
    if payment is None:
        return None
    if session["subscription"]:
        return _subscription({"id": session["subscription"]})
    is_paid = session["payment_status"] == "paid"
    is_new = is_paid and payment.status != PaymentStatus.PAID
    back = _gone_back(session["payment_intent"]) if is_new else 0

    def write(_: BillingAccount) -> str:
        _note_checkout(payment.pk, session)
        if is_new:
            _settle_pack(Payment.objects.select_related("price", "org").get(pk=payment.pk), session)
            _follow(payment.pk, back)
        elif is_paid and session["id"] != payment.checkout_id:
            return f"Payment {payment.pk} was paid already. Refund {session['payment_intent']}."
        return ""

    return Facts(payment.org_id, write)


def _note_checkout(payment_id: uuid.UUID, session: dict[str, Any]) -> None:
    if session["status"] == "expired":
        pending = Payment.objects.filter(pk=payment_id, status=PaymentStatus.PENDING)
        pending.update(status=PaymentStatus.EXPIRED)


def _settle_pack(payment: Payment, session: dict[str, Any]) -> None:
    asked = (payment.amount, payment.currency)
    came = (session["amount_total"], session["currency"])
    if asked != came:
        raise Invalid(f"Payment {payment.pk} asked for {asked}, and {came} was paid.")
    payments.mark_paid(
        payment,
        paid_at=timezone.now(),
        actor=ACTOR,
        checkout_id=session["id"],
        payment_intent_id=session["payment_intent"],
    )


def _payment_named(metadata: dict[str, Any] | None) -> Payment | None:
    try:
        return Payment.objects.filter(pk=uuid.UUID((metadata or {}).get("payment", ""))).first()
    except ValueError:
        return None


# --- a subscription --------------------------------------------------------------------


def _subscription(thing: dict[str, Any], invoice_id: str = "") -> Facts | None:
    """`invoice_id` is the invoice that the event is about, if it is about one."""
    found = gateway.subscription(thing["id"])
    org_id = _org_named(found["metadata"])
    if org_id is None:
        return None
    invoices = _unsettled(gateway.paid_invoices(found["id"]))
    back = {invoice["id"]: _gone_back(_intent_of(invoice)) for invoice in invoices}
    keys = _lookup_keys(found, invoices)

    def write(account: BillingAccount) -> str:
        subscription = _copy_subscription(account, found, keys)
        if subscription is None:
            return ""
        why_not = {}
        for invoice in invoices:
            try:
                with atomic():  # one that is odd keeps none of the others back
                    payment = _settle_invoice(account, subscription, found, invoice, keys)
                    _follow(payment.pk, back[invoice["id"]])
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


def _invoice(thing: dict[str, Any]) -> Facts | None:
    details = (thing.get("parent") or {}).get("subscription_details") or {}
    subscription_id = details.get("subscription")
    return _subscription({"id": subscription_id}, thing["id"]) if subscription_id else None


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
        raise Invalid(f"Invoice {invoice['id']} names the payment of somebody else.")
    payment = payment or Payment(org=account.org, method=PaymentMethod.STRIPE, actor=ACTOR)
    payment.price = price
    payment.amount = invoice["amount_paid"]
    payment.currency = invoice["currency"]
    payment.credits = subscriptions.credits_missing(subscription, price, ends_at)
    payment.save()
    payments.mark_paid(
        payment,
        paid_at=timezone.now(),
        actor=ACTOR,
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
    """What paid the invoice; empty when nothing had to be paid."""
    for each in (invoice["payments"] or {"data": []})["data"]:
        if intent := each["payment"].get("payment_intent"):
            return str(intent)
    return ""


# --- money that goes back --------------------------------------------------------------


def _reversal(thing: dict[str, Any]) -> Facts | None:
    """A charge, a refund or a dispute. None when it is of what others sold.

    Of a payment that was not heard of yet nothing is written. But whoever is writing it down just
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

    def write(_: BillingAccount) -> str:
        payment = Payment.objects.filter(payment_intent_id=intent_id).first()
        if payment is not None:
            _follow(payment.pk, back)
        return ""

    return Facts(org_id, write)


def _gone_back(payment_intent_id: str | None) -> int:
    """How much was refunded, or is disputed or lost, of what was paid."""
    if not payment_intent_id:
        return 0
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
    return int(refunded + disputed)


def _follow(payment_id: uuid.UUID, back: int) -> None:
    payment = Payment.objects.select_related("price", "org").get(pk=payment_id)
    payments.reverse(
        payment,
        min(back, payment.amount),
        reason=f"{payment}: {min(back, payment.amount) / 100:.2f} went back",
        actor=ACTOR,
    )


def _time(stamp: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(stamp, datetime.UTC)


# Every type of event that means something to us, and where it says to look. The endpoint is set up
# to hear of each (README); the sweep lists them, and Stripe takes no more than 20 for that.
LOOK_UPS: dict[str, Callable[[dict[str, Any]], Facts | None]] = {
    "checkout.session.completed": _checkout,
    "checkout.session.expired": _checkout,
    "checkout.session.async_payment_succeeded": _checkout,
    "checkout.session.async_payment_failed": _checkout,
    "customer.subscription.created": _subscription,
    "customer.subscription.updated": _subscription,
    "customer.subscription.deleted": _subscription,
    "customer.subscription.paused": _subscription,
    "customer.subscription.resumed": _subscription,
    "invoice.paid": _invoice,
    "charge.refunded": _reversal,
    "refund.created": _reversal,
    "refund.updated": _reversal,
    "refund.failed": _reversal,
    "charge.dispute.created": _reversal,
    "charge.dispute.updated": _reversal,
    "charge.dispute.closed": _reversal,
    "charge.dispute.funds_withdrawn": _reversal,
    "charge.dispute.funds_reinstated": _reversal,
}
