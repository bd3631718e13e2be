"""GET /exports"""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from clipforge.devtools.query_plans.explain import captured, cost_of
from clipforge.devtools.testing.api import (
    all_pages,
    assert_not_told_apart,
    assert_problem,
    invalid_fields,
)
from clipforge.devtools.testing.factories import make_export, make_organization, make_project
from clipforge.devtools.testing.queries import statements
from clipforge.orgs.models import Organization
from exports.models import Export
from projects.models import Project

pytestmark = pytest.mark.django_db

URL = "/api/v1/exports"
STATUSES = ["QUEUED", "RENDERING", "READY", "FAILED", "CANCELLED", "EXPIRED"]


@pytest.fixture
def project(organization: Organization) -> Project:
    return make_project(organization)


def ids(rows: list[dict[str, object]]) -> list[object]:
    return [row["id"] for row in rows]


def many(project: Project, count: int) -> set[str]:
    """So many rows of one export, quickly: without holds of their own."""
    first = make_export(project, status="CANCELLED")
    fields = {"org": project.org, "project": project, "start": 0, "end": 1, "status": "CANCELLED"}
    others = Export.objects.bulk_create(
        Export(**fields, hold_id=first.hold_id) for _ in range(count - 1)
    )
    return {str(first.pk), *(str(export.pk) for export in others)}


def test_the_list_needs_a_key(anonymous: APIClient):
    assert_problem(anonymous.get(URL), 401, "not_authenticated")


def test_the_list_has_the_organizations_own_exports_newest_first(api: APIClient, project: Project):
    mine = [make_export(project, status="QUEUED") for _ in range(3)]
    make_export(status="QUEUED")
    body = api.get(URL).json()
    assert ids(body["results"]) == [str(export.pk) for export in reversed(mine)]
    assert (body["next"], body["next_cursor"]) == (None, None)


def test_a_row_says_what_the_export_costs_but_not_its_place_in_the_queue(
    api: APIClient, project: Project
):
    for status in STATUSES:
        make_export(project, status=status)
    rows = {row["status"]: row for row in api.get(URL).json()["results"]}
    credits_of = {status: tuple(rows[status]["credits"].values()) for status in STATUSES}
    assert credits_of == {  # (reserved, charged)
        "QUEUED": (1, 0),
        "RENDERING": (1, 0),
        "READY": (0, 1),
        "FAILED": (0, 0),
        "CANCELLED": (0, 0),
        "EXPIRED": (0, 1),
    }
    assert {row["queue_position"] for row in rows.values()} == {None}


@pytest.mark.parametrize("count", [1, 20])
def test_a_page_is_one_statement_however_many_rows(api: APIClient, project: Project, count: int):
    many(project, count)
    with statements(control=True) as said:
        assert len(api.get(URL).json()["results"]) == count
    assert said == ["SELECT exports_export"]  # and of those that are open, their holds


def test_a_page_of_one_project_is_two_statements(api: APIClient, project: Project):
    many(project, 5)
    with statements(control=True) as said:
        assert len(api.get(URL, {"project": str(project.pk)}).json()["results"]) == 5
    assert said == ["SELECT projects_project", "SELECT exports_export"]


def test_exports_made_at_the_same_moment_come_once_each(api: APIClient, project: Project):
    expected = many(project, 25)
    Export.objects.update(created_at=timezone.now())
    found = ids(all_pages(api, URL, page_size=4, project=str(project.pk)))
    assert len(found) == 25
    assert set(found) == expected


# --- filters --------------------------------------------------------------------------


def test_the_list_is_filtered_by_project_and_status(
    api: APIClient, organization: Organization, project: Project
):
    made = {status: str(make_export(project, status=status).pk) for status in STATUSES}
    elsewhere = make_export(make_project(organization), status="READY")
    of_project = api.get(URL, {"project": str(project.pk)}).json()["results"]
    assert set(ids(of_project)) == set(made.values())
    ready = api.get(URL, {"status": "READY"}).json()["results"]
    assert set(ids(ready)) == {made["READY"], str(elsewhere.pk)}
    both = {"project": str(project.pk), "status": ["READY", "EXPIRED"]}
    assert set(ids(api.get(URL, both).json()["results"])) == {made["READY"], made["EXPIRED"]}


def test_another_organizations_project_is_not_told_from_none(api: APIClient):
    theirs = make_export(status="QUEUED")
    assert_not_told_apart(lambda pk: api.get(URL, {"project": str(pk)}), theirs.project_id)


def test_the_list_is_filtered_by_time_from_inclusive_to_exclusive(api: APIClient, project: Project):
    start = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)
    exports = [make_export(project, status="CANCELLED") for _ in range(3)]
    for days, export in enumerate(exports):
        made = start + datetime.timedelta(days=days)
        Export.objects.filter(pk=export.pk).update(created_at=made)
    window = {"created_after": "2026-05-02T12:00:00Z", "created_before": "2026-05-03T12:00:00Z"}
    assert ids(api.get(URL, window).json()["results"]) == [str(exports[1].pk)]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("status", "UPLOADED"),
        ("project", "abc"),
        ("created_after", "yesterday"),
    ],
)
def test_a_value_that_cannot_be_one_is_refused(api: APIClient, parameter: str, value: str):
    assert invalid_fields(api.get(URL, {parameter: value})) == {f"/{parameter}"}


@pytest.mark.parametrize("parameter", ["moment", "org", "Project", "id"])
def test_an_unknown_parameter_is_refused(api: APIClient, parameter: str):
    assert_problem(api.get(URL, {parameter: "x"}), 422, "unknown_parameter")


# --- cursors --------------------------------------------------------------------------


def test_the_cursor_of_another_organization_is_404(
    api: APIClient, client_of: Callable[..., APIClient]
):
    theirs = make_project(make_organization())
    many(theirs, 2)
    cursor = client_of(theirs.org).get(URL, {"page_size": 1}).json()["next_cursor"]
    assert_problem(api.get(URL, {"cursor": cursor}), 404, "not_found")


def test_a_cursor_of_the_clients_own_making_is_refused(api: APIClient):
    for cursor in ("x", "nul\0", "a:b:c"):
        assert_problem(api.get(URL, {"cursor": cursor}), 422, "invalid_cursor")


MANY = """
INSERT INTO exports_export
SELECT (jsonb_populate_record(one, jsonb_build_object(
    'id', gen_random_uuid(), 'updated_at', one.updated_at - make_interval(secs => n)))).*
FROM exports_export AS one, generate_series(1, 1500) AS n
"""


@pytest.mark.parametrize("rest", ["sort=updated_at", "updated_after=2020-01-01T00:00:00Z"])
def test_what_changed_last_of_a_project_with_many_is_neither_sorted_nor_searched_for(
    api: APIClient, project: Project, rest: str
):
    make_export(project)
    # Else the index of its organization leads to the same rows as cheaply.
    for _ in range(4):
        make_export(make_project(project.org))
    with connection.cursor() as cursor:
        cursor.execute(MANY)
        cursor.execute("ANALYZE exports_export")
    url = f"/api/v1/exports?project={project.pk}&{rest}"
    pages = [url, api.get(url).json()["next"]]
    for page in pages:
        with captured() as asked:
            assert len(api.get(page).json()["results"]) == 50
        cost = cost_of([each for each in asked if "exports_export" in each.sql])
        assert "exports_export_project_updated" in cost.indexes
        # Holds and moments are so few here that reading them whole may be cheapest.
        assert (cost.sorted, "exports_export" in cost.scans) == (0, False)
        assert cost.read - cost.small <= 51
