from __future__ import annotations

import pytest

from clipforge.devtools.testing.factories import make_grant, make_organization
from credits import services
from credits.models import CreditTransaction
from credits.pricing import Charge
from credits.tests.makers import make_hold, make_spend

pytestmark = pytest.mark.django_db

URL = "/api/v1/credits/transactions"


def test_a_charge_is_shown_with_everything_it_was_made_of(api, organization):
    make_grant(organization, 10)
    charge = Charge(4, 2, "2026-11", {"minutes": 2})
    hold = make_hold(organization, 0, charge=charge, reason="export", reference_id="e1")
    spend = services.capture(hold_id=hold.pk, fence=0, actor="worker")
    assert spend is not None
    response = api.get(URL)
    assert response.status_code == 200
    assert response.json()["results"][0] == {
        "id": spend.pk,
        "type": "SPEND",
        "amount": -4,
        "balance_after": 6,
        "hold_id": str(hold.pk),
        "reason": "export",
        "reference_type": "export",
        "reference_id": "e1",
        "unit_price": 2,
        "price_version": "2026-11",
        "inputs": {"minutes": 2},
        "created_at": spend.created_at.isoformat().replace("+00:00", "Z"),
    }


def test_every_row_comes_once_newest_first_through_all_pages(api, organization):
    wanted = [make_grant(organization, n).pk for n in (1, 2, 3, 4, 5)][::-1]
    seen, parameters = [], {"page_size": 2}
    for size in (2, 2, 1):
        page = api.get(URL, parameters).json()
        assert len(page["results"]) == size
        seen += [row["id"] for row in page["results"]]
        parameters["cursor"] = page["next_cursor"]
    assert seen == wanted
    assert page["next_cursor"] is page["next"] is None


def test_rows_of_the_same_moment_are_not_lost_between_pages(api, organization):
    # One transaction, one statement: all rows carry the same time.
    CreditTransaction.objects.bulk_create(
        CreditTransaction(
            org=organization,
            type=["GRANT", "ADJUST"][n % 2],
            amount=[1, -1][n % 2],
            balance_after=(n + 1) % 2,
            org_seq=n + 1,
            reason="at once",
            actor="test",
            idempotency_key=str(n),
        )
        for n in range(10)
    )
    assert CreditTransaction.objects.values("created_at").distinct().count() == 1
    seen, cursor = [], ""
    while cursor is not None:
        page = api.get(URL, {"page_size": 3} | ({"cursor": cursor} if cursor else {})).json()
        seen += [row["id"] for row in page["results"]]
        cursor = page["next_cursor"]
    assert seen == list(CreditTransaction.objects.order_by("-id").values_list("id", flat=True))


def test_the_list_can_be_narrowed_by_type(api, organization):
    make_grant(organization, 10)
    spend = make_spend(organization, 4)
    results = api.get(URL, {"type": "SPEND"}).json()["results"]
    assert [row["id"] for row in results] == [spend.pk]


def test_the_list_can_be_narrowed_by_time_from_the_first_moment_to_before_the_last(
    api, organization
):
    one, two, three = (make_grant(organization, 1) for _ in range(3))
    period = {
        "created_after": one.created_at.isoformat(),
        "created_before": three.created_at.isoformat(),
    }
    results = api.get(URL, period).json()["results"]
    assert [row["id"] for row in results] == [two.pk, one.pk]


def test_another_organizations_ledger_is_not_in_it(api):
    make_organization(credits_=50)
    assert api.get(URL).json()["results"] == []


def test_another_organizations_cursor_is_404(api, organization, client_of):
    for _ in range(3):
        make_grant(organization, 1)
    cursor = api.get(URL, {"page_size": 1}).json()["next_cursor"]
    other = client_of(make_organization(credits_=1))
    assert other.get(URL, {"cursor": cursor}).status_code == 404


@pytest.mark.parametrize(
    "parameters",
    [{"type": "GIFT"}, {"created_after": "yesterday"}, {"created_before": "2026-13-01"}],
)
def test_a_bad_filter_is_422(api, parameters):
    response = api.get(URL, parameters)
    assert (response.status_code, response.json()["code"]) == (422, "invalid")


def test_an_unknown_parameter_is_422(api):
    response = api.get(URL, {"kind": "SPEND"})
    assert (response.status_code, response.json()["code"]) == (422, "unknown_parameter")


def test_without_a_key_it_is_401(anonymous):
    assert anonymous.get(URL).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_a_page_is_one_query_once_the_key_is_cached(api, organization, django_assert_num_queries):
    for _ in range(30):
        make_grant(organization, 1)
    make_spend(organization, 30)
    api.get(URL)
    with django_assert_num_queries(1):
        api.get(URL)
