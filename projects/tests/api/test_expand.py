"""GET /projects/{id}?expand="""

from __future__ import annotations

from typing import Any

import pytest

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import (
    make_export,
    make_moment,
    make_organization,
    make_project,
)
from clipforge.devtools.testing.queries import statements

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("steady_links")]

BOTH = {"expand": "moments,exports"}


@pytest.fixture
def project(organization: Any) -> Any:
    return make_project(organization)


def url(project: Any) -> str:
    return f"/api/v1/projects/{project.pk}"


def test_a_project_is_shown_with_the_first_of_what_belongs_to_it(api, project):
    for score in (60, 80, 70):
        make_moment(project, score=score)
    make_export(project)
    make_export(project, status="QUEUED")
    other = make_project(project.org)
    make_moment(other)
    make_export(other)
    body = api.get(url(project), BOTH).json()
    moments, exports = body.pop("moments"), body.pop("exports")
    assert body == api.get(url(project)).json()
    assert moments == api.get(f"{url(project)}/moments").json()
    assert exports == api.get("/api/v1/exports", {"project": str(project.pk)}).json()
    assert [each["score"] for each in moments["results"]] == [80, 70, 60]


@pytest.mark.parametrize(
    ("expand", "shown"),
    [
        ("moments", {"moments"}),
        ("exports", {"exports"}),
        ("exports,moments", {"moments", "exports"}),
        ("moments,moments", {"moments"}),
    ],
)
def test_only_what_is_asked_for_is_shown(api, project, expand, shown):
    body = api.get(url(project), {"expand": expand}).json()
    assert set(body) - set(api.get(url(project)).json()) == shown


@pytest.mark.parametrize(("count", "more"), [(50, False), (51, True)])
def test_fifty_are_shown_and_the_rest_is_where_next_leads(api, project, count, more):
    for number in range(count):
        make_moment(project, score=number)
    for _ in range(count):
        make_export(project, status="QUEUED")
    body = api.get(url(project), BOTH).json()
    for name in ("moments", "exports"):
        page = body[name]
        assert len(page["results"]) == 50
        assert (page["next"] is None, page["next_cursor"] is None) == (not more, not more)
        if more:
            rest = api.get(page["next"]).json()
            assert len(rest["results"]) == 1
            assert rest["next"] is None
            assert rest["results"][0]["id"] not in {each["id"] for each in page["results"]}


@pytest.mark.parametrize("count", [1, 20])
def test_it_is_one_query_for_each_list_however_much_there_is(api, project, count):
    for _ in range(count):
        make_export(project, moment=make_moment(project))
    assert api.get(url(project), BOTH).status_code == 200
    with statements() as said:
        assert api.get(url(project), BOTH).status_code == 200
    assert said == ["SELECT projects_project", "SELECT exports_export", "SELECT projects_moment"]


def test_the_etag_is_of_all_that_is_shown(api, project):
    moment = make_moment(project)
    plain, first = api.get(url(project)), api.get(url(project), BOTH)
    assert first["ETag"] != plain["ETag"]
    held = {"HTTP_IF_NONE_MATCH": first["ETag"]}
    assert api.get(url(project), BOTH, **held).status_code == 304
    # It changes no project, whose own ETag stays.
    api.patch(f"/api/v1/moments/{moment.pk}", {"title": "Better"})
    second = api.get(url(project), BOTH, **held)
    assert (second.status_code, second.json()["moments"]["results"][0]["title"]) == (200, "Better")
    assert api.get(url(project), HTTP_IF_NONE_MATCH=plain["ETag"]).status_code == 304
    held = {"HTTP_IF_NONE_MATCH": second["ETag"]}
    make_export(project)
    assert api.get(url(project), BOTH, **held).status_code == 200
    # Nor is the one of the other address.
    assert api.get(url(project), HTTP_IF_NONE_MATCH=second["ETag"]).status_code == 200


def test_unfinished_work_says_when_to_ask_again(api, organization):
    running = make_project(organization, status="ANALYZING")
    assert api.get(url(running), BOTH)["Retry-After"] == api.get(url(running))["Retry-After"]


@pytest.mark.parametrize("expand", ["", "moment", "moments,owner", "moments,", "MOMENTS"])
def test_what_cannot_be_expanded_is_422(api, project, expand):
    body = assert_problem(api.get(url(project), {"expand": expand}), 422, "unknown_expansion")
    assert "exports, moments" in body["detail"]


def test_nothing_else_can_be_expanded(api, project):
    export = make_export(project)
    for path in ("/api/v1/projects", f"/api/v1/exports/{export.pk}", f"{url(project)}/moments"):
        assert_problem(api.get(path, BOTH), 422, "unknown_parameter")


def test_another_organizations_project_is_none_however_it_is_asked_for(api):
    foreign = make_project(make_organization())
    assert_not_told_apart(lambda pk: api.get(f"/api/v1/projects/{pk}?expand=exports"), foreign.pk)
