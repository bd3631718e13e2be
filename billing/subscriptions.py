"""Subscriptions and plan periods, and the credits of each period.

A tier follows from what was paid: from the periods that run, and, while Stripe is collecting the
next payment, from the last one. Everything here requires the account's lock and a transaction,
but for the sweeps, which take them.
"""

from __future__ import annotations

import calendar
import datetime
import logging
import uuid
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.db import DatabaseError, transaction
from django.db.models import Exists, OuterRef, Q, Sum
from django.utils import timezone

from billing.accounts import lock_account
from billing.models import (
    BillingAccount,
    Payment,
    PaymentMethod,
    PlanPeriod,
    Price,
    PriceKind,
    Subscription,
    SubscriptionStatus,
)
from clipforge.audit.actor import Actor
from clipforge.common.errors import DomainError, Invalid
from clipforge.orgs import services as org_services
from clipforge.orgs.models import Organization, Tier
from credits import services as credit_services
from credits.ledger import LedgerBroken
from credits.models import GrantKind

logger = logging.getLogger(__name__)

SYSTEM = Actor.of_system("billing")
# Lowest first: which of two plans is the upgrade.
RANK = {tier: rank for rank, tier in enumerate(Tier.values)}
# Credits whose period had ended before we heard of its payment are good for this long.
LATE_LIFE = datetime.timedelta(days=30)


class Offer(NamedTuple):
    """The price of a plan if it is paid now, and the period it brings."""

    amount: int
    credits: int
    starts_at: datetime.datetime
    ends_at: datetime.datetime


class Granted(NamedTuple):
    paid: int
    free: int
    ended: int
    failed: int


def month_after(moment: datetime.datetime, *, day: int = 0) -> datetime.datetime:
    """The same day and time of the next month, or its last day where it is shorter.

    `day` is the day on which the months began: what began on the 31st goes from the 28th of
    February to the 31st of March.
    """
    was_shortened = moment.day == calendar.monthrange(moment.year, moment.month)[1]
    day = max(day, moment.day) if was_shortened else moment.day
    year, month = divmod(moment.year * 12 + moment.month, 12)
    return moment.replace(
        year=year, month=month + 1, day=min(day, calendar.monthrange(year, month + 1)[1])
    )


