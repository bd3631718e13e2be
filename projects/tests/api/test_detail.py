"""GET /projects/{id}"""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import make_project
from clipforge.devtools.testing.queries import statements
from clipforge.orgs.models import Organization
from projects.models import Project

pytestmark = pytest.mark.django_db


def url(project_id: object) -> str:
    return f"/api/v1/projects/{project_id}"


def test_a_project_is_shown_with_its_progress(api: APIClient, organization: Organization):
    project = make_project(organization, status="ANALYZING", title="Talk", duration=61)
    Project.objects.update(stage="decoding", progress=0.5)
    body = api.get(url(project.pk)).json()
    assert {key: body[key] for key in ("id", "title", "status", "stage", "progress")} == {
        "id": str(project.pk),
        "title": "Talk",
        "status": "ANALYZING",
        "stage": "decoding",
        "progress": 0.5,
    }
    assert body["credits"] == {"reserved": 2, "charged": 0}
    assert (body["attempts"], body["error"], body["queue_position"]) == (1, None, None)


def test_a_failure_says_why(api: APIClient, organization: Organization):
    project = make_project(organization, status="FAILED")
    body = api.get(url(project.pk)).json()
    assert body["error"] == {"code": "timed_out", "message": "It took too long."}
    assert body["credits"] == {"reserved": 0, "charged": 0}


def test_a_waiting_project_knows_its_place(api: APIClient, organization: Organization):
    make_project(status="QUEUED")
    project = make_project(organization, status="QUEUED")
    with statements(control=True) as said:
        assert api.get(url(project.pk)).json()["queue_position"] == 2
    assert said == ["SELECT projects_project", "SELECT jobs_position"]  # itself; who is ahead


@pytest.mark.parametrize("status", ["ANALYZING", "READY", "EMPTY", "FAILED", "CANCELLED"])
def test_any_other_project_is_one_statement(
    api: APIClient, organization: Organization, status: str
):
    project = make_project(organization, status=status)
    with statements(control=True) as said:
        assert api.get(url(project.pk)).status_code == 200
    assert said == ["SELECT projects_project"]  # joined with its hold


def test_it_needs_a_key(anonymous: APIClient):
    assert_problem(anonymous.get(url(make_project().pk)), 401, "not_authenticated")


def test_another_organizations_project_is_not_told_from_none(api: APIClient):
    assert_not_told_apart(lambda project_id: api.get(url(project_id)), make_project().pk)


@pytest.mark.parametrize("text", ["1", "abc", "0" * 32, "%00", "..", "x" * 1000])
def test_what_is_no_id_is_not_found(api: APIClient, text: str):
    assert_problem(api.get(url(text)), 404, "not_found")


def test_an_unknown_parameter_is_refused(api: APIClient, organization: Organization):
    project = make_project(organization)
    assert_problem(api.get(url(project.pk), {"include": "moments"}), 422, "unknown_parameter")


def test_no_secret_of_storage_is_shown(api: APIClient, organization: Organization):
    body = api.get(url(make_project(organization).pk)).json()
    assert {"source_key", "fence", "hold", "org", "lease_expires_at"}.isdisjoint(body)
