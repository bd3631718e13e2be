"""`manage.py check_indexes`: what each page costs, on data that are there."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from clipforge.plans.pages import list_views, pages
from clipforge.plans.report import Finding, measure
from clipforge.testing import seeds
from clipforge.testing.factories import make_organization
from projects import selectors as projects

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("vacuumed")]

SIZES = {"orgs": 60, "projects": 3000, "moments": 150_000, "transactions": 12000, "exports": 5000}


@pytest.fixture(scope="module", autouse=True)
def no_dead_rows(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Nobody after these tests reads past the hundred thousands of rows that they rolled back."""
    yield
    with django_db_blocker.unblock():
        seeds.vacuum()


@pytest.fixture
def seeded(db: None) -> None:
    options = [f"--{name}={count}" for name, count in SIZES.items()]
    call_command("seed_load", *options, "--json", stdout=io.StringIO())


def check_indexes() -> dict[str, Any]:
    """What it printed under --json, whether it failed or not."""
    out = io.StringIO()
    try:
        call_command("check_indexes", "--json", stdout=out)
    except CommandError as error:
        failure = str(error)
    else:
        failure = ""
    result: dict[str, Any] = json.loads(out.getvalue())
    assert result["ok"] is not bool(failure)
    return {**result, "failure": failure}


def beyond(result: dict[str, Any]) -> list[str]:
    return [f"{page['page']}: {page['faults']}" for page in result["pages"] if page["faults"]]


def test_every_page_of_every_list_is_within_its_budget_and_every_promised_index_is_used(seeded):
    result = check_indexes()
    assert beyond(result) == []
    assert result["unused_indexes"] == []
    places: dict[str, set[str]] = {}
    for page in result["pages"]:
        places.setdefault(page["page"].split()[0].rstrip(","), set()).add(page["place"])
    names = {listed.name for listed in list_views()}
    assert names >= {"projects", "moments", "exports", "credits-transactions", "credits-holds"}
    # Nobody has paid for anything in the seeded data: that list has no deep page.
    assert places.pop("billing-payments") == {"first"}
    assert {name: places[name] for name in names - {"billing-payments"}} == {
        name: {"first", "deep"} for name in names - {"billing-payments"}
    }


@pytest.mark.parametrize(
    ("index", "promised"),
    [
        ("credits_transaction_amounts", "CreditTransaction (org, type)"),
        ("exports_project_status_newest", "Export (project, status)"),
    ],
)
def test_a_dropped_index_is_noticed(seeded, index, promised):
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {index}")
    result = check_indexes()
    assert result["unused_indexes"] == [f"{promised}: {index}"]
    assert "1 promised indexes are used by nothing." in result["failure"]


def test_a_list_that_has_lost_its_index_is_beyond_its_budget_which_people_are_told(seeded):
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX credits_transaction_newest")
    out = io.StringIO()
    with pytest.raises(CommandError, match="pages are beyond their budget"):
        call_command("check_indexes", stdout=out)
    lines = out.getvalue().splitlines()
    assert any("credits_transaction_amounts" in line and "│" in line for line in lines)
    assert (
        "used by nothing: CreditTransaction (org, created_at): credits_transaction_newest" in lines
    )
    assert any(line.startswith("credits-transactions, busiest (first): ") for line in lines)


def test_a_list_that_looks_something_up_for_each_row_is_beyond_its_budget(seeded, monkeypatch):
    def first_page() -> Finding:
        return measure(next(page for page in pages() if page.name == "projects, busiest"))

    found = first_page()
    assert found.faults == []
    assert found.cost.looked_up <= 1  # the hold of the one that is open
    lean = projects.projects
    monkeypatch.setattr(projects, "projects", lambda org: lean(org).select_related("hold"))
    (fault,) = first_page().faults
    assert fault.startswith("touches ")


def test_an_empty_database_has_nothing_to_look_at():
    make_organization()
    with pytest.raises(CommandError, match="There is nothing to look at"):
        call_command("check_indexes")
