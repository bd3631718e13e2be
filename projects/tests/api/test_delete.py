"""DELETE /projects/{id}. What it does to exports is tested with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from procrastinate.contrib.django import app
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import make_moment, make_project
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.state import Funds, funds, nothing_changes, stored_files
from clipforge.orgs.models import Organization
from credits.models import CreditHold
from projects.models import Moment, Project

pytestmark = pytest.mark.django_db


def url(project_id: object) -> str:
    return f"/api/v1/projects/{project_id}"


def test_the_project_goes_with_its_moments_and_its_file(
    api: APIClient,
    organization: Organization,
    still: Path,
    django_capture_on_commit_callbacks,
):
    project = make_project(organization, source=still)
    make_moment(project)
    kept = make_project(organization, source=still)
    with django_capture_on_commit_callbacks(execute=True):
        response = api.delete(url(project.pk))
        assert len(stored_files()) == 2  # until the commit
    assert (response.status_code, response.content) == (204, b"")
    assert list(Project.objects.all()) == [kept]
    assert not Moment.objects.exists()
    assert stored_files() == [Path(kept.source_key)]
    assert funds(organization) == Funds(available=0, held=0)  # what it cost stays spent
    assert_problem(api.get(url(project.pk)), 404, "not_found")
    assert_problem(api.delete(url(project.pk)), 404, "not_found")


@pytest.mark.parametrize("status", ["QUEUED", "ANALYZING"])
def test_deleting_open_work_gives_the_credits_back(
    api: APIClient, organization: Organization, status: str
):
    project = make_project(organization, status=status)
    assert funds(organization) == Funds(available=0, held=1)
    assert api.delete(url(project.pk)).status_code == 204
    assert funds(organization) == Funds(available=1, held=0)
    assert CreditHold.objects.get().status == "RELEASED"
    app.tasks["projects.analyse"](
        project_id=str(project.pk), fence=project.fence
    )  # its job finds nothing


@pytest.mark.parametrize("status", ["UPLOADED", "READY", "EMPTY", "FAILED", "CANCELLED"])
def test_deleting_a_finished_project_moves_no_credits(
    api: APIClient, organization: Organization, status: str
):
    project = make_project(organization, status=status)
    before = funds(organization)
    assert api.delete(url(project.pk)).status_code == 204
    assert funds(organization) == before


def test_deleting_is_thirteen_statements_however_many_moments(
    api: APIClient, organization: Organization
):
    project = make_project(organization)
    for _ in range(20):
        make_moment(project)
    with statements() as said:
        assert api.delete(url(project.pk)).status_code == 204
    assert said == [
        "SELECT projects_project",  # whose it is
        "SELECT jobs_cancel",  # locked; it has ended
        "SELECT exports_export",  # locked
        "SELECT projects_moment",
        "DELETE projects_projectimport",
        "DELETE projects_projecttranscript",
        "DELETE projects_projectfeatures",
        "DELETE projects_momentfeedback",
        "DELETE exports_export",
        "UPDATE exports_export",
        "DELETE projects_moment",
        "DELETE projects_project",
        "SELECT orgs_settle_storage",  # what is stored now: there is room for other files at once
    ]


def test_it_needs_a_key(anonymous: APIClient):
    project = make_project(status="QUEUED")
    with nothing_changes():
        assert_problem(anonymous.delete(url(project.pk)), 401, "not_authenticated")


def test_another_organizations_project_is_not_told_from_none(api: APIClient, still: Path):
    theirs = make_project(status="QUEUED", source=still)
    with nothing_changes():
        assert_not_told_apart(lambda project_id: api.delete(url(project_id)), theirs.pk)


def test_an_unknown_parameter_is_refused(api: APIClient, organization: Organization):
    project = make_project(organization)
    with nothing_changes():
        assert_problem(api.delete(f"{url(project.pk)}?force=1"), 422, "unknown_parameter")
