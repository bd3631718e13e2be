from __future__ import annotations

import datetime

import pytest

from clipforge.devtools.testing.factories import make_grant, make_organization
from credits import services
from credits.tests.makers import make_hold

pytestmark = pytest.mark.django_db

URL = "/api/v1/credits/holds"


def moment(value: datetime.datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


def test_a_hold_is_shown_with_its_state_and_what_it_is_for(api, organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 4, reason="export", reference_id="e1")
    response = api.get(URL)
    assert response.status_code == 200
    assert response.json()["results"] == [
        {
            "id": str(hold.pk),
            "status": "HELD",
            "amount": 4,
            "captured": 0,
            "reason": "export",
            "reference_type": "export",
            "reference_id": "e1",
            "unit_price": 1,
            "price_version": "test",
            "inputs": {"minutes": 4},
            "created_at": moment(hold.created_at),
            "expires_at": moment(hold.expires_at),
            "resolved_at": None,
        }
    ]


def test_holds_come_newest_first_and_by_status(api, organization):
    make_grant(organization, 10)
    one, two, three = (make_hold(organization, 1) for _ in range(3))
    services.release(hold_id=two.pk, actor="test")
    ids = [row["id"] for row in api.get(URL).json()["results"]]
    assert ids == [str(hold.pk) for hold in (three, two, one)]
    ids = [row["id"] for row in api.get(URL, {"status": "HELD"}).json()["results"]]
    assert ids == [str(three.pk), str(one.pk)]


def test_the_next_page_goes_on_after_the_first(api, organization):
    make_grant(organization, 10)
    one, two, three = (make_hold(organization, 1) for _ in range(3))
    first = api.get(URL, {"page_size": 2}).json()
    second = api.get(URL, {"page_size": 2, "cursor": first["next_cursor"]}).json()
    assert [row["id"] for row in first["results"]] == [str(three.pk), str(two.pk)]
    assert [row["id"] for row in second["results"]] == [str(one.pk)]
    assert second["next_cursor"] is None


def test_another_organizations_holds_are_not_in_it(api):
    make_hold(make_organization(credits_=50), 1)
    assert api.get(URL).json()["results"] == []


def test_a_bad_status_and_an_unknown_parameter_are_422(api):
    assert api.get(URL, {"status": "OPEN"}).status_code == 422
    assert api.get(URL, {"state": "HELD"}).status_code == 422


def test_without_a_key_it_is_401(anonymous):
    assert anonymous.get(URL).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_a_page_is_one_query_once_the_key_is_cached(api, organization, django_assert_num_queries):
    make_grant(organization, 30)
    for _ in range(30):
        make_hold(organization, 1)
    api.get(URL)
    with django_assert_num_queries(1):
        api.get(URL)
