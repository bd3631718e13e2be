"""Lists, page by page: every row once, at the same cost on every page."""

from __future__ import annotations

import datetime
from typing import Any
from unittest import mock

import pytest
from django.apps import apps
from django.core import signing
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clipforge.common.models import uuid7
from clipforge.devtools.testing.factories import make_moment, make_organization, make_project
from clipforge.devtools.testing.queries import statements

pytestmark = pytest.mark.django_db

PROJECTS = "/api/v1/projects"
NOW = datetime.datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=datetime.UTC)


def make_projects(org: Any, count: int, *, apart: int = 0, holds: bool = False) -> None:
    """Bare rows named Talk 0, Talk 1 and so on, so many seconds apart; all of one moment at 0.

    With `holds` each has one that was given back. Written once, so that no dead rows are in the way.
    """
    project: Any = apps.get_model("projects.Project")
    hold: Any = apps.get_model("credits.CreditHold")
    rows = [
        project(
            id=uuid7(),
            org=org,
            title=f"Talk {number}",
            created_at=NOW + datetime.timedelta(seconds=number * apart),
            source_name="talk.mp4",
            source_key="none",
            sha256="0" * 64,
            size=1,
            duration=60,
            width=640,
            height=360,
            has_audio=True,
        )
        for number in range(count)
    ]
    if holds:
        for row in rows:
            row.hold = hold(
                org=org,
                amount=1,
                status="RELEASED",
                idempotency_key=str(row.pk),
                expires_at=NOW,
                resolved_at=NOW,
            )
        hold.objects.bulk_create(row.hold for row in rows)
    with mock.patch.object(project._meta.get_field("created_at"), "auto_now_add", new=False):
        project.objects.bulk_create(rows)


def walk(api: Any, path: str, *, queries: int = 1, **params: Any) -> list[list[dict[str, Any]]]:
    """All pages. Each must take so many queries besides that of the key."""
    pages = []
    while True:
        with statements() as asked:
            response = api.get(path, params)
        assert response.status_code == 200, response.content
        assert len(asked) == queries, asked
        body = response.json()
        pages.append(body["results"])
        if body["next_cursor"] is None:
            assert body["next"] is None
            return pages
        params["cursor"] = body["next_cursor"]


