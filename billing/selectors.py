"""Reads of prices and payments, and the check of payments against the ledger."""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import QuerySet

from billing import caching
from billing.models import (
    Alert,
    AlertStatus,
    BillingAccount,
    EventStatus,
    Payment,
    PaymentMethod,
    PaymentStatus,
    PlanPeriod,
    Price,
    PriceKind,
    StripeEvent,
    Subscription,
    SubscriptionStatus,
)
from clipforge.common.errors import Conflict, Invalid, NotFound
from clipforge.common.models import OrgQuerySet
from clipforge.orgs.models import Organization


def pricing(*, found: bytes | None = None) -> dict[str, Any]:
    """The answer of `GET /pricing`: `{version, plans, packs}`.

    `found` is the cached list, where this request has read it already.
    """
    return caching.pricing(found=found)


def price_for_sale(code: str, *, currency: str | None = None) -> Price:
    """The version of `code` that can be bought now, straight from the table, and frozen.

    Requires the transaction in which it is sold: one that is refused is not frozen. Raises Invalid with the code `unknown_price`, `price_inactive`, `wrong_currency` or, for what
    costs nothing, `not_for_sale`.
    """
    price = Price.objects.filter(code=code).order_by("-is_active", "-version").frozen()
    if price is None:
        raise Invalid(f'There is no price "{code}". GET /pricing lists them.', code="unknown_price")
    if not price.is_active:
        raise Invalid(f'"{code}" is not sold any more.', code="price_inactive")
    if currency is not None and currency.lower() != price.currency:
        raise Invalid(
            f'"{code}" is sold in {price.currency}, not {currency}.', code="wrong_currency"
        )
    if price.amount == 0:
        raise Invalid(f'"{code}" costs nothing and needs no payment.', code="not_for_sale")
    return price


def versions_of(price: Price) -> QuerySet[Price]:
    """All versions of what is sold under the code of this price, itself included."""
    return Price.objects.filter(code=price.code)


def payments(org: Organization) -> OrgQuerySet[Payment]:
    return Payment.objects.for_org(org).select_related("price")


def all_payments() -> OrgQuerySet[Payment]:
    """Payments of all organizations: for staff."""
    return Payment.objects.all()


def get_payment(org: Organization, payment_id: uuid.UUID) -> Payment:
    payment = payments(org).filter(pk=payment_id).first()
    if payment is None:
        raise NotFound
    return payment


def account_with_plan(org: Organization) -> BillingAccount | None:
    """The account whose tier a paid plan has set; None without such a plan."""
    return BillingAccount.objects.filter(pk=org.pk).exclude(plan_tier="").first()


def subscriptions(org: Organization) -> OrgQuerySet[Subscription]:
    return Subscription.objects.for_org(org)


def plan_periods(org: Organization) -> OrgQuerySet[PlanPeriod]:
    return PlanPeriod.objects.for_org(org)


def open_subscription(org: Organization) -> Subscription | None:
    """The plan that goes on, Stripe's before one renewed by hand; None without any."""
    return _open(org).order_by("-method", "-created_at").first()


# The lookup of a reference whatever blanks are in it, for texts without any.
SAME_TRANSFER = "reference__blankless"


def payment_of_transfer(reference: str) -> Payment | None:
    """The payment recorded by hand under the reference, whatever blanks are in either."""
    known = Payment.objects.exclude(reference="").select_related("price", "org")
    return known.filter(**{SAME_TRANSFER: without_blanks(reference)}).first()


def of_transfer(rows: QuerySet[Any], field: str, term: str) -> QuerySet[Any]:
    """Rows whose reference is the text, whatever blanks are in either."""
    return rows.exclude(**{field: ""}).filter(**{f"{field}__blankless": without_blanks(term)})


def normal_reference(text: str) -> str:
    """As it is kept and shown: one blank where there are any."""
    return " ".join(text.split())


def without_blanks(reference: str) -> str:
    """The form in which references are compared: banks print one with blanks that another leaves out."""
    return "".join(reference.split())


def open_plan_pages(org: Organization) -> OrgQuerySet[Payment]:
    """Pages of Stripe where the organization can pay for a plan."""
    waiting = Payment.objects.for_org(org).filter(status=PaymentStatus.PENDING)
    return waiting.filter(price__kind=PriceKind.PLAN).exclude(checkout_id="")


def open_of_stripe(org: Organization) -> Subscription | None:
    return _open(org).filter(method=PaymentMethod.STRIPE).first()


def plan_already_active() -> Conflict:
    return Conflict(
        "A plan is active already. Change or cancel it in the portal.", code="plan_already_active"
    )


def failed_alerts() -> QuerySet[Alert]:
    """Alerts of all organizations that were given up."""
    return Alert.objects.filter(status=AlertStatus.FAILED)


def unsent_alerts(*, created_before: Any) -> QuerySet[Alert]:
    """Alerts of all organizations that have waited to be sent since before that time."""
    return Alert.objects.filter(status=AlertStatus.PENDING, created_at__lt=created_before)


