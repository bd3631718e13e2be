"""GET /pricing"""

from __future__ import annotations

import pytest

from billing import services
from billing.models import Price
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import REASON, TESTER
from clipforge.devtools.testing.queries import statements

pytestmark = pytest.mark.django_db

URL = "/api/v1/pricing"


def test_anybody_may_see_plans_and_packs_cheapest_first(anonymous):
    response = anonymous.get(URL)
    assert response.status_code == 200
    body = response.json()
    assert [(each["code"], each["amount"]) for each in body["plans"]] == [
        ("plan-free", 0),
        ("plan-starter", 1900),
        ("plan-pro", 4900),
        ("plan-business", 14900),
        ("plan-enterprise", 49900),
    ]
    assert body["plans"][2] == {
        "code": "plan-pro",
        "name": "Pro",
        "tier": "PRO",
        "credits_per_month": 1000,
        "amount": 4900,
        "currency": "usd",
    }
    assert [each["code"] for each in body["packs"]] == ["pack-100", "pack-500", "pack-2000"]
    assert body["packs"][0] == {
        "code": "pack-100",
        "name": "100 credits",
        "credits": 100,
        "validity_days": 365,
        "amount": 900,
        "currency": "usd",
    }


def test_the_same_list_is_the_same_to_the_byte(anonymous):
    assert anonymous.get(URL).content == anonymous.get(URL).content


def test_a_change_shows_on_the_next_request(anonymous):
    before = anonymous.get(URL).json()
    services.revise_price(
        price=Price.objects.get(code="pack-100"), amount=1000, reason=REASON, actor=TESTER
    )
    after = anonymous.get(URL).json()
    assert after["packs"][0]["amount"] == 1000
    assert after["version"] == before["version"] + 1


def test_what_is_not_sold_any_more_is_not_listed(anonymous):
    services.withdraw_price(price=Price.objects.get(code="pack-500"), reason=REASON, actor=TESTER)
    packs = anonymous.get(URL).json()["packs"]
    assert [each["code"] for each in packs] == ["pack-100", "pack-2000"]


def test_a_key_is_not_needed_but_a_good_one_counts_for_its_organization(anonymous, api):
    assert anonymous.get(URL).json() == api.get(URL).json()
    assert api.get(URL)["RateLimit"].startswith('"api";r=198;')
    anonymous.credentials(HTTP_AUTHORIZATION="Bearer nonsense")
    assert anonymous.get(URL).status_code == 401


def test_an_unknown_parameter_is_422(anonymous):
    assert_problem(anonymous.get(URL, {"currency": "eur"}), 422, "unknown_parameter")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_it_is_read_only(anonymous, method):
    assert getattr(anonymous, method)(URL).status_code == 405


def test_it_is_two_reads(anonymous):
    with statements() as said:
        anonymous.get(URL)
    assert said == ["SELECT billing_catalogue", "SELECT billing_price"]
