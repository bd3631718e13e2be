"""POST /exports/{id}/cancel"""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import make_export, make_project
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.state import Funds, funds, nothing_changes
from clipforge.orgs.models import Organization
from projects.models import Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(organization: Organization) -> Project:
    return make_project(organization)


def url(export_id: object) -> str:
    return f"/api/v1/exports/{export_id}/cancel"


@pytest.mark.parametrize("status", ["QUEUED", "RENDERING"])
def test_open_work_is_cancelled_and_its_credits_come_back(
    api: APIClient, organization: Organization, project: Project, status: str
):
    export = make_export(project, status=status)
    assert funds(organization) == Funds(available=0, held=1)
    response = api.post(url(export.pk))
    body = response.json()
    assert (response.status_code, body["status"]) == (200, "CANCELLED")
    assert (body["credits"], body["queue_position"]) == ({"reserved": 0, "charged": 0}, None)
    assert funds(organization) == Funds(available=1, held=0)


def test_cancelling_again_changes_nothing(api: APIClient, project: Project):
    export = make_export(project, status="QUEUED")
    first = api.post(url(export.pk))
    with nothing_changes():
        second = api.post(url(export.pk))
    assert (second.status_code, second.json()) == (200, first.json())


@pytest.mark.parametrize("status", ["READY", "FAILED", "EXPIRED"])
def test_what_is_not_open_is_refused(api: APIClient, project: Project, status: str):
    export = make_export(project, status=status)
    with nothing_changes():
        body = assert_problem(api.post(url(export.pk)), 409, "wrong_state")
    assert status in body["detail"]


def test_a_cancel_is_four_statements(api: APIClient, project: Project):
    export = make_export(project, status="QUEUED")
    with statements() as said:
        assert api.post(url(export.pk)).status_code == 200
    assert said == [
        "SELECT exports_export",  # whose it is
        "SELECT jobs_cancel",  # row, hold, account, lots, its turn, the next one's task
        "SELECT exports_export",  # the body of its event
        "SELECT events_record",  # its number, who is told, and the tasks for that
    ]


def test_it_needs_a_key(anonymous: APIClient):
    export = make_export(status="QUEUED")
    with nothing_changes():
        assert_problem(anonymous.post(url(export.pk)), 401, "not_authenticated")


def test_another_organizations_export_is_not_told_from_none(api: APIClient):
    theirs = make_export(status="QUEUED")
    with nothing_changes():
        assert_not_told_apart(lambda export_id: api.post(url(export_id)), theirs.pk)


def test_what_is_no_id_is_not_found(api: APIClient):
    assert_problem(api.post(url("abc")), 404, "not_found")
