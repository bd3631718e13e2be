"""GET /projects/{id}/moments"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import (
    all_pages,
    assert_not_told_apart,
    assert_problem,
    invalid_fields,
)
from clipforge.devtools.testing.factories import make_moment, make_project
from clipforge.devtools.testing.queries import statements
from clipforge.orgs.models import Organization
from projects.selectors import get_moment

pytestmark = pytest.mark.django_db


def url(project_id: object) -> str:
    return f"/api/v1/projects/{project_id}/moments"


def test_a_moment_says_where_it_is_and_why_it_is_worth_clipping(
    api: APIClient, organization: Organization
):
    project = make_project(organization)
    moment = make_moment(project, start=5.5, end=21.0, score=71.5)
    assert api.get(url(project.pk)).json() == {
        "results": [
            {
                "id": str(moment.pk),
                "project": str(project.pk),
                "start": 5.5,
                "end": 21.0,
                "duration": 15.5,
                "title": None,
                "hook": None,
                "kind": None,
                "score": 71.5,
                "subscores": {"speech": 80.0, "motion": 60.0},
                "reason": "Somebody talks.",
                "scorer_version": "test",
                "origin": "chosen",
                "pinned": False,
                "rating": None,
            }
        ],
        "next": None,
        "next_cursor": None,
    }


def test_the_best_come_first_and_only_of_this_project(api: APIClient, organization: Organization):
    project = make_project(organization)
    for score in (50.0, 90.5, 70.25, 90.25):
        make_moment(project, score=score)
    make_moment(make_project(organization), score=99.0)
    scores = [row["score"] for row in api.get(url(project.pk)).json()["results"]]
    assert scores == [90.5, 90.25, 70.25, 50.0]


def test_moments_of_equal_score_come_once_each(api: APIClient, organization: Organization):
    project = make_project(organization)
    scores = [0.1 + 0.2, 70.0, 70.0 + 1e-9]
    expected = {str(make_moment(project, score=scores[n % 3]).pk) for n in range(24)}
    rows = all_pages(api, url(project.pk), page_size=5)
    assert len(rows) == 24
    assert {row["id"] for row in rows} == expected
    assert [row["score"] for row in rows] == sorted((r["score"] for r in rows), reverse=True)


def test_min_score_is_inclusive(api: APIClient, organization: Organization):
    project = make_project(organization)
    for score in (69.9, 70.0, 70.1):
        make_moment(project, score=score)
    for least, count in (("0", 3), ("70", 2), ("70.05", 1), ("100", 0)):
        rows = api.get(url(project.pk), {"min_score": least}).json()["results"]
        assert len(rows) == count


@pytest.mark.parametrize("value", ["-1", "101", "NaN", "inf", "1e999", "best"])
def test_a_min_score_that_cannot_be_one_is_refused(
    api: APIClient, organization: Organization, value: str
):
    project = make_project(organization)
    assert invalid_fields(api.get(url(project.pk), {"min_score": value})) == {"/min_score"}


@pytest.mark.parametrize("count", [0, 1, 20])
def test_a_page_is_two_statements_however_many_rows(
    api: APIClient, organization: Organization, count: int
):
    project = make_project(organization)
    for _ in range(count):
        make_moment(project)
    with statements(control=True) as said:
        assert len(api.get(url(project.pk)).json()["results"]) == count
    assert said == ["SELECT projects_project", "SELECT projects_moment"]


@pytest.mark.parametrize("status", ["QUEUED", "ANALYZING", "EMPTY", "FAILED"])
def test_a_project_without_moments_has_an_empty_list(
    api: APIClient, organization: Organization, status: str
):
    project = make_project(organization, status=status)
    assert api.get(url(project.pk)).json()["results"] == []


def test_it_needs_a_key(anonymous: APIClient):
    assert_problem(anonymous.get(url(make_project().pk)), 401, "not_authenticated")


def test_another_organizations_project_is_not_told_from_none(api: APIClient):
    theirs = make_project()
    make_moment(theirs)
    assert_not_told_apart(lambda project_id: api.get(url(project_id)), theirs.pk)


def test_a_cursor_is_good_for_its_own_project_and_organization_only(
    api: APIClient, organization: Organization, client_of: Callable[..., APIClient]
):
    mine, another, theirs = make_project(organization), make_project(organization), make_project()
    for project in (mine, another, theirs):
        make_moment(project)
        make_moment(project)
    cursor = api.get(url(mine.pk), {"page_size": 1}).json()["next_cursor"]
    assert_problem(api.get(url(another.pk), {"cursor": cursor}), 422, "invalid_cursor")
    foreign = client_of(theirs.org).get(url(theirs.pk), {"page_size": 1}).json()["next_cursor"]
    assert_problem(api.get(url(mine.pk), {"cursor": foreign}), 404, "not_found")


def test_an_unknown_parameter_is_refused(api: APIClient, organization: Organization):
    project = make_project(organization)
    assert_problem(api.get(url(project.pk), {"max_score": "9"}), 422, "unknown_parameter")


@pytest.mark.parametrize("lock", [False, True])
def test_a_moment_is_read_with_its_project_locked_only_where_that_is_asked_for(lock: bool):
    moment = make_moment(make_project())
    with CaptureQueriesContext(connection) as captured:
        assert get_moment(moment.org, moment.pk, lock=lock) == moment
    (query,) = captured.captured_queries
    assert (
        query["sql"].endswith('FOR NO KEY UPDATE OF "projects_project", "projects_moment"') == lock
    )
    assert ("FOR" in query["sql"].split()) == lock
