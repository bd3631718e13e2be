from __future__ import annotations

import pytest

from clipforge.devtools.testing.factories import make_grant, make_organization
from credits.tests.makers import make_hold

pytestmark = pytest.mark.django_db

URL = "/api/v1/credits/balance"


def test_the_balance_tells_available_held_and_posted(api, organization):
    make_grant(organization, 10)
    make_hold(organization, 4)
    response = api.get(URL)
    assert response.status_code == 200
    assert response.json() == {"available": 6, "held": 4, "posted": 10, "debt": 0}


def test_an_organization_that_never_had_credits_has_zeros(api):
    assert api.get(URL).json() == {"available": 0, "held": 0, "posted": 0, "debt": 0}


def test_another_organizations_credits_are_not_in_it(api):
    make_organization(credits_=50)
    assert api.get(URL).json()["posted"] == 0


def test_without_a_key_it_is_401(anonymous):
    assert anonymous.get(URL).status_code == 401


def test_an_unknown_parameter_is_422(api):
    response = api.get(URL, {"org": "other"})
    assert (response.status_code, response.json()["code"]) == (422, "unknown_parameter")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_it_is_read_only(api, method):
    assert getattr(api, method)(URL).status_code == 405
