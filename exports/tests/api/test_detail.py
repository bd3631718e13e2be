"""GET /exports/{id}"""

from __future__ import annotations

import hashlib

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import make_export, make_moment, make_project
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.state import nothing_changes
from clipforge.orgs.models import Organization
from exports.api.serializers import ExportSerializer
from projects.models import Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(organization: Organization) -> Project:
    return make_project(organization)


def url(export_id: object) -> str:
    return f"/api/v1/exports/{export_id}"


def test_a_finished_export_says_what_its_file_is(api: APIClient, project: Project):
    moment = make_moment(project)
    export = make_export(project, status="READY", moment=moment, content=b"clip")
    body = api.get(url(export.pk)).json()
    assert (body["status"], body["progress"], body["attempts"]) == ("READY", 1, 1)
    assert (body["project"], body["moment"]) == (str(project.pk), str(moment.pk))
    assert (body["size"], body["sha256"]) == (4, hashlib.sha256(b"clip").hexdigest())
    assert (body["width"], body["height"], body["duration"]) == (480, 854, 10.0)
    assert body["credits"] == {"reserved": 0, "charged": 1}
    assert body["expires_at"] is not None
    assert {"file_key", "fence", "hold", "org", "lease_expires_at"}.isdisjoint(body)


def test_a_failure_says_why(api: APIClient, project: Project):
    body = api.get(url(make_export(project, status="FAILED").pk)).json()
    assert body["error"] == {"code": "timed_out", "message": "It took too long."}
    assert body["credits"] == {"reserved": 0, "charged": 0}


def test_a_waiting_export_knows_its_place(api: APIClient, project: Project):
    make_export(status="QUEUED")
    export = make_export(project, status="QUEUED")
    with statements(control=True) as said:
        assert api.get(url(export.pk)).json()["queue_position"] == 2
    assert said == ["SELECT exports_export", "SELECT jobs_position"]  # itself; who is ahead


@pytest.mark.parametrize("status", ["RENDERING", "READY", "FAILED", "CANCELLED", "EXPIRED"])
def test_any_other_export_is_one_statement(api: APIClient, project: Project, status: str):
    export = make_export(project, status=status)
    with statements(control=True) as said:
        assert api.get(url(export.pk)).json()["queue_position"] is None
    assert said == ["SELECT exports_export"]  # joined with its hold


def test_it_needs_a_key(anonymous: APIClient):
    assert_problem(anonymous.get(url(make_export().pk)), 401, "not_authenticated")


def test_another_organizations_export_is_not_told_from_none(api: APIClient):
    assert_not_told_apart(lambda export_id: api.get(url(export_id)), make_export().pk)


@pytest.mark.parametrize("text", ["1", "abc", "%00", "x" * 1000])
def test_what_is_no_id_is_not_found(api: APIClient, text: str):
    assert_problem(api.get(url(text)), 404, "not_found")


def test_an_unknown_parameter_is_refused(api: APIClient, project: Project):
    export = make_export(project)
    assert_problem(api.get(url(export.pk), {"expand": "moment"}), 422, "unknown_parameter")


@pytest.mark.parametrize("method", ["put", "post"])
def test_it_cannot_be_written(api: APIClient, project: Project, method: str):
    export = make_export(project)
    response = getattr(api, method)(url(export.pk), {"status": "READY"})
    assert_problem(response, 405, "method_not_allowed")


def test_only_its_pin_can_be_changed(api: APIClient, project: Project):
    export = make_export(project, status="QUEUED")
    fields = ExportSerializer().fields.keys() - {"pinned"}
    assert len(fields) == 38
    with nothing_changes():
        for name in fields:
            response = api.patch(url(export.pk), {"pinned": True, name: "READY"})
            assert_problem(response, 422, "unknown_field")
