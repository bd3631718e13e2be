"""When a month begins and ends, an alert is due and an event is of now: on both sides of the edge."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.utils import timezone

from billing import alerts, gateway, payments, reconciling, services, subscriptions
from billing.models import Alert, Payment, PlanPeriod, Price, Subscription
from billing.subscriptions import grant_monthly, offer_by_hand
from billing.tests.makers import make_catalogue, make_payment, start_checkout
from clipforge.devtools.testing.clocks import MICROSECOND, around, clocks_at, refuses
from clipforge.devtools.testing.factories import TESTER, make_grant, make_organization
from clipforge.devtools.testing.stripe import WEBHOOK_SECRET, Stripe
from clipforge.orgs.models import Organization
from credits.models import CreditGrant

pytestmark = pytest.mark.django_db

EDGE = datetime.datetime(2026, 12, 15, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


@pytest.fixture
def org() -> Organization:
    make_catalogue()
    return make_organization(tier="FREE")


def paid_at(moment: datetime.datetime, org: Organization, code: str = "plan-pro") -> Payment:
    with clocks_at(moment):
        return make_payment(org, code, paid_on=moment.date())


def tier(org: Organization) -> str:
    org.refresh_from_db()
    return org.tier


# --- months ------------------------------------------------------------------------------


def test_a_tier_lasts_until_the_end_of_what_is_paid_for(org):
    paid_at(EDGE - 10 * DAY, org)
    end = PlanPeriod.objects.get().ends_at

    def tier_after_the_task() -> str:
        grant_monthly()
        return tier(org)

    assert around(end, tier_after_the_task) == ["PRO", "FREE", "FREE"]


def test_a_plan_by_hand_ends_with_what_is_paid_for(org):
    paid_at(EDGE - 10 * DAY, org)
    end = PlanPeriod.objects.get().ends_at

    def status_after_the_task() -> str:
        grant_monthly()
        return Subscription.objects.get().status

    assert around(end, status_after_the_task) == ["ACTIVE", "ENDED", "ENDED"]


def test_a_month_that_was_paid_ahead_is_granted_when_it_begins(org):
    paid_at(EDGE - 10 * DAY, org)
    paid_at(EDGE - 10 * DAY, org, "plan-starter")
    second = PlanPeriod.objects.latest("starts_at")

    def granted() -> tuple[bool, str, str]:
        grant_monthly()
        period = PlanPeriod.objects.get(pk=second.pk)
        return period.granted_at is not None, Subscription.objects.get().price.code, tier(org)

    before, *after = around(second.starts_at, granted)
    assert before == (False, "plan-pro", "PRO")
    assert after == [(True, "plan-starter", "STARTER")] * 2


def test_what_is_paid_after_the_end_begins_at_once(org):
    """Until the end, the same plan again is the next month; from then on a new plan."""
    paid_at(EDGE - 10 * DAY, org)
    end = PlanPeriod.objects.get().ends_at
    price = Price.objects.get(code="plan-pro", is_active=True)

    def starts() -> datetime.datetime:
        return offer_by_hand(org, price, now=timezone.now()).starts_at

    assert around(end, starts) == [end, end, end + MICROSECOND]


def test_a_higher_plan_is_a_difference_only_while_the_lower_one_runs(org):
    paid_at(EDGE - 10 * DAY, org, "plan-starter")
    end = PlanPeriod.objects.get().ends_at
    price = Price.objects.get(code="plan-pro", is_active=True)
    lower = Price.objects.get(code="plan-starter", is_active=True)

    def amount() -> int:
        return offer_by_hand(org, price, now=timezone.now()).amount

    assert around(end, amount) == [price.amount - lower.amount, price.amount, price.amount]


def test_a_higher_plan_is_a_difference_only_once_the_lower_one_has_begun(org):
    paid_at(EDGE - 10 * DAY, org, "plan-starter")
    PlanPeriod.objects.update(starts_at=EDGE, ends_at=EDGE + 30 * DAY)
    price = Price.objects.get(code="plan-pro", is_active=True)

    def is_a_difference() -> bool:
        return offer_by_hand(org, price, now=timezone.now()).amount < price.amount

    assert around(EDGE, is_a_difference) == [False, True, True]


def test_a_plan_bought_at_the_end_is_the_price_from_then_on(org):
    """A lower plan that is paid before the end begins after it, and its price counts from then on."""
    paid_at(EDGE - 10 * DAY, org)
    end = PlanPeriod.objects.get().ends_at

    def code() -> str:
        make_payment(org, "plan-starter", paid_on=end.date() - DAY)
        return Subscription.objects.get().price.code

    assert around(end, code) == ["plan-pro", "plan-starter", "plan-starter"]


def test_of_what_is_still_paid_for_the_month_that_has_begun_is_the_price(org):
    paid_at(EDGE - 10 * DAY, org)
    starter = Price.objects.get(code="plan-starter", is_active=True)
    Subscription.objects.update(price=starter)
    PlanPeriod.objects.update(starts_at=EDGE, ends_at=EDGE + 30 * DAY)

    def code() -> str:
        subscriptions.shorten_by_hand(org, now=timezone.now())
        return Subscription.objects.get().price.code

    assert around(EDGE, code) == ["plan-starter", "plan-pro", "plan-pro"]


def test_a_month_granted_after_its_end_is_good_for_thirty_days(org):
    period = PlanPeriod.objects.create(
        org=org,
        price=Price.objects.get(code="plan-pro", is_active=True),
        starts_at=EDGE - 30 * DAY,
        ends_at=EDGE,
        credits=10,
    )
    late = datetime.timedelta(days=30)

    def end_of_the_lot() -> Any:
        assert subscriptions.grant_if_begun(period, now=timezone.now())
        return CreditGrant.objects.get().expires_at

    assert around(EDGE, end_of_the_lot) == [EDGE, EDGE + late, EDGE + MICROSECOND + late]


def test_a_plan_that_is_paid_back_after_its_end_is_over_already(org):
    paid_at(EDGE - 10 * DAY, org)
    paid_at(EDGE - 10 * DAY, org)
    end = PlanPeriod.objects.earliest("starts_at").ends_at
    second = PlanPeriod.objects.latest("starts_at")
    assert second.payment is not None
    second.payment.reversed_amount = second.payment.amount
    second.payment.save()

    def status() -> str:
        subscriptions.shorten_by_hand(org, now=timezone.now())
        return Subscription.objects.get().status

    assert around(end, status) == ["ACTIVE", "ENDED", "ENDED"]
    Payment.objects.update(reversed_amount=0)


# --- what is given again --------------------------------------------------------------------


def test_what_is_given_again_after_its_end_is_good_for_thirty_days(org):
    payment = paid_at(EDGE - 10 * DAY, org, "pack-100")
    CreditGrant.objects.update(expires_at=EDGE)
    late = datetime.timedelta(days=30)

    def end_of_the_lot() -> Any:
        payment.refresh_from_db()
        payments.reverse(payment, payment.amount, reason="it was disputed", actor=TESTER)
        payment.refresh_from_db()
        payments.reverse(payment, 0, reason="the dispute was won", actor=TESTER)
        return CreditGrant.objects.latest("pk").expires_at

    assert around(EDGE, end_of_the_lot) == [EDGE, EDGE + late, EDGE + MICROSECOND + late]


# --- alerts ---------------------------------------------------------------------------------


def test_owners_are_told_from_a_week_before_the_end_until_the_end():
    make_grant(make_organization(), 10)
    CreditGrant.objects.update(expires_at=EDGE)

    def told() -> int:
        alerts.notice()
        return Alert.objects.count()

    assert around(EDGE - alerts.NOTICE, told) == [0, 1, 1]
    assert around(EDGE, told) == [1, 0, 0]


# --- Stripe ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "holds"),
    [(300, True), (300.001, False), (0, True), (-300, True), (-300.001, False)],
)
def test_a_signature_holds_for_five_minutes_either_way(age: float, holds: bool, settings):
    settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
    body, header = Stripe().signed({"id": "evt_1"}, at=EDGE.timestamp())
    now = EDGE.timestamp() + age
    assert gateway.signature_holds(body, header, now=now, tolerance=300) is holds


def test_a_page_and_a_plan_are_overdue_after_a_day(org, stripe):
    start_checkout(org)
    Payment.objects.update(created_at=EDGE)
    assert around(EDGE + DAY, lambda: len(reconciling._overdue())) == [0, 0, 1]


def test_a_plan_of_stripe_is_overdue_a_day_after_its_end(org):
    paid_at(EDGE - 10 * DAY, org)
    Subscription.objects.update(
        period_end=EDGE, method="STRIPE", stripe_id="sub_1", status="ACTIVE"
    )
    assert around(EDGE + DAY, lambda: len(reconciling._overdue())) == [0, 0, 1]


# --- by hand --------------------------------------------------------------------------------


def test_a_transfer_of_today_is_recorded_and_one_of_tomorrow_is_not(org):
    """The day is UTC's."""
    midnight = EDGE.replace(hour=0)

    def recorded() -> bool:
        day = midnight.date()
        return not refuses(
            lambda: services.require_recordable(
                reference="r", paid_on=day, reason="paid by transfer"
            )
        )

    assert around(midnight, recorded) == [False, True, True]
