"""POST /projects/{id}/cancel"""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import make_project
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.state import Funds, funds, nothing_changes
from clipforge.orgs.models import Organization

pytestmark = pytest.mark.django_db


def url(project_id: object) -> str:
    return f"/api/v1/projects/{project_id}/cancel"


@pytest.mark.parametrize("status", ["QUEUED", "ANALYZING"])
def test_open_work_is_cancelled_and_its_credits_come_back(
    api: APIClient, organization: Organization, status: str
):
    project = make_project(organization, status=status)
    response = api.post(url(project.pk))
    body = response.json()
    assert (response.status_code, body["status"]) == (200, "CANCELLED")
    assert (body["credits"], body["queue_position"]) == ({"reserved": 0, "charged": 0}, None)
    assert body["finished_at"] is not None
    assert funds(organization) == Funds(available=1, held=0)


def test_cancelling_again_changes_nothing(api: APIClient, organization: Organization):
    project = make_project(organization, status="QUEUED")
    first = api.post(url(project.pk))
    with nothing_changes():
        second = api.post(url(project.pk))
    assert (second.status_code, second.json()) == (200, first.json())


@pytest.mark.parametrize("status", ["UPLOADED", "READY", "EMPTY", "FAILED"])
def test_what_is_not_open_is_refused(api: APIClient, organization: Organization, status: str):
    project = make_project(organization, status=status)
    with nothing_changes():
        body = assert_problem(api.post(url(project.pk)), 409, "wrong_state")
    assert status in body["detail"]


def test_a_cancel_is_four_statements(api: APIClient, organization: Organization):
    project = make_project(organization, status="QUEUED")
    with statements() as said:
        assert api.post(url(project.pk)).status_code == 200
    assert said == [
        "SELECT projects_project",  # whose it is
        "SELECT jobs_cancel",  # row, hold, account, lots, its turn, the next one's task
        "SELECT projects_project",  # the body of its event
        "SELECT events_record",  # its number, who is told, and the tasks for that
    ]


def test_it_needs_a_key(anonymous: APIClient):
    project = make_project(status="QUEUED")
    with nothing_changes():
        assert_problem(anonymous.post(url(project.pk)), 401, "not_authenticated")


def test_another_organizations_project_is_not_told_from_none(api: APIClient):
    theirs = make_project(status="QUEUED")
    with nothing_changes():
        assert_not_told_apart(lambda project_id: api.post(url(project_id)), theirs.pk)


def test_what_is_no_id_is_not_found(api: APIClient):
    assert_problem(api.post(url("abc")), 404, "not_found")


def test_reading_it_is_not_allowed(api: APIClient, organization: Organization):
    project = make_project(organization)
    assert_problem(api.get(url(project.pk)), 405, "method_not_allowed")
