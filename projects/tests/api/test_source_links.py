"""GET /projects/{id}/source and /projects/{id}/captions/{name}, and the signed links that they lead to"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from rest_framework.test import APIClient

from clipforge.common import storage
from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.buckets import Bucket
from clipforge.devtools.testing.factories import (
    make_client,
    make_organization,
    make_project,
    make_transcript,
)
from clipforge.orgs.models import Organization
from projects import services
from projects.models import Project

pytestmark = pytest.mark.django_db

CONTENT = bytes(range(256)) * 8


@pytest.fixture
def project(organization: Organization) -> Project:
    made = make_project(organization, source_name="Übung.mp4", duration=60.0)
    part = storage.new_part()
    part.write_bytes(CONTENT)
    storage.publish(part, made.source_key)
    make_transcript(made, "Hello world.", "How are you?")
    return made


def source(project: Project) -> str:
    return f"/api/v1/projects/{project.pk}/source"


def captions(project: Project, name: str = "captions.vtt") -> str:
    return f"/api/v1/projects/{project.pk}/captions/{name}"


def link_of(api: APIClient, url: str) -> str:
    response = api.get(url)
    assert (response.status_code, response["Cache-Control"]) == (302, "no-store")
    return urlsplit(response["Location"]).path


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def changed(link: str) -> str:
    """The same, with another signature."""
    head, _, name = link.rpartition("/")
    return f"{head[:-1]}{'A' if head[-1] != 'A' else 'B'}/{name}"


def test_the_source_is_saved_under_its_name_whole_or_in_ranges(
    api: APIClient, anonymous: APIClient, project: Project
):
    link = link_of(api, source(project))
    assert unquote(link).endswith("/Übung.mp4")
    file: Any = anonymous.get(link)
    assert (file.status_code, body_of(file)) == (200, CONTENT)
    assert file["Content-Disposition"] == "attachment; filename*=utf-8''%C3%9Cbung.mp4"
    part: Any = anonymous.get(link, HTTP_RANGE="bytes=256-511", HTTP_IF_RANGE=file["ETag"])
    assert (part.status_code, body_of(part)) == (206, CONTENT[256:512])
    other: Any = anonymous.get(link, HTTP_RANGE="bytes=256-511", HTTP_IF_RANGE='"another"')
    assert (other.status_code, body_of(other)) == (200, CONTENT)
    played: Any = anonymous.get(f"{link}?inline=1")
    assert played["Content-Disposition"].startswith("inline")
    assert body_of(played) == CONTENT
    assert anonymous.head(link)["Content-Length"] == str(len(CONTENT))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../..", "\u202e"], ids=["none", "dot", "dots", "folders", "turned"]
)
def test_a_name_that_cannot_stand_in_a_path_is_another(
    api: APIClient, anonymous: APIClient, project: Project, name: str
):
    Project.objects.filter(pk=project.pk).update(source_name=name)
    link = link_of(api, source(project))
    assert link.endswith("/source")
    assert body_of(anonymous.get(link)) == CONTENT


@pytest.mark.parametrize("of", [source, captions])
def test_a_link_ends_and_cannot_be_changed(
    api: APIClient, anonymous: APIClient, project: Project, of: Any, settings: Any
):
    link = link_of(api, of(project))
    assert_problem(anonymous.get(changed(link)), 403, "link_invalid")
    settings.DOWNLOAD_URL_SECONDS = -1
    assert_problem(anonymous.get(link), 403, "link_expired")


@pytest.mark.parametrize("of", [source, captions])
def test_another_organization_gets_no_link_and_nobody_without_a_key(
    api: APIClient, anonymous: APIClient, project: Project, of: Any
):
    stranger = make_client(make_organization(name="Stranger"))
    assert_not_told_apart(lambda pk: stranger.get(of(Project(pk=pk))), project.pk)
    assert_problem(anonymous.get(of(project)), 401, "not_authenticated")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("of", [source, captions])
def test_a_link_to_what_was_deleted_leads_nowhere(
    api: APIClient, anonymous: APIClient, project: Project, of: Any
):
    link = link_of(api, of(project))
    services.delete_project(project=project, actor="test")
    assert_problem(anonymous.get(link), 404, "not_found")
    assert_problem(api.get(of(project)), 404, "not_found")


@pytest.mark.parametrize(
    ("status", "code"), [("EXPIRED", "source_expired"), ("QUEUED", "no_source")]
)
def test_what_has_no_source_is_refused(api: APIClient, project: Project, status: str, code: str):
    Project.objects.filter(pk=project.pk).update(source_key="", status=status)
    assert_problem(api.get(source(project)), 409, code)


def test_from_a_bucket_it_comes_by_a_signed_address_that_dies_with_the_file(
    bucket: Bucket, api: APIClient, anonymous: APIClient, project: Project
):
    moved = anonymous.get(link_of(api, source(project)), HTTP_RANGE="bytes=0-9")
    assert moved.status_code == 302
    part = httpx.get(moved["Location"], headers={"Range": "bytes=256-511"})
    assert (part.status_code, part.content) == (206, CONTENT[256:512])
    assert part.headers["Content-Disposition"].startswith("attachment")
    storage.delete(project.source_key)
    assert httpx.get(moved["Location"]).status_code in {403, 404}


def test_captions_are_subtitles_as_the_words_are_now(
    api: APIClient, anonymous: APIClient, project: Project
):
    link = link_of(api, captions(project))
    first = anonymous.get(link)
    assert first.content.startswith(b"WEBVTT\n\n00:00:01.000 --> ")
    assert first["Content-Type"] == "text/vtt; charset=utf-8"
    assert first["Cache-Control"] == "private, no-cache"
    assert anonymous.get(link, HTTP_IF_NONE_MATCH=first["ETag"]).status_code == 304
    services.correct_words(project=project, words=[(0, "Howdy")], actor="test")
    second = anonymous.get(link, HTTP_IF_NONE_MATCH=first["ETag"])
    assert (second.status_code, b"Howdy world." in second.content) == (200, True)
    srt = anonymous.get(link_of(api, captions(project, "captions.srt")))
    assert srt.content.startswith(b"1\n00:00:01,000 --> ")
    assert_problem(api.get(captions(project, "captions.txt")), 404, "not_found")


def test_a_silent_project_has_no_captions(api: APIClient, organization: Organization):
    assert_problem(api.get(captions(make_project(organization))), 404, "no_transcript")