def failed_events() -> QuerySet[StripeEvent]:
    """Events of Stripe that could not be applied."""
    return StripeEvent.objects.filter(status=EventStatus.FAILED)


def _open(org: Organization) -> OrgQuerySet[Subscription]:
    subscriptions = Subscription.objects.for_org(org).select_related("price")
    return subscriptions.exclude(status=SubscriptionStatus.ENDED)


class Mismatch(NamedTuple):
    """One place where payments and ledger contradict each other."""

    org_id: uuid.UUID
    message: str


# Each selects the organization and what the message names, one row a mismatch.
MISMATCHES = [
    # Every cent received is credits granted exactly once, less what went back with the money.
    (
        "payment {} is worth {} credits, but the ledger gave and kept {}",
        """
        SELECT payment.org_id, payment.id, worth.credits, COALESCE(given.sum, 0)
               - COALESCE(reversed.sum, 0)
          FROM billing_payment AS payment
          JOIN billing_price AS price ON price.id = payment.price_id
          LEFT JOIN billing_planperiod AS period ON period.payment_id = payment.id
         CROSS JOIN LATERAL (SELECT CASE
                   WHEN payment.status <> 'PAID' THEN 0
                   WHEN price.kind = 'PLAN' AND period.granted_at IS NULL THEN 0
                   ELSE payment.credits - payment.credits::bigint * payment.reversed_amount
                        / GREATEST(payment.amount, 1) END AS credits) AS worth
          LEFT JOIN (SELECT reference_id, SUM(amount) FROM credits_credittransaction
                      WHERE reference_type = 'payment' AND type IN ('GRANT', 'PURCHASE')
                      GROUP BY reference_id) AS given ON given.reference_id = payment.id::text
          LEFT JOIN (SELECT reference_id, SUM(amount) FROM credits_creditreversal
                      WHERE reference_type = 'payment'
                      GROUP BY reference_id) AS reversed ON reversed.reference_id = payment.id::text
         WHERE worth.credits <> COALESCE(given.sum, 0) - COALESCE(reversed.sum, 0)
        """,
    ),
    (
        "ledger row {} is a purchase of {} credits that no payment stands behind",
        """
        SELECT ledger.org_id, ledger.id, ledger.amount
          FROM credits_credittransaction AS ledger
          LEFT JOIN billing_payment AS payment
            ON payment.id::text = ledger.reference_id AND payment.org_id = ledger.org_id
           AND payment.status = 'PAID' AND payment.credits = ledger.amount
           AND ledger.idempotency_key = 'payment:' || payment.id
         WHERE ledger.type = 'PURCHASE' AND payment.id IS NULL
        """,
    ),
    (
        "payment {} is for a plan, but no period came of it",
        """
        SELECT payment.org_id, payment.id
          FROM billing_payment AS payment
          JOIN billing_price AS price ON price.id = payment.price_id
          LEFT JOIN billing_planperiod AS period ON period.payment_id = payment.id
         WHERE payment.status = 'PAID' AND price.kind = 'PLAN' AND period.id IS NULL
        """,
    ),
    # Each would be paid every month; a person ends one of them, and refunds it.
    (
        "{} plans go on at once",
        """
        SELECT org_id, COUNT(*)
          FROM billing_subscription
         WHERE status <> 'ENDED'
         GROUP BY org_id HAVING COUNT(*) > 1
        """,
    ),
    (
        "free month {} brought {} credits, but the ledger gave {}",
        """
        SELECT period.org_id, period.id, period.credits, COALESCE(ledger.amount, 0)
          FROM billing_planperiod AS period
          LEFT JOIN credits_credittransaction AS ledger
            ON ledger.org_id = period.org_id AND ledger.idempotency_key = 'plan:' || period.id
         WHERE period.payment_id IS NULL AND period.granted_at IS NOT NULL
           AND period.credits <> COALESCE(ledger.amount, 0)
        """,
    ),
    (
        "the account owes {}, but its reversals {}",
        """
        SELECT account.org_id, account.debt, COALESCE(open.sum, 0)
          FROM credits_creditaccount AS account
          LEFT JOIN (SELECT org_id, SUM(owed - settled) FROM credits_creditreversal
                      GROUP BY org_id) AS open USING (org_id)
         WHERE account.debt <> COALESCE(open.sum, 0)
        """,
    ),
    (
        "event {} ({}) could not be applied: {}",
        """
        SELECT COALESCE(org_id, '00000000-0000-0000-0000-000000000000'), id, type, error
          FROM billing_stripeevent WHERE status = 'FAILED'
        """,
    ),
]


def mismatches() -> list[Mismatch]:
    """The differences between payments and ledger, of all organizations. Empty: they agree.

    Each check is one statement and so sees one moment. Reads every row of both: minutes at
    millions of them, and it locks nothing.
    """
    found = []
    with connection.cursor() as cursor:
        for message, sql in MISMATCHES:
            cursor.execute(sql)
            found += [Mismatch(org, message.format(*rest)) for org, *rest in cursor.fetchall()]
    return found
