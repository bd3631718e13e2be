"""POST /quotes"""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_problem, invalid_fields
from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.state import nothing_changes
from clipforge.orgs.models import Organization

pytestmark = pytest.mark.django_db

URL = "/api/v1/quotes"


@pytest.fixture
def organization() -> Organization:
    return make_organization(credits_=5)


@pytest.mark.parametrize(
    ("body", "price", "affordable"),
    [
        ({"analysis_seconds": 0.5}, 1, True),
        ({"analysis_seconds": 60}, 1, True),
        ({"analysis_seconds": 61}, 2, True),
        ({"analysis_seconds": 300}, 5, True),
        ({"analysis_seconds": 301}, 6, False),
        ({"export_seconds": 61}, 2, True),
        ({"analysis_seconds": 180, "export_seconds": 120}, 5, True),
        ({"analysis_seconds": 180, "export_seconds": 121}, 6, False),
    ],
)
def test_a_quote_says_the_price_and_whether_it_can_be_paid(
    api: APIClient, body: dict[str, float], price: int, affordable: bool, settings: Any
):
    response = api.post(URL, body)
    assert response.status_code == 200
    assert response.json() == {
        "credits": price,
        "price_version": settings.PRICES["version"],
        "available": 5,
        "affordable": affordable,
    }


def test_what_is_reserved_is_not_available(api: APIClient, organization: Organization):
    make_project(organization, status="QUEUED", duration=120)
    assert api.post(URL, {"export_seconds": 1}).json()["available"] == 5


def test_a_quote_stores_nothing_and_asks_at_most_once(api: APIClient):
    with nothing_changes(), statements(control=True) as said:
        assert api.post(URL, {"export_seconds": 30}).status_code == 200
    assert said in (["SELECT credits_creditaccount"], [])  # or found in the cache


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"analysis_seconds": 0}, "/analysis_seconds"),
        ({"analysis_seconds": -1}, "/analysis_seconds"),
        ({"analysis_seconds": 86401}, "/analysis_seconds"),
        ({"analysis_seconds": "inf"}, "/analysis_seconds"),
        ({"analysis_seconds": "long"}, "/analysis_seconds"),
        ({"analysis_seconds": None}, "/analysis_seconds"),
        ({"export_seconds": 0}, "/export_seconds"),
        ({"export_seconds": []}, "/export_seconds"),
    ],
)
def test_a_length_that_cannot_be_one_is_refused(api: APIClient, body: dict[str, Any], field: str):
    assert invalid_fields(api.post(URL, body)) == {field}


@pytest.mark.parametrize("literal", ['"nan"', "NaN", "1e400", "1" + "0" * 400, '"1\\u0000"'])
def test_a_length_that_is_no_number_is_refused(api: APIClient, literal: str):
    body = f'{{"export_seconds": {literal}}}'
    response = api.post(URL, body, content_type="application/json")
    assert response.status_code in {400, 422}, response.content
    assert response["Content-Type"] == "application/problem+json"


def test_it_needs_a_key(anonymous: APIClient):
    assert_problem(anonymous.post(URL, {"export_seconds": 1}), 401, "not_authenticated")


def test_another_media_type_is_refused(api: APIClient):
    response = api.post(URL, {"export_seconds": 1}, format="multipart")
    assert_problem(response, 415, "unsupported_media_type")


def test_reading_it_is_not_allowed(api: APIClient):
    assert_problem(api.get(URL), 405, "method_not_allowed")
