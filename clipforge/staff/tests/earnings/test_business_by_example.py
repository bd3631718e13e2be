"""The figures that the business earned and owes, by examples of one customer."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from billing import services as billing_services
from billing.models import Payment, Price, Subscription
from clipforge.audit.actor import Actor
from clipforge.common.lists.by_time import first_number_since
from clipforge.devtools.testing.factories import make_grant, make_organization
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.orgs.models import Organization
from clipforge.staff.earnings import caching
from clipforge.staff.earnings import selectors as earning_selectors
from clipforge.staff.earnings.selectors import Month
from credits import services as credit_services
from credits.models import CreditAccount, CreditTransaction, GrantKind

pytestmark = pytest.mark.django_db

FINANCE = Actor.of_system("test")
PAGE = "/admin/business/"


@pytest.fixture
def finance() -> Any:
    return signed_in(make_staff("finance"))


def months(count: int = 24) -> list[Month]:
    return earning_selectors.last_months(timezone.now(), count)


def paid(org: Any, code: str, day: datetime.date, reference: str) -> Payment:
    """A transfer that arrived on that day."""
    return billing_services.record_payment(
        org=org, code=code, reference=reference, paid_on=day, reason="It arrived", actor=FINANCE
    )


# --- by example ------------------------------------------------------------------------


@time_machine.travel("2026-11-20T12:00:00Z", tick=False)
def test_a_payment_counts_in_the_month_in_which_it_arrived_and_a_sandbox_never(finance):
    org = make_organization(name="Paying")
    first = paid(org, "pack-100", datetime.date(2026, 10, 31), "TR 1")
    paid(org, "pack-500", datetime.date(2026, 11, 1), "TR 2")
    paid(org, "plan-pro", datetime.date(2026, 11, 2), "TR 3")
    # Its column has PostgreSQL's clock for its default.
    Subscription.objects.filter(org=org).update(created_at=timezone.now())
    billing_services.reverse_payment(
        payment=first, amount=400, reason="It bounced in part", actor=FINANCE
    )
    sandbox = make_organization()
    Organization.objects.filter(pk=sandbox.pk).update(sandbox_of=org)
    sandbox.refresh_from_db()
    paid(sandbox, "pack-100", datetime.date(2026, 11, 3), "TR 4")
    found = [
        (f"{line.month.start:%Y-%m}", line.tier, line.payments, line.settled, line.refunded)
        for line in earning_selectors.revenue(months(3))
    ]
    assert found == [
        ("2026-11", "", 1, 39_00, 0),
        ("2026-11", "PRO", 1, 49_00, 0),
        ("2026-10", "", 1, 9_00, 4_00),
    ]
    (customer,) = earning_selectors.top_customers(months(3))
    assert (customer.name, customer.settled, customer.net) == ("Paying", 97_00, 93_00)
    (plan,) = earning_selectors.recurring(months(1))
    assert (plan.amount, plan.plans, plan.new, plan.churned) == (49_00, 1, 1, 0)
    page = finance.get(PAGE).content.decode()
    assert "Net revenue in USD: $93.00" in page
    assert ">$49.00</a>" in page
    assert "TR 4" not in page


@time_machine.travel("2026-11-20T12:00:00Z", tick=False)
def test_a_plan_that_ended_is_churned_in_that_month_and_recurs_no_more():
    org = make_organization()
    price = Price.objects.get(code="plan-pro", version=1)

    def at(month: int, day: int) -> datetime.datetime:
        return datetime.datetime(2026, month, day, tzinfo=datetime.UTC)

    Subscription.objects.create(
        org=org,
        price=price,
        method="STRIPE",
        status="ENDED",
        stripe_id="sub_1",
        period_start=at(9, 1),
        period_end=at(10, 1),
        created_at=at(9, 1),
        ended_at=at(10, 31),
    )
    found = earning_selectors.recurring(months(3))
    assert [
        (line.month.number, line.amount, line.plans, line.new, line.churned) for line in found
    ] == [(10, 0, 0, 0, 1), (9, 49_00, 1, 1, 0)]


def test_credits_are_told_apart_by_what_brought_and_took_them():
    org = make_organization()
    payment = paid(org, "pack-100", timezone.now().date(), "TR 1")
    make_grant(org, 40, kind=GrantKind.PROMO)
    credit_services.adjust(
        org=org, amount=-3, reason="One too many", actor=FINANCE, idempotency_key="a"
    )
    billing_services.reverse_payment(payment=payment, reason="It bounced", actor=FINANCE)
    (month,) = earning_selectors.credits_by_month(months(1), timezone.now())
    assert month.sums == {
        "SOLD": 100,
        "RETURNED": -100,
        "GIVEN": 40,
        "ADJUSTED": -3,
        "SPENT": 0,
        "GIVEN_BACK": 0,
        "EXPIRED": 0,
    }
    assert month.change == CreditAccount.objects.get(org=org).posted


# --- the page --------------------------------------------------------------------------


def test_the_page_of_a_business_without_customers_says_nothing_yet(finance):
    page = finance.get(PAGE).content.decode()
    assert "Nothing yet." in page
    assert "Nothing happened:" in page


@pytest.mark.parametrize("asked", ["1", "0", "-3", "x", "", "25", "12 "])
def test_other_months_than_those_offered_are_not_found(finance, asked):
    assert finance.get(PAGE, {"months": asked}).status_code == 404


# --- rows by time ----------------------------------------------------------------------


def test_a_number_below_all_rows_since_a_time_is_found_in_an_empty_table_and_in_one_with_gaps():
    now = timezone.now()
    assert first_number_since(CreditTransaction, now) == 1
    org = make_organization()
    ids = []
    for hours in (50, 30, 10):
        make_grant(org, 1)
        row = CreditTransaction.objects.latest("id")
        ids.append((row.pk, now - datetime.timedelta(hours=hours)))
    assert first_number_since(CreditTransaction, now - datetime.timedelta(days=9)) <= ids[0][0]
    # One made just now is always above the number for an hour ago, and none below is younger.
    since = first_number_since(CreditTransaction, now + datetime.timedelta(hours=2))
    assert since > ids[-1][0]


def test_a_month_is_remembered_an_hour_after_its_end_and_not_before():
    month = Month(2026, 3)
    edge = month.end + earning_selectors.SETTLED

    def is_remembered(now: datetime.datetime) -> bool:
        caching.forget(month.start, month.end)
        earning_selectors.credits_by_month([month], now)
        return caching.sums(month.start, month.end) is not None

    tick = datetime.timedelta(microseconds=1)
    assert [is_remembered(edge + each * tick) for each in (-1, 0, 1)] == [False, True, True]