def refused(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_thousands_of_rows_of_one_moment_come_once_each_with_one_query_a_page(api, organization):
    make_projects(organization, 2050)
    pages = walk(api, PROJECTS, page_size=100)
    assert [len(page) for page in pages] == [100] * 20 + [50]
    ids = [row["id"] for page in pages for row in page]
    assert len(set(ids)) == 2050
    assert ids == sorted(ids, reverse=True)


def test_rows_come_newest_first_and_the_last_page_may_be_exactly_full(api, organization):
    make_projects(organization, 9, apart=1)
    pages = walk(api, PROJECTS, page_size=3)
    assert [[row["title"] for row in page] for page in pages] == [
        ["Talk 8", "Talk 7", "Talk 6"],
        ["Talk 5", "Talk 4", "Talk 3"],
        ["Talk 2", "Talk 1", "Talk 0"],
    ]


def test_an_empty_list_is_one_page_without_a_next(api):
    assert api.get(PROJECTS).json() == {"results": [], "next": None, "next_cursor": None}


def test_next_is_the_whole_address_of_the_next_page_with_its_filters(api, organization):
    make_projects(organization, 3)
    body = api.get(PROJECTS, {"page_size": 1, "status": "UPLOADED"}).json()
    assert body["next"].startswith("http://testserver/api/v1/projects?cursor=")
    second = api.get(body["next"]).json()
    assert len(second["results"]) == 1
    assert second["results"][0]["id"] < body["results"][0]["id"]
    assert "status=UPLOADED" in second["next"]


def test_rows_that_are_added_while_a_client_pages_move_nothing(api, organization):
    make_projects(organization, 4)
    first = api.get(PROJECTS, {"page_size": 2}).json()
    make_project(organization, title="newer")
    second = api.get(PROJECTS, {"page_size": 2, "cursor": first["next_cursor"]}).json()
    ids = [row["id"] for row in first["results"] + second["results"]]
    assert len(set(ids)) == 4
    assert second["next_cursor"] is None


def test_the_row_that_a_cursor_points_at_may_be_gone(api, organization):
    make_projects(organization, 4)
    first = api.get(PROJECTS, {"page_size": 2}).json()
    model: Any = apps.get_model("projects.Project")
    model.objects.filter(pk=first["results"][1]["id"]).delete()
    second = api.get(PROJECTS, {"page_size": 2, "cursor": first["next_cursor"]}).json()
    assert len(second["results"]) == 2


def test_scores_are_compared_to_their_last_bit(client_of):
    project = make_project()
    score = 70.1
    for number in range(12):
        make_moment(project, score=score + (number % 3) * 2e-14)
    pages = walk(client_of(project.org), f"{PROJECTS}/{project.pk}/moments", queries=2, page_size=5)
    rows = [row for page in pages for row in page]
    assert len({row["id"] for row in rows}) == 12
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert len({row["score"] for row in rows}) == 3


# --- page_size -------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "given"), [("1", 1), ("100", 100), ("007", 7), (None, 50)])
def test_a_page_has_1_to_100_rows_and_50_unless_asked(api, organization, asked, given):
    make_projects(organization, 101)
    params = {} if asked is None else {"page_size": asked}
    assert len(api.get(PROJECTS, params).json()["results"]) == given


@pytest.mark.parametrize(
    "size",
    [
        *["0", "101", "-1", "", " ", "1.5", "1e1", "ten", "٣", "²", "0x10", "+5", "1_0", "\0"],
        *["0000001000", "000000100999999999999999999", "9" * 5000, "0" * 5000 + "1"],
    ],
    ids=lambda size: repr(size[:12]),
)
def test_any_other_page_size_is_refused(api, organization, size):
    make_projects(organization, 101)
    response = api.get(PROJECTS, {"page_size": size})
    assert refused(response) == (422, "invalid_page_size")
    assert response.json()["detail"] == "page_size must be a whole number from 1 to 100."


# --- cursors ---------------------------------------------------------------------------


@pytest.fixture
def cursor(api, organization) -> str:
    make_projects(organization, 3)
    text: str = api.get(PROJECTS, {"page_size": 1}).json()["next_cursor"]
    return text


@pytest.mark.parametrize(
    "text", ["", "x", "::", "a:b:c", "é", "\0", "\udfff".encode(errors="surrogatepass"), "x" * 9000]
)
def test_a_malformed_cursor_is_refused(api, text):
    assert refused(api.get(PROJECTS, {"cursor": text})) == (422, "invalid_cursor")


def test_a_cursor_with_any_character_changed_is_refused(api, cursor):
    for place in range(0, len(cursor), 7):
        other = "A" if cursor[place] != "A" else "B"
        changed = cursor[:place] + other + cursor[place + 1 :]
        assert refused(api.get(PROJECTS, {"cursor": changed})) == (422, "invalid_cursor")
    assert refused(api.get(PROJECTS, {"cursor": cursor[:-1]})) == (422, "invalid_cursor")


def test_a_cursor_of_another_list_is_refused(api, cursor):
    response = api.get("/api/v1/exports", {"cursor": cursor})
    assert refused(response) == (422, "invalid_cursor")
    assert response.json()["detail"] == "The cursor belongs to another list."


def test_a_cursor_of_another_organization_is_not_found(client_of, cursor):
    other = make_organization()
    make_projects(other, 3)
    assert refused(client_of(other).get(PROJECTS, {"cursor": cursor})) == (404, "not_found")


def test_a_cursor_signed_for_something_else_is_refused(api, organization):
    forged = signing.dumps([str(organization.pk), PROJECTS, NOW.isoformat(), "x"], salt="other")
    assert refused(api.get(PROJECTS, {"cursor": forged})) == (422, "invalid_cursor")


@pytest.mark.parametrize("values", [[], ["2026"], ["no time", str(uuid7())], ["1", "2", "3"]])
def test_a_cursor_of_a_release_with_another_order_is_refused(api, organization, values):
    old = signing.dumps([str(organization.pk), PROJECTS, *values], salt="cursor")
    assert refused(api.get(PROJECTS, {"cursor": old})) == (422, "invalid_cursor")


# --- what PostgreSQL does --------------------------------------------------------------


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan] + [node for child in plan.get("Plans", []) for node in nodes(child)]


