"""GET /billing/payments and /billing/subscription"""

from __future__ import annotations

import pytest

from billing.models import Subscription
from billing.tests.makers import age, make_payment
from clipforge.devtools.testing.api import all_pages, assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import make_organization
from clipforge.devtools.testing.queries import statements

pytestmark = pytest.mark.django_db

URL = "/api/v1/billing/payments"


def test_payments_come_newest_first_and_only_ones_own(api, organization):
    make_payment(make_organization())
    first, second = make_payment(organization), make_payment(organization, "pack-500")
    rows = api.get(URL).json()["results"]
    assert [row["id"] for row in rows] == [str(second.pk), str(first.pk)]
    assert rows[1] == {
        "id": str(first.pk),
        "status": "PAID",
        "method": "MANUAL",
        "price": "pack-100",
        "amount": 900,
        "currency": "usd",
        "credits": 100,
        "reversed_amount": 0,
        "reference": first.reference,
        "created_at": rows[1]["created_at"],
        "paid_at": rows[1]["paid_at"],
    }
    assert rows[1] == api.get(f"{URL}/{first.pk}").json()


def test_pages_end_nowhere_in_between(api, organization):
    made = [str(make_payment(organization).pk) for _ in range(5)]
    assert [row["id"] for row in all_pages(api, URL, page_size=2)] == made[::-1]


def test_a_page_is_one_query(api, organization):
    for _ in range(3):
        make_payment(organization)
    with statements() as said:
        api.get(URL)
    assert said == ["SELECT billing_payment"]


def test_another_organizations_payment_is_not_told_apart_from_none(api):
    foreign = make_payment(make_organization())
    assert_not_told_apart(lambda pk: api.get(f"{URL}/{pk}"), foreign.pk)


def test_the_subscription_that_goes_on(api, organization):
    assert api.get("/api/v1/billing/subscription").json() == {"subscription": None}
    make_payment(organization, "plan-pro")
    row = Subscription.objects.get()
    found = api.get("/api/v1/billing/subscription").json()["subscription"]
    assert (found["id"], found["plan"], found["tier"]) == (str(row.pk), "plan-pro", "PRO")
    assert (found["status"], found["cancel_at_period_end"]) == ("ACTIVE", False)
    age(organization, 32)
    Subscription.objects.update(status="ENDED")
    assert api.get("/api/v1/billing/subscription").json() == {"subscription": None}


@pytest.mark.parametrize("path", [URL, "/api/v1/billing/subscription"])
def test_it_needs_a_key(anonymous, path):
    assert_problem(anonymous.get(path), 401, "not_authenticated")
