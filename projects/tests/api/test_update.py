"""PATCH /projects/{id}"""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from clipforge.common.errors import NotFound
from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem, invalid_fields
from clipforge.devtools.testing.factories import make_project
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.state import nothing_changes
from clipforge.orgs.models import Organization
from projects.models import Project
from projects.services import rename_project

pytestmark = pytest.mark.django_db


def url(project_id: object) -> str:
    return f"/api/v1/projects/{project_id}"


def test_the_title_is_changed_and_nothing_else(api: APIClient, organization: Organization):
    project = make_project(organization, status="READY", title="Old")
    before: dict[str, Any] = {**Project.objects.values().get()}
    with statements(control=True) as said:
        response = api.patch(url(project.pk), {"title": "  New ✂ "})
    assert (response.status_code, response.json()["title"]) == (200, "New ✂")
    assert said == [
        "SELECT projects_project",
        "SAVEPOINT",
        "UPDATE projects_project",
        "SELECT projects_project",  # its version, for the kept ETag
        "RELEASE SAVEPOINT",
    ]
    after: dict[str, Any] = {**Project.objects.values().get()}
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"title", "updated_at", "version"}
    assert after["version"] == before["version"] + 1


def test_what_cannot_be_written_is_refused(api: APIClient, organization: Organization):
    project = make_project(organization, status="FAILED", title="Old")
    body = {"status": "READY", "org": None, "hold": None, "fence": 9, "source_key": "../x"}
    with nothing_changes():
        document = assert_problem(api.patch(url(project.pk), body), 422, "unknown_field")
        assert {error["pointer"] for error in document["errors"]} == {f"/{name}" for name in body}


@pytest.mark.parametrize("title", ["", "   ", "x" * 201, None, [], {"a": 1}, 5, True])
def test_a_title_that_cannot_be_one_is_refused(
    api: APIClient, organization: Organization, title: Any
):
    project = make_project(organization)
    with nothing_changes():
        assert invalid_fields(api.patch(url(project.pk), {"title": title})) == {"/title"}


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ("{", 400),
        ("[]", 422),
        ("1", 422),
        ('"text"', 422),
        ('{"title": NaN}', 400),
        (r'{"title": "\ud800"}', 400),
    ],
)
def test_a_body_that_makes_no_sense_is_refused(
    api: APIClient, organization: Organization, content: str, status: int
):
    project = make_project(organization)
    with nothing_changes():
        response = api.patch(url(project.pk), content, content_type="application/json")
        assert response.status_code == status, response.content


def test_another_media_type_is_refused(api: APIClient, organization: Organization):
    project = make_project(organization)
    with nothing_changes():
        response = api.patch(url(project.pk), {"title": "New"}, format="multipart")
        assert_problem(response, 415, "unsupported_media_type")


def test_it_needs_a_key(anonymous: APIClient):
    project = make_project()
    with nothing_changes():
        response = anonymous.patch(url(project.pk), {"title": "New"})
        assert_problem(response, 401, "not_authenticated")


def test_another_organizations_project_is_not_told_from_none(api: APIClient):
    theirs = make_project().pk
    with nothing_changes():
        assert_not_told_apart(lambda pk: api.patch(url(pk), {"title": "Mine now"}), theirs)


def test_replacing_it_is_not_allowed(api: APIClient, organization: Organization):
    project = make_project(organization)
    with nothing_changes():
        assert_problem(api.put(url(project.pk), {"title": "New"}), 405, "method_not_allowed")


def test_a_project_deleted_meanwhile_is_not_found(organization: Organization):
    project = make_project(organization, status="UPLOADED")
    Project.objects.filter(pk=project.pk).delete()
    with pytest.raises(NotFound):
        rename_project(project=project, title="New")
