"""GET /projects/{id}/pictures/{name}, and the signed link that it leads to"""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.utils import timezone
from rest_framework.test import APIClient

from clipforge.common import storage
from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.orgs.models import Organization
from projects import services
from projects.models import Project

pytestmark = pytest.mark.django_db

PICTURES = {
    "poster.jpg": "image/jpeg",
    "poster.webp": "image/webp",
    "strip.jpg": "image/jpeg",
    "strip.vtt": "text/vtt; charset=utf-8",
}


def with_source(project: Project) -> Project:
    path = storage.path_of(project.source_key)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"the source")
    return project


@pytest.fixture
def project(organization: Organization) -> Project:
    made = with_source(make_project(organization))
    for name in PICTURES:
        path = storage.path_of(f"{made.source_key}.{name}")
        path.write_bytes(name.encode())
    return made


def url(project: Project, name: str) -> str:
    return f"/api/v1/projects/{project.pk}/pictures/{name}"


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content)


@pytest.mark.parametrize(("name", "kind"), PICTURES.items())
def test_it_redirects_to_a_link_that_needs_no_key(
    api: APIClient, anonymous: APIClient, project: Project, name: str, kind: str
):
    response = api.get(url(project, name))
    assert (response.status_code, response["Cache-Control"]) == (302, "no-store")
    link = urlsplit(response["Location"]).path
    assert link.endswith(f"/{name}")
    served = anonymous.get(link)
    assert (served.status_code, served["Content-Type"]) == (200, kind)
    assert body_of(served) == name.encode()


def test_the_cues_lead_to_the_sprite_beside_them(
    api: APIClient, anonymous: APIClient, project: Project
):
    link = urlsplit(api.get(url(project, "strip.vtt"))["Location"]).path
    beside = link.removesuffix("strip.vtt") + "strip.jpg"
    assert body_of(anonymous.get(beside)) == b"strip.jpg"


@pytest.mark.parametrize("name", ["source", "source.mp4", "poster.png", "..%2Fsource"])
def test_a_link_to_a_picture_never_leads_to_the_source(
    api: APIClient, anonymous: APIClient, project: Project, name: str
):
    assert api.get(url(project, name)).status_code == 404
    link = urlsplit(api.get(url(project, "poster.jpg"))["Location"]).path
    for path in (link.removesuffix("poster.jpg") + name, link.replace("/pictures/", "/")):
        assert anonymous.get(path).status_code in {403, 404}


def test_a_link_expires(api: APIClient, anonymous: APIClient, project: Project, settings: Any):
    link = urlsplit(api.get(url(project, "poster.jpg"))["Location"]).path
    later = timezone.now() + datetime.timedelta(seconds=settings.DOWNLOAD_URL_SECONDS + 1)
    with time_machine.travel(later):
        assert_problem(anonymous.get(link), 403, "link_expired")


def test_a_link_that_was_changed_is_not_valid(
    api: APIClient, anonymous: APIClient, project: Project
):
    link = urlsplit(api.get(url(project, "poster.jpg"))["Location"]).path
    forged = link.replace("/pictures/", "/pictures/x")
    assert_problem(anonymous.get(forged), 403, "link_invalid")


@pytest.mark.parametrize("status", ["QUEUED", "ANALYZING", "FAILED", "CANCELLED"])
def test_a_project_that_was_not_analysed_has_none(
    api: APIClient, organization: Organization, status: str
):
    waiting = make_project(organization, status=status)
    assert_problem(api.get(url(waiting, "poster.jpg")), 409, "project_not_ready")


def test_an_older_project_without_pictures_says_so(
    api: APIClient, anonymous: APIClient, organization: Organization
):
    older = with_source(make_project(organization))
    link = urlsplit(api.get(url(older, "poster.jpg"))["Location"]).path
    assert_problem(anonymous.get(link), 404, "not_found")


def test_without_a_key_there_is_no_link(anonymous: APIClient, project: Project):
    assert anonymous.get(url(project, "poster.jpg")).status_code == 401


def test_another_organizations_is_not_there(api: APIClient):
    other = make_project(make_organization())
    assert_not_told_apart(
        lambda project_id: api.get(f"/api/v1/projects/{project_id}/pictures/poster.jpg"), other.pk
    )


def test_they_are_deleted_with_the_project(
    project: Project, django_capture_on_commit_callbacks: Any
):
    folder = storage.path_of(project.source_key).parent
    assert len(list(folder.iterdir())) == 5
    with django_capture_on_commit_callbacks(execute=True):
        services.delete_project(project=project, actor="test")
    assert not folder.exists()


def test_those_of_a_project_that_has_gone_are_swept_up(project: Project):
    folder = storage.path_of(project.source_key).parent
    Project.objects.filter(pk=project.pk).delete()
    now = timezone.now().timestamp()
    removed = storage.remove_orphans(
        "projects", exists=lambda _ids: (), older_than_seconds=-1, now=now
    )
    assert (removed, folder.exists()) == (1, False)