def month_of(moment: datetime.datetime) -> tuple[datetime.datetime, datetime.datetime]:
    """The calendar month (UTC) around a moment: its start, and the start of the next."""
    start = moment.astimezone(datetime.UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    return start, month_after(start)


# --- plans that staff renew by hand ----------------------------------------------------


def open_by_hand(org: Organization) -> Subscription | None:
    return (
        Subscription.objects.for_org(org)
        .filter(method=PaymentMethod.MANUAL)
        .exclude(status=SubscriptionStatus.ENDED)
        .select_related("price")
        .first()
    )


def offer_by_hand(org: Organization, price: Price, *, now: datetime.datetime) -> Offer:
    """The offer of a plan to an organization that pays by transfer.

    A higher plan than the one that runs begins at once, for the difference, until the same end.
    The same or a lower one begins when what is paid for ends.
    """
    subscription = open_by_hand(org)
    if subscription is None:
        return Offer(price.amount, price.credits, now, month_after(now))
    paid = _still_paid(subscription, now)
    running = _highest(each for each in paid if each.starts_at <= now)
    if running is not None and RANK[price.tier] > RANK[running.price.tier]:
        amount = price.amount - running.price.amount
        if amount <= 0 or price.currency != running.price.currency:
            raise Invalid(f"{price} cannot be had for a difference to {running.price}.")
        brought = sum(each.credits for each in paid if each.ends_at == running.ends_at)
        return Offer(amount, max(0, price.credits - brought), now, running.ends_at)
    start = max(subscription.period_end, now)
    first = subscription.periods.earliest("starts_at")
    end = month_after(start, day=first.starts_at.day)
    return Offer(price.amount, price.credits, start, end)


def begin_or_prolong_by_hand(payment: Payment, offer: Offer) -> PlanPeriod:
    subscription = open_by_hand(payment.org)
    if subscription is None:
        subscription = Subscription(
            org=payment.org,
            method=PaymentMethod.MANUAL,
            status=SubscriptionStatus.ACTIVE,
            period_start=offer.starts_at,
            period_end=offer.ends_at,
        )
    if offer.starts_at <= timezone.now():  # else `grant_monthly` does, once it has begun
        subscription.price = payment.price
    # An upgrade ends with the month that runs; months that were paid ahead come after it.
    subscription.period_end = max(subscription.period_end, offer.ends_at)
    subscription.save()
    return add_period(payment, subscription, offer.starts_at, offer.ends_at)


def shorten_by_hand(org: Organization, *, now: datetime.datetime) -> None:
    """Let the plan last as long as is paid for after some of it went back."""
    subscription = open_by_hand(org)
    if subscription is None:
        return
    paid = _still_paid(subscription, now)
    if not paid:
        subscription.status, subscription.ended_at = SubscriptionStatus.ENDED, now
    else:
        subscription.period_end = max(each.ends_at for each in paid)
        running = _highest(each for each in paid if each.starts_at <= now)
        subscription.price = running.price if running else subscription.price
    subscription.save()


def _still_paid(subscription: Subscription, now: datetime.datetime) -> list[PlanPeriod]:
    """The periods that run or are to come, less those whose money went back whole."""
    periods = subscription.periods.filter(ends_at__gt=now).select_related("price", "payment")
    return [each for each in periods if not each.was_paid_back]


# --- periods ---------------------------------------------------------------------------


def credits_missing(subscription: Subscription, price: Price, ends_at: datetime.datetime) -> int:
    """The credits of the plan that the period which ends then has not brought yet; 0 at least."""
    brought = subscription.periods.filter(ends_at=ends_at).aggregate(sum=Sum("credits", default=0))[
        "sum"
    ]
    return max(0, price.credits - int(brought))


def add_period(
    payment: Payment,
    subscription: Subscription,
    starts_at: datetime.datetime,
    ends_at: datetime.datetime,
) -> PlanPeriod:
    """Note what a payment bought, and grant it if it has begun."""
    period = PlanPeriod.objects.create(
        org=payment.org,
        price=payment.price,
        subscription=subscription,
        payment=payment,
        starts_at=starts_at,
        ends_at=ends_at,
        credits=payment.credits,
    )
    grant_if_begun(period, now=timezone.now())
    return period


def grant_if_begun(period: PlanPeriod, *, now: datetime.datetime) -> bool:
    """Grant the period's credits once it has begun; they end with it. False: not yet, or done.

    What was paid back before it began is not granted.
    """
    begun = PlanPeriod.objects.filter(pk=period.pk, granted_at=None, starts_at__lte=now)
    if not begun.update(granted_at=now):
        return False
    period.granted_at = now
    payment = period.payment
    amount = period.credits - (credits_reversed(payment) if payment else 0)
    if amount > 0:
        credit_services.grant(
            org=period.org,
            amount=amount,
            kind=GrantKind.PLAN,
            reason=f"{period.price.name}, {period.starts_at:%Y-%m-%d} to {period.ends_at:%Y-%m-%d}",
            actor=SYSTEM,
            audit=False,
            idempotency_key=period.ledger_key,
            expires_at=period.ends_at if period.ends_at > now else now + LATE_LIFE,
            reference_type="payment" if payment else "plan",
            reference_id=str(payment.pk if payment else period.pk),
        )
    return True


def credits_reversed(payment: Payment) -> int:
    """How many of its credits went back with the money; a part of one is the customer's."""
    if payment.amount == 0:
        return 0
    return payment.credits * payment.reversed_amount // payment.amount


# --- the tier --------------------------------------------------------------------------


def settle_tier(account: BillingAccount, *, now: datetime.datetime, actor: Actor = SYSTEM) -> str:
    """Give the organization the tier that it paid for, in the name of the payment. Returns it.

    Only a change of what was paid changes it: a tier that staff set meanwhile stays. A sandbox keeps
    that of its organization, whatever is paid for in a test.
    """
    period = _highest(_counting(account.org_id, now))
    tier = period.price.tier if period else Tier.FREE
    # An organization that never paid has the tier that staff gave it.
    if tier == account.plan_tier or (period is None and not account.plan_tier):
        return tier
    account.plan_tier = tier
    account.save(update_fields=["plan_tier"])
    if account.org.is_sandbox:
        return tier
    reason = f"paid until {period.ends_at:%Y-%m-%d}" if period else "what was paid for has ended"
    org_services.change_tier(organization=account.org, tier=tier, reason=reason, actor=actor)
    return tier


def _counting(org_id: uuid.UUID, now: datetime.datetime) -> list[PlanPeriod]:
    """The paid periods that give a tier now: those that run, and the last one of each
    subscription of which Stripe has not given up collecting the next payment."""
    paid = (
        PlanPeriod.objects.for_org(org_id)
        .filter(payment__isnull=False, starts_at__lte=now)
        .select_related("price", "subscription", "payment")
    )
    running = Q(ends_at__gt=now)
    collecting = Q(
        subscription__method=PaymentMethod.STRIPE,
        subscription__status__in=[SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE],
    )
    periods = list(paid.filter(running | collecting))
    # Also one that was paid back is the last: the month before it is over.
    last = {
        key: max(each.ends_at for each in periods if each.subscription_id == key)
        for key in {each.subscription_id for each in periods}
    }
    return [
        each
        for each in periods
        if not each.was_paid_back
        and (each.ends_at > now or each.ends_at == last[each.subscription_id])
    ]


def _highest(periods: Iterable[PlanPeriod]) -> PlanPeriod | None:
    return max(periods, key=lambda period: RANK[period.price.tier], default=None)


# --- the end of a month ----------------------------------------------------------------


def grant_monthly(*, now: datetime.datetime | None = None) -> Granted:
    """Grant what is due, the free month included, and end what has run out.

    Each organization in a transaction of its own, so that one that fails does not stop the others.
    """
    now = now or timezone.now()
    failed: set[str] = set()
    paid = _grant_due(now, failed)
    ended = _end_lapsed(now, failed)
    free = _grant_free(now, failed)
    return Granted(paid=paid, free=free, ended=ended, failed=len(failed))


def _grant_due(now: datetime.datetime, failed: set[str]) -> int:
    due = PlanPeriod.objects.filter(granted_at=None, starts_at__lte=now)

    def grant(period_id: uuid.UUID, org_id: uuid.UUID) -> bool:
        account = lock_account(org_id)
        period = PlanPeriod.objects.select_related("price", "org", "payment", "subscription").get(
            pk=period_id
        )
        granted = grant_if_begun(period, now=now)
        if period.subscription is not None and not period.was_paid_back:
            Subscription.objects.filter(pk=period.subscription.pk).update(
                price=period.price, period_start=period.starts_at
            )
        settle_tier(account, now=now)
        return granted

    return _sum_each(grant, due.order_by("starts_at").values_list("pk", "org"), failed)


def _grant_free(now: datetime.datetime, failed: set[str]) -> int:
    start, end = month_of(now)
    plans = Price.objects.filter(kind=PriceKind.PLAN, tier=Tier.FREE, is_active=True)
    price = plans.order_by("pk").frozen()
    if price is None:
        return 0
    had = PlanPeriod.objects.filter(org=OuterRef("pk"), payment=None, starts_at=start)
    free = Organization.objects.filter(Q(tier=Tier.FREE), Q(is_active=True), ~Exists(had))
    return _sum_each(
        lambda org: _grant_free_month(org, price, start, end, now), [(org,) for org in free], failed
    )


def _grant_free_month(
    org: Organization,
    price: Price,
    start: datetime.datetime,
    end: datetime.datetime,
    now: datetime.datetime,
) -> bool:
    lock_account(org.pk)
    period, _ = PlanPeriod.objects.get_or_create(
        org=org,
        payment=None,
        starts_at=start,
        defaults={"price": price, "ends_at": end, "credits": price.credits},
    )
    return grant_if_begun(period, now=now)


def _end_lapsed(now: datetime.datetime, failed: set[str]) -> int:
    """End manual plans that were not renewed, and take back tiers without a paid plan."""
    running = PlanPeriod.objects.filter(
        org=OuterRef("org"), payment__isnull=False, starts_at__lte=now, ends_at__gt=now
    )
    unpaid = ~Q(plan_tier__in=["", Tier.FREE]) & ~Exists(
        running.filter(price__tier=OuterRef("plan_tier"))
    )
    lapsed = Subscription.objects.filter(method=PaymentMethod.MANUAL, period_end__lte=now).exclude(
        status=SubscriptionStatus.ENDED
    )
    due = BillingAccount.objects.filter(unpaid | Exists(lapsed.filter(org=OuterRef("org"))))

    def end(org_id: uuid.UUID) -> bool:
        account = lock_account(org_id)
        ended = lapsed.filter(org=org_id).update(status=SubscriptionStatus.ENDED, ended_at=now)
        before = account.plan_tier
        return settle_tier(account, now=now) != before or ended > 0

    return _sum_each(end, due.values_list("pk"), failed)


def _sum_each(act: Callable[..., bool], keys: Iterable[tuple[Any, ...]], failed: set[str]) -> int:
    """How often `act` was true, each in a transaction of its own.

    One that fails is logged, added to `failed` and left, so that the others get their month.
    """
    total = 0
    for key in list(keys):
        try:
            with transaction.atomic():
                total += act(*key)
        except (DatabaseError, LedgerBroken, DomainError):
            logger.exception("plan was not moved on", extra={"key": str(key[0])})
            failed.add(str(key[0]))
    return total
