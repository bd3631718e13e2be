"""GET /projects"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import all_pages, assert_problem, invalid_fields
from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.queries import statements
from clipforge.orgs.models import Organization
from credits.models import CreditHold
from credits.services import expire_holds
from credits.tests.makers import lapse
from projects.models import Project

pytestmark = pytest.mark.django_db

URL = "/api/v1/projects"
STATUSES = ["UPLOADED", "QUEUED", "ANALYZING", "READY", "EMPTY", "FAILED", "CANCELLED"]


def ids(rows: list[dict[str, object]]) -> list[object]:
    return [row["id"] for row in rows]


def test_the_list_needs_a_key(anonymous: APIClient):
    assert_problem(anonymous.get(URL), 401, "not_authenticated")


def test_the_list_has_the_organizations_own_projects_newest_first(
    api: APIClient, organization: Organization
):
    mine = [make_project(organization, status="UPLOADED") for _ in range(3)]
    make_project(status="UPLOADED")
    body = api.get(URL).json()
    assert ids(body["results"]) == [str(project.pk) for project in reversed(mine)]
    assert (body["next"], body["next_cursor"]) == (None, None)


def test_a_row_says_what_the_project_costs_but_not_its_place_in_the_queue(
    api: APIClient, organization: Organization
):
    for status in STATUSES:
        make_project(organization, status=status)
    rows = {row["status"]: row for row in api.get(URL).json()["results"]}
    credits_of = {status: tuple(rows[status]["credits"].values()) for status in STATUSES}
    assert credits_of == {  # (reserved, charged)
        "UPLOADED": (0, 0),
        "QUEUED": (1, 0),
        "ANALYZING": (1, 0),
        "READY": (0, 1),
        "EMPTY": (0, 0),
        "FAILED": (0, 0),
        "CANCELLED": (0, 0),
    }
    assert {row["queue_position"] for row in rows.values()} == {None}
    assert rows["FAILED"]["error"] == {"code": "timed_out", "message": "It took too long."}


def test_credits_that_lapsed_are_not_reserved_any_more(api: APIClient, organization: Organization):
    project = make_project(organization, status="QUEUED")
    lapse(CreditHold.objects.get())
    assert expire_holds() == 1
    (row,) = api.get(URL).json()["results"]
    assert row["credits"] == {"reserved": 0, "charged": 0}
    assert api.get(f"{URL}/{project.pk}").json()["credits"] == row["credits"]


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_page_is_one_statement_however_many_rows(
    api: APIClient, organization: Organization, count: int
):
    for number in range(count):
        make_project(organization, status=STATUSES[number])
    with statements(control=True) as said:
        assert len(api.get(URL).json()["results"]) == count
    assert said == ["SELECT projects_project"]  # and of those that are open, their holds


def test_projects_made_at_the_same_moment_come_once_each(
    api: APIClient, organization: Organization
):
    expected = {str(make_project(organization, status="UPLOADED").pk) for _ in range(25)}
    Project.objects.update(created_at=timezone.now())
    found = ids(all_pages(api, URL, page_size=4))
    assert len(found) == 25
    assert set(found) == expected


def test_a_later_page_is_one_statement(api: APIClient, organization: Organization):
    for _ in range(3):
        make_project(organization, status="UPLOADED")
    page = api.get(URL, {"page_size": 1}).json()
    with statements(control=True) as said:
        page = api.get(page["next"]).json()
    assert len(page["results"]) == 1
    assert said == ["SELECT projects_project"]


# --- filters --------------------------------------------------------------------------


def test_the_list_is_filtered_by_one_or_more_statuses(api: APIClient, organization: Organization):
    made = {status: str(make_project(organization, status=status).pk) for status in STATUSES}
    make_project(status="FAILED")
    assert ids(api.get(URL, {"status": "FAILED"}).json()["results"]) == [made["FAILED"]]
    several = api.get(URL, {"status": ["READY", "EMPTY"]}).json()["results"]
    assert set(ids(several)) == {made["READY"], made["EMPTY"]}


def test_the_list_is_filtered_by_time_from_inclusive_to_exclusive(
    api: APIClient, organization: Organization
):
    start = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)
    projects = [make_project(organization, status="UPLOADED") for _ in range(3)]
    for days, project in enumerate(projects):
        made = start + datetime.timedelta(days=days)
        Project.objects.filter(pk=project.pk).update(created_at=made)
    window = {"created_after": "2026-05-02T12:00:00Z", "created_before": "2026-05-03T12:00:00Z"}
    assert ids(api.get(URL, window).json()["results"]) == [str(projects[1].pk)]
    same = {"created_after": "2026-05-02T14:00:00+02:00", "created_before": "2026-05-03T12:00:00Z"}
    assert ids(api.get(URL, same).json()["results"]) == [str(projects[1].pk)]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("status", "ready"),
        ("created_after", "yesterday"),
        ("created_before", "2026-13-01T00:00:00Z"),
        ("status", ""),  # a variable that was not set: it would widen the list
        ("created_before", ""),
    ],
)
def test_a_value_that_cannot_be_one_is_refused(api: APIClient, parameter: str, value: str):
    assert invalid_fields(api.get(URL, {parameter: value})) == {f"/{parameter}"}


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z"]
)
def test_the_ends_of_the_calendar_are_no_fault(api: APIClient, moment: str):
    for parameter in ("created_after", "created_before"):
        assert api.get(URL, {parameter: moment}).status_code in {200, 422}


@pytest.mark.parametrize("parameter", ["state", "Status", "org", "organization", "id", "page"])
def test_an_unknown_parameter_is_refused(api: APIClient, parameter: str):
    assert_problem(api.get(URL, {parameter: "x"}), 422, "unknown_parameter")


@pytest.mark.parametrize("size", ["0", "101", "-1", "1.5", "ten", "", "\uff11", "9" * 30, "1\0"])
def test_a_page_size_out_of_bounds_is_refused(api: APIClient, size: str):
    assert_problem(api.get(URL, {"page_size": size}), 422, "invalid_page_size")


# --- cursors --------------------------------------------------------------------------


def test_the_cursor_of_another_organization_is_404(
    api: APIClient, organization: Organization, client_of: Callable[..., APIClient]
):
    other = make_organization()
    for _ in range(2):
        make_project(other, status="UPLOADED")
    theirs = client_of(other).get(URL, {"page_size": 1}).json()["next_cursor"]
    assert_problem(api.get(URL, {"cursor": theirs}), 404, "not_found")


def test_the_cursor_of_another_list_is_refused(api: APIClient, organization: Organization):
    for _ in range(2):
        make_project(organization, status="UPLOADED")
    cursor = api.get(URL, {"page_size": 1}).json()["next_cursor"]
    assert_problem(api.get("/api/v1/exports", {"cursor": cursor}), 422, "invalid_cursor")


@pytest.mark.parametrize("cursor", ["x", "nul\0", "a:b:c", "é", "x" * 5000])
def test_a_cursor_of_the_clients_own_making_is_refused(api: APIClient, cursor: str):
    assert_problem(api.get(URL, {"cursor": cursor}), 422, "invalid_cursor")


def test_a_tampered_cursor_is_refused(api: APIClient, organization: Organization):
    for _ in range(2):
        make_project(organization, status="UPLOADED")
    cursor = api.get(URL, {"page_size": 1}).json()["next_cursor"]
    assert_problem(api.get(URL, {"cursor": f"{cursor[:-1]}~"}), 422, "invalid_cursor")


# --- ids ------------------------------------------------------------------------------


def test_several_projects_come_by_their_ids_and_those_of_others_do_not(
    api: APIClient, organization: Organization
):
    mine = [make_project(organization) for _ in range(3)]
    ids = [str(project.pk) for project in (mine[0], mine[2], make_project())]
    with statements() as said:
        found = [row["id"] for row in api.get(URL, {"ids": ",".join(ids)}).json()["results"]]
    assert found == [str(mine[2].pk), str(mine[0].pk)]
    assert said == ["SELECT projects_project"]


@pytest.mark.parametrize("ids", ["x", "", ",", ",".join([str(uuid.UUID(int=7))] * 101)])
def test_ids_that_cannot_be_are_refused(api: APIClient, ids: str):
    assert api.get(URL, {"ids": ids}).status_code == 422
    assert api.get(URL, {"ids": ",".join([str(uuid.uuid4())] * 100)}).json()["results"] == []
