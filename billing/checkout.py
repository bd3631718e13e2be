"""Pages of Stripe for customers: the checkout, and the portal that changes a plan."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.transaction import atomic

from billing import gateway, payments, subscriptions
from billing.accounts import lock_account
from billing.models import BillingAccount, Payment, PaymentMethod, PaymentStatus, PriceKind
from billing.selectors import (
    open_of_stripe,
    open_plan_pages,
    plan_already_active,
    price_for_sale,
)
from clipforge.common.errors import Conflict, Invalid, NotFound
from clipforge.common.models import uuid7
from clipforge.orgs.models import Organization

MAX_KEY = 255


def start_checkout(
    *, org: Organization, code: str, currency: str | None, key: str | None, actor: str
) -> tuple[Payment, bool]:
    """Open a page where the organization pays for a price. Returns the payment, and whether it was
    there before.

    The payment is committed before Stripe is asked, with what makes Stripe's idempotency key: after
    a crash anywhere, the same `key` leads to the same page, and one payment. Of the pages for a
    plan only the last stays open. Raises what `price_for_sale` does; Conflict while a plan is
    active or was just paid, or for a `key` whose page has ended; Unavailable without Stripe.
    """
    with gateway.mode_of(org):
        return _start_checkout(org, code, currency, key, actor)


def _start_checkout(
    org: Organization, code: str, currency: str | None, key: str | None, actor: str
) -> tuple[Payment, bool]:
    gateway.require_configured()
    payment = _payment(org, code, currency, key, actor)
    if payment.checkout_url:
        return payment, True
    session = gateway.create_checkout(
        price=payment.price,
        customer=_customer(org),
        metadata={"org": str(org.pk), "payment": str(payment.pk)},
        idempotency_key=f"checkout:{payment.pk}",
    )
    Payment.objects.filter(pk=payment.pk).update(checkout_id=session["id"])
    payment.checkout_id = session["id"]
    if payment.price.is_plan:
        _close_other_pages(payment)
    Payment.objects.filter(pk=payment.pk).update(checkout_url=session["url"])
    payment.refresh_from_db()
    return payment, False


def close_plan_pages(org: Organization) -> list[Payment]:
    """Close every open page where a plan can be paid. Raises Conflict where one was paid already.

    Asks Stripe, and so takes no lock, not even to note it: that is left to the caller, once it has
    the account's. Without Stripe nothing can be paid there anyway.
    """
    with gateway.mode_of(org):
        pages = list(open_plan_pages(org)) if gateway.is_configured() else []
        if not all(_close_at_stripe(page) for page in pages):
            raise plan_already_active()
        return pages


def note_closed(pages: Iterable[Payment]) -> None:
    with atomic():
        payments.mark_expired([page.pk for page in pages])


def open_portal(*, org: Organization) -> str:
    """The address where the organization changes or cancels its plan. Raises as above."""
    with gateway.mode_of(org):
        gateway.require_configured()
        return gateway.create_portal(customer=_customer(org))


def _payment(
    org: Organization, code: str, currency: str | None, key: str | None, actor: str
) -> Payment:
    payment_id = uuid7()
    request_key = _valid(key) if key is not None else f"payment:{payment_id}"
    with atomic():
        lock_account(org.pk)
        earlier = (
            Payment.objects.for_org(org)
            .filter(request_key=request_key)
            .select_related("price")
            .first()
        )
        if earlier is not None:
            return _same_request(earlier, code, currency)
        price = price_for_sale(code, currency=currency)
        if price.is_plan and _has_plan(org):
            raise plan_already_active()
        return Payment.objects.create(
            pk=payment_id,
            org=org,
            price=price,
            method=PaymentMethod.STRIPE,
            status=PaymentStatus.PENDING,
            amount=price.amount,
            currency=price.currency,
            credits=price.credits,
            request_key=request_key,
            actor=actor,
        )


def _same_request(earlier: Payment, code: str, currency: str | None) -> Payment:
    """Raises Invalid when the key asked for something else, Conflict when its page has ended."""
    asked = (code, earlier.currency if currency is None else currency.lower())
    if asked != (earlier.price.code, earlier.currency):
        raise Invalid(
            "This Idempotency-Key was used for a different request. Choose a new key.",
            code="idempotency_key_reused",
        )
    if earlier.status == PaymentStatus.EXPIRED:
        raise Conflict(
            "This page has ended. Open another under a new Idempotency-Key.",
            code="checkout_expired",
        )
    return earlier


def _close_other_pages(payment: Payment) -> None:
    """Leave no other page where a plan can be paid: two paid ones would both go on every month.

    Its own page has to be known to others by now: of two that are opened at once, the newer stays.
    Raises Conflict, with its own page closed, where it cannot be the only one.
    """
    plans = Payment.objects.for_org(payment.org).filter(price__kind=PriceKind.PLAN)
    others = plans.filter(status=PaymentStatus.PENDING).exclude(pk=payment.pk)
    if others.filter(pk__gt=payment.pk).exists():
        _close(payment)
        raise Conflict("A newer page for a plan is open. Pay there.", code="checkout_superseded")
    older = others.filter(pk__lt=payment.pk).exclude(checkout_id="")
    were_closed = [_close(page) for page in older]
    with atomic():
        lock_account(payment.org_id)  # waits for a plan that is being recorded by hand
        has_plan = _has_plan(payment.org)
    if not all(were_closed) or has_plan:
        _close(payment)
        raise plan_already_active()


def _has_plan(org: Organization) -> bool:
    return bool(open_of_stripe(org) or subscriptions.open_by_hand(org))


def _close(page: Payment) -> bool:
    """False: it was paid already."""
    if not _close_at_stripe(page):
        return False
    note_closed([page])
    return True


def _close_at_stripe(page: Payment) -> bool:
    try:
        return gateway.close_checkout(page.checkout_id)
    except NotFound:  # of an account that we had before: nothing that is paid there reaches us
        return True


def _customer(org: Organization) -> str:
    """Stripe's id of the organization; made once."""
    account = BillingAccount.objects.filter(pk=org.pk).first()
    if account is not None and account.stripe_customer_id:
        return account.stripe_customer_id
    made = gateway.create_customer(
        org_id=str(org.pk), name=org.name, idempotency_key=f"customer:{org.pk}"
    )
    with atomic():
        account = lock_account(org.pk)
        if not account.stripe_customer_id:
            account.stripe_customer_id = made
            account.save(update_fields=["stripe_customer_id"])
    return account.stripe_customer_id


def _valid(key: str) -> str:
    if not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise Invalid(
            f"Idempotency-Key must be 1 to {MAX_KEY} printable ASCII characters.",
            code="invalid_idempotency_key",
        )
    return key