@pytest.mark.usefixtures("vacuumed")
@pytest.mark.parametrize("apart", [0, 1], ids=["one moment", "a second apart"])
def test_a_deep_page_is_one_index_range_without_a_sort_and_reads_12_pages_at_most(
    api, organization, apart
):
    make_projects(organization, 1500, apart=apart, holds=True)
    for _ in range(5):
        make_projects(make_organization(), 300, apart=1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE projects_project")
        cursor.execute("ANALYZE credits_credithold")
    model: Any = apps.get_model("projects.Project")
    last = model.objects.for_org(organization).order_by("-created_at", "-id")[1000]
    values = [last.created_at.isoformat(), str(last.pk)]
    deep = signing.dumps([str(organization.pk), PROJECTS, *values], salt="cursor")
    with CaptureQueriesContext(connection) as captured:
        assert len(api.get(PROJECTS, {"cursor": deep}).json()["results"]) == 50
    (query,) = [each["sql"] for each in captured if 'FROM "projects_project"' in each["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}")
        (plan,) = cursor.fetchone()
    steps = nodes(plan[0]["Plan"])
    assert [step for step in steps if "Sort" in step["Node Type"]] == []
    (scan,) = [step for step in steps if step.get("Relation Name") == "projects_project"]
    assert scan["Node Type"] == "Index Scan"
    assert scan["Index Name"] == "projects_project_org_created"
    assert "ROW(" in scan["Index Cond"]
    assert scan.get("Rows Removed by Filter", 0) == 0
    assert scan["Actual Rows"] == 51
    assert scan["Shared Hit Blocks"] + scan["Shared Read Blocks"] <= 12


def test_a_filter_keeps_its_place_in_the_order(api, organization):
    make_projects(organization, 10)
    model: Any = apps.get_model("projects.Project")
    wanted = list(model.objects.for_org(organization).order_by("id").values_list("id", flat=True))
    model.objects.filter(pk__in=wanted[::2]).update(status="FAILED", finished_at=timezone.now())
    pages = walk(api, PROJECTS, status="FAILED", page_size=2)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [row["id"] for page in pages for row in page] == [str(pk) for pk in wanted[::2][::-1]]


# --- filters that would cost the index its order ---------------------------------------


def make_statuses(org: Any, count: int, *, apart: int = 0) -> list[Any]:
    """Projects that are FAILED, CANCELLED and READY in turn. Returns their ids, newest first."""
    make_projects(org, count, apart=apart)
    model: Any = apps.get_model("projects.Project")
    rows = list(model.objects.for_org(org).order_by("-created_at", "-id"))
    for number, row in enumerate(rows):
        row.status = ("FAILED", "CANCELLED", "READY")[number % 3]
    model.objects.bulk_update(rows, ["status"])
    return [str(row.pk) for row in rows]


@pytest.mark.parametrize("apart", [0, 1], ids=["one moment", "a second apart"])
def test_a_list_of_several_statuses_is_in_order_and_has_every_row_once(api, organization, apart):
    ids = make_statuses(organization, 31, apart=apart)
    pages = walk(api, PROJECTS, status=["FAILED", "CANCELLED"], page_size=4)
    assert [len(page) for page in pages] == [4] * 5 + [1]
    rows = [row["id"] for page in pages for row in page]
    assert rows == [pk for number, pk in enumerate(ids) if number % 3 != 2]


def test_a_status_that_is_named_twice_counts_once(api, organization):
    ids = make_statuses(organization, 6)
    (page,) = walk(api, PROJECTS, status=["FAILED", "FAILED"])
    assert [row["id"] for row in page] == ids[::3]


@pytest.mark.usefixtures("vacuumed")
def test_a_page_of_several_statuses_is_merged_from_a_page_of_each(api, organization):
    make_statuses(organization, 900, apart=1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE projects_project")
    (query,) = asked(api, status=["FAILED", "CANCELLED"])
    steps = explained(query)
    scans = [step for step in steps if step.get("Relation Name") == "projects_project"]
    assert [scan["Index Name"] for scan in scans] == ["projects_project_status_newest"] * 2
    assert sum(scan["Actual Rows"] for scan in scans) <= 53
    assert [step for step in steps if "Sort" in step["Node Type"]] == []


def test_created_before_holds_also_under_a_cursor_of_the_list_without_it(api, organization):
    make_projects(organization, 9, apart=1)
    cursor = api.get(PROJECTS, {"page_size": 2}).json()["next_cursor"]
    before = (NOW + datetime.timedelta(seconds=4)).isoformat()
    rows = api.get(PROJECTS, {"cursor": cursor, "created_before": before}).json()["results"]
    assert [row["title"] for row in rows] == ["Talk 3", "Talk 2", "Talk 1", "Talk 0"]


@pytest.mark.usefixtures("vacuumed")
def test_a_deep_page_before_a_time_is_entered_at_its_cursor(api, organization):
    make_projects(organization, 1500, apart=1)
    for _ in range(5):
        make_projects(make_organization(), 300, apart=1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE projects_project")
    model: Any = apps.get_model("projects.Project")
    last = model.objects.for_org(organization).order_by("-created_at", "-id")[700]
    values = [last.created_at.isoformat(), str(last.pk)]
    deep = signing.dumps([str(organization.pk), PROJECTS, *values], salt="cursor")
    before = (NOW + datetime.timedelta(seconds=1400)).isoformat()
    (query,) = asked(api, cursor=deep, created_before=before)
    (scan,) = [each for each in explained(query) if each.get("Relation Name") == "projects_project"]
    assert scan["Index Name"] == "projects_project_org_created"
    assert "ROW(" in scan["Index Cond"]
    assert "created_at <" not in scan["Index Cond"]
    assert scan.get("Rows Removed by Filter", 0) == 0
    assert scan["Actual Rows"] == 51


def asked(api: Any, **params: Any) -> list[str]:
    """The statements on the table of projects that its list runs."""
    with CaptureQueriesContext(connection) as captured:
        assert len(api.get(PROJECTS, params).json()["results"]) == 50
    return [each["sql"] for each in captured if 'FROM "projects_project"' in each["sql"]]


def explained(query: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}")
        (plan,) = cursor.fetchone()
    return nodes(plan[0]["Plan"])
