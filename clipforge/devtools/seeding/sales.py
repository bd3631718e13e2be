"""The payments behind the credits that were bought, and the plans that they paid for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from django.db.models.functions import Now

from billing.models import (
    Payment,
    PaymentMethod,
    PaymentStatus,
    PlanPeriod,
    Price,
    PriceKind,
    Subscription,
    SubscriptionStatus,
)
from clipforge.devtools.seeding.draws import DAY, Draw, Ints, texts_of_ids, texts_of_times
from clipforge.devtools.seeding.tables import NULL, Sink, Table
from clipforge.orgs.models import Tier

PAYMENTS = Table.of(
    Payment,
    "id org_id price_id method status amount currency credits reversed_amount disputed_amount reversals paid_at"
    " reference reason actor request_key checkout_id checkout_url invoice_id payment_intent_id"
    " created_at",
)
SUBSCRIPTIONS = Table.of(
    Subscription,
    "id org_id price_id method status stripe_id period_start period_end cancel_at_period_end"
    " created_at ended_at",
)
PERIODS = Table.of(
    PlanPeriod,
    "id org_id price_id subscription_id payment_id starts_at ends_at credits granted_at created_at",
)
TABLES = [PAYMENTS, SUBSCRIPTIONS, PERIODS]

# Minor units of the currency for a cent of the price list.
CURRENCIES = {"usd": 1.0, "eur": 0.92, "jpy": 1.5}
# Who pays by transfer; the others pay through Stripe.
BY_TRANSFER = {Tier.BUSINESS, Tier.ENTERPRISE}
# A pack of each size from so many credits on.
PACKS = {0: "pack-100", 500: "pack-500", 2000: "pack-2000"}
MONTH = 30 * DAY
# Every so many organizations one left a page of Stripe without paying.
LEFT_PAGES = 5
# Of every so many one disputes with its bank what others are refunded.
DISPUTED = 3


class Occasion(NamedTuple):
    """The ids and times of what may be sold after one job."""

    payment: str
    period: str
    subscription: str
    at: str
    month_later: str


@dataclass(slots=True)
class Sale:
    """Credits that came in, and the names that the ledger knows them by."""

    org: int
    price: Price
    amount: int
    credits: int
    occasion: Occasion
    period: str = ""  # of a plan
    subscription: str = ""
    reversed: int = 0

    @property
    def is_free(self) -> bool:
        return not self.amount

    @property
    def reference_type(self) -> str:
        return "plan" if self.is_free else "payment"

    @property
    def reference_id(self) -> str:
        return self.period if self.is_free else self.occasion.payment

    @property
    def ledger_key(self) -> str:
        return f"plan:{self.period}" if self.period else f"payment:{self.occasion.payment}"


@dataclass(slots=True)
class Plan:
    """A plan that was renewed for as long as months followed each other."""

    id: str
    price: Price
    began: str
    starts: str
    ends: str


def occasions(draw: Draw, at: Ints) -> Iterator[Occasion]:
    """One for each of these moments, in their order."""
    ids = (texts_of_ids(draw.ids(at)) for _ in range(3))
    return map(Occasion, *ids, texts_of_times(at), texts_of_times(at + MONTH))


class Sales:
    """Sells credits, and writes payments, plans and their months at the end."""

    def __init__(self, sink: Sink, orgs: list[str], tiers: list[str], now: int) -> None:
        self._sink, self._orgs, self._tiers = sink, orgs, tiers
        (self._now,) = texts_of_times(np.array([now]))
        self._prices = prices()
        self._sales: list[Sale] = []
        self._plans: list[tuple[int, Plan]] = []
        self._running: dict[int, Plan] = {}

    def pack(self, org: int, credits_: int, occasion: Occasion) -> Sale:
        code = next(code for least, code in reversed(PACKS.items()) if credits_ >= least)
        price = self._prices[self._currency(org), code]
        # A cent at least for each credit, so that each part of the credits is a part of the money.
        amount = max(credits_, round(credits_ * price.amount / price.credits))
        return self._sold(Sale(org, price, amount, credits_, occasion))

    def month(self, org: int, credits_: int, occasion: Occasion) -> Sale:
        price = self._prices[self._currency(org), f"plan-{self._tiers[org].lower()}"]
        sale = Sale(org, price, price.amount, credits_, occasion, occasion.period)
        if not sale.is_free:
            sale.subscription = self._plan(org, price, occasion).id
        return self._sold(sale)

    def close(self) -> None:
        """Write the rows, in the order in which they refer to each other."""
        for org, plan in self._plans:
            self._sink.add(SUBSCRIPTIONS, self._row_of_plan(org, plan))
        for sale in self._sales:
            if not sale.is_free:
                self._sink.add(PAYMENTS, self._row_of_payment(sale))
                if sale.org % LEFT_PAGES == 0 and sale.subscription:
                    self._sink.add(PAYMENTS, self._row_of_left_page(sale))
            if sale.period:
                self._sink.add(PERIODS, self._row_of_period(sale))

    def _sold(self, sale: Sale) -> Sale:
        self._sales.append(sale)
        return sale

    def _currency(self, org: int) -> str:
        return list(CURRENCIES)[(org % 9 == 2) * 2 or (org % 4 == 1) * 1]

    def _method(self, org: int) -> PaymentMethod:
        by_hand = self._tiers[org] in BY_TRANSFER
        return PaymentMethod.MANUAL if by_hand else PaymentMethod.STRIPE

    def _plan(self, org: int, price: Price, occasion: Occasion) -> Plan:
        """The plan that this month prolongs, or a new one after a gap."""
        plan = self._running.get(org)
        if plan is None or plan.ends < occasion.at:
            plan = Plan(occasion.subscription, price, occasion.at, occasion.at, occasion.at)
            self._running[org] = plan
            self._plans.append((org, plan))
        plan.starts, plan.ends = occasion.at, occasion.month_later
        return plan

    # --- rows ---

    def _row_of_plan(self, org: int, plan: Plan) -> str:
        method = self._method(org)
        stripe_id = f"sub_seed{plan.id[-12:]}" if method == PaymentMethod.STRIPE else ""
        has_ended = plan.ends < self._now
        status = SubscriptionStatus.ENDED if has_ended else SubscriptionStatus.ACTIVE
        ended_at = plan.ends if has_ended else NULL
        return (
            f"{plan.id}\t{self._orgs[org]}\t{plan.price.pk}\t{method.value}\t{status.value}\t"
            f"{stripe_id}\t{plan.starts}\t{plan.ends}\tf\t{plan.began}\t{ended_at}"
        )

    def _row_of_payment(self, sale: Sale) -> str:
        at, end = sale.occasion.at, sale.occasion.payment[-12:]
        if self._method(sale.org) == PaymentMethod.MANUAL:
            by = f"TR-{end}\tThe transfer arrived\tstaff:finance\t\t\t\t\t"
        else:
            page, invoice = ("", f"in_seed{end}") if sale.subscription else (f"cs_seed{end}", "")
            by = f"\t\tsystem:stripe\t\t{page}\t\t{invoice}\tpi_seed{end}"
        return (
            f"{sale.occasion.payment}\t{self._terms(sale, PaymentStatus.PAID)}\t{sale.reversed}\t"
            f"{sale.reversed * (sale.org % DISPUTED == 0)}\t{int(sale.reversed > 0)}\t{at}\t{by}\t{at}"
        )

    def _row_of_left_page(self, sale: Sale) -> str:
        """A page of Stripe on which nobody paid, before they did."""
        page, at = sale.occasion.subscription, sale.occasion.at
        return (
            f"{page}\t{self._terms(sale, PaymentStatus.EXPIRED)}\t0\t0\t0\t{NULL}\t\t\tsystem:stripe\t\t"
            f"cs_seed{page[-12:]}\t\t\t\t{at}"
        ).replace(PaymentMethod.MANUAL.value, PaymentMethod.STRIPE.value)

    def _terms(self, sale: Sale, status: PaymentStatus) -> str:
        return (
            f"{self._orgs[sale.org]}\t{sale.price.pk}\t{self._method(sale.org).value}\t"
            f"{status.value}\t{sale.amount}\t{sale.price.currency}\t{sale.credits}"
        )

    def _row_of_period(self, sale: Sale) -> str:
        at, ends = sale.occasion.at, sale.occasion.month_later
        payment = NULL if sale.is_free else sale.occasion.payment
        return (
            f"{sale.period}\t{self._orgs[sale.org]}\t{sale.price.pk}\t{sale.subscription or NULL}\t"
            f"{payment}\t{at}\t{ends}\t{sale.credits}\t{at}\t{at}"
        )


def prices() -> dict[tuple[str, str], Price]:
    """By currency and code: what is on the list, and as much in other currencies, off it."""
    found = {}
    for base in Price.objects.filter(version=1, code__regex="^(plan|pack)-").order_by("code"):
        for currency, rate in CURRENCIES.items():
            price = base if currency == base.currency else _abroad(base, currency, rate)
            found[currency, base.code] = price
    Price.objects.filter(pk__in=[price.pk for price in found.values()]).freeze()
    return found


def _abroad(base: Price, currency: str, rate: float) -> Price:
    price, _ = Price.objects.get_or_create(
        code=f"{currency}-{base.code}",
        version=1,
        defaults={
            "name": base.name,
            "kind": PriceKind(base.kind),
            "tier": base.tier,
            "credits": base.credits,
            "amount": round(base.amount * rate),
            "currency": currency,
            "validity_days": base.validity_days,
            "is_active": False,
            "frozen_at": Now(),
        },
    )
    return price
