"""GET /credits/statement"""

from __future__ import annotations

import csv
import datetime
import io

import pytest

from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import make_organization, make_transactions
from clipforge.devtools.testing.queries import statements
from credits.api import statements as credit_statements
from credits.tests.makers import make_hold

pytestmark = pytest.mark.django_db

URL = "/api/v1/credits/statement"


# A month that is over: the running one may end while a test runs.
MONTH, AFTER = "2026-05", "2026-06"
BEGAN = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
ENDED = datetime.datetime(2026, 5, 31, 23, 59, 59, 999999, tzinfo=datetime.UTC)


def rows_of(response):
    text = b"".join(response.streaming_content).decode()
    return list(csv.reader(io.StringIO(text)))


@pytest.fixture
def month(organization):
    make_transactions(organization, (BEGAN, "GRANT", 100))
    export = {"reason": "export of a test", "reference_type": "export"}
    make_transactions(organization, (ENDED, "SPEND", -30), **export)
    make_hold(organization, 5)
    make_transactions(make_organization(), (BEGAN, "GRANT", 7))


def test_a_month_opens_moves_and_closes(api, month):
    body = api.get(URL, {"month": MONTH}).json()
    assert (body["month"], body["opening"], body["closing"]) == (MONTH, 0, 70)
    assert [(row["type"], row["amount"]) for row in body["rows"]] == [
        ("GRANT", 100),
        ("SPEND", -30),
    ]


def test_the_next_month_opens_with_what_this_one_closed_with(api, month):
    assert api.get(URL, {"month": AFTER}).json() == {
        "month": AFTER,
        "opening": 70,
        "rows": [],
        "closing": 70,
    }
    assert api.get(URL, {"month": "2001-01"}).json()["closing"] == 0


@pytest.mark.parametrize("how", ["format", "accept"])
def test_as_csv_it_says_the_same(api, month, how):
    if how == "format":
        response = api.get(URL, {"month": MONTH, "format": "csv"})
    else:
        response = api.get(URL, {"month": MONTH}, HTTP_ACCEPT="text/csv")
    assert response["Content-Type"] == "text/csv"
    assert response["Content-Disposition"] == f'attachment; filename="statement-{MONTH}.csv"'
    header, opening, granted, spent, closing = rows_of(response)
    assert header == credit_statements.COLUMNS
    assert opening == [f"{MONTH}-01", "OPENING", "", "0", "", "", ""]
    assert granted[1:5] == ["GRANT", "100", "100", "for a test"]
    assert spent[1:6] == ["SPEND", "-30", "70", "export of a test", "export"]
    assert closing == ["", "CLOSING", "", "70", "", "", ""]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_of_a_customer_becomes_a_formula(api, organization, start):
    evil = {"reason": f'{start}HYPERLINK("http://evil")', "reference_id": f"{start}1"}
    make_transactions(organization, (BEGAN, "GRANT", 1), **evil)
    row = rows_of(api.get(URL, {"month": MONTH, "format": "csv"}))[2]
    assert (row[4][:2], row[6]) == (f"'{start}", f"'{start}1")


def test_a_long_month_is_refused_as_json_and_streamed_as_csv(api, organization, monkeypatch):
    monkeypatch.setattr(credit_statements, "MAX_JSON_ROWS", 2)
    monkeypatch.setattr(credit_statements, "CHUNK_ROWS", 2)
    make_transactions(organization, *[(BEGAN, "GRANT", 1)] * 5)
    assert_problem(api.get(URL, {"month": MONTH}), 409, "statement_too_long")
    assert len(rows_of(api.get(URL, {"month": MONTH, "format": "csv"}))) == 8


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_it_is_two_reads_the_opening_and_the_rows(api, month, kind):
    with statements() as said:
        response = api.get(URL, {"month": MONTH, "format": kind})
        assert b"".join(response).startswith((b"{", b"date"))
    assert said == ["SELECT credits_credittransaction"] * 2


@pytest.mark.parametrize("month", ["", "2026", "2026-13", "2026-1", "2026-11-01", "x", "0001-01"])
def test_what_is_no_month_is_422(api, month):
    assert_problem(api.get(URL, {"month": month}), 422, "invalid_month")


def test_an_unknown_parameter_is_422(api):
    assert_problem(api.get(URL, {"month": MONTH, "org": "x"}), 422, "unknown_parameter")


def test_it_needs_a_key(anonymous):
    assert_problem(anonymous.get(URL, {"month": MONTH}), 401, "not_authenticated")
