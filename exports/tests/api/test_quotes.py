"""POST /quotes"""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_problem, invalid_fields
from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.state import nothing_changes
from clipforge.orgs.models import Organization
from credits import quotes
from credits.models import CreditQuote

pytestmark = pytest.mark.django_db

URL = "/api/v1/quotes"


@pytest.fixture
def organization() -> Organization:
    return make_organization(credits_=5)


@pytest.mark.parametrize(
    ("asked", "price", "affordable"),
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
    api: APIClient, asked: dict[str, float], price: int, affordable: bool, settings: Any
):
    response = api.post(URL, asked)
    assert response.status_code == 200
    body = response.json()
    lines = body.pop("lines")
    assert sum(line["credits"] for line in lines) == price
    assert body.pop("id")
    assert body.pop("expires_at")
    assert body == {
        "credits": price,
        "price_version": settings.PRICES["version"],
        "available": 5,
        "affordable": affordable,
    }


def test_what_is_reserved_is_not_available(api: APIClient, organization: Organization):
    make_project(organization, status="QUEUED", duration=120)
    assert api.post(URL, {"export_seconds": 1}).json()["available"] == 5


def test_a_quote_stores_itself_and_asks_at_most_once(api: APIClient):
    with statements(control=True) as said:
        quote = api.post(URL, {"export_seconds": 30})
    assert quote.status_code == 200
    stored, *asked = said
    assert stored == "INSERT credits_creditquote"
    assert asked in (["SELECT credits_creditaccount"], [])  # or found in the cache
    with nothing_changes():
        assert api.post(URL, {}).status_code == 422
    assert CreditQuote.objects.get().pk == uuid.UUID(quote.json()["id"])


def test_a_quote_has_a_line_for_each_piece_of_work_and_an_end(api: APIClient):
    asked = {
        "analysis_seconds": 61.2345,
        "export_seconds": 20,
        "resolution": 1440,
        "exports": [{"seconds": 30}, {"seconds": 60.9, "resolution": 2160}],
    }
    before = timezone.now()
    quote = api.post(URL, asked).json()
    assert quote["lines"] == [
        {"kind": "analysis", "seconds": 61.234, "minutes": 2, "resolution": None, "credits": 2},
        {"kind": "export", "seconds": 20.0, "minutes": 1, "resolution": 1440, "credits": 2},
        {"kind": "export", "seconds": 30.0, "minutes": 1, "resolution": 1080, "credits": 1},
        {"kind": "export", "seconds": 60.9, "minutes": 1, "resolution": 2160, "credits": 4},
    ]
    assert (quote["credits"], quote["affordable"]) == (9, False)
    ends = datetime.datetime.fromisoformat(quote["expires_at"])
    assert before + quotes.LIFE <= ends <= timezone.now() + quotes.LIFE


@pytest.mark.parametrize(("count", "status"), [(100, 200), (101, 422)])
def test_a_quote_is_for_a_hundred_exports_at_most(api: APIClient, count: int, status: int):
    answer = api.post(URL, {"exports": [{"seconds": 1}] * count})
    assert answer.status_code == status
    assert api.post(URL, {"exports": []}).status_code == 422


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
