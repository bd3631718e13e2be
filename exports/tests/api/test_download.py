"""GET /exports/{id}/download, and the signed link that it leads to"""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.core import signing
from django.utils import timezone
from rest_framework.test import APIClient

from clipforge.common import storage
from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.clocks import MICROSECOND, clocks_at
from clipforge.devtools.testing.factories import make_export, make_project
from clipforge.devtools.testing.queries import statements
from clipforge.orgs.models import Organization
from exports.models import Export
from projects.models import Project

pytestmark = pytest.mark.django_db

CONTENT = bytes(range(256)) * 8


@pytest.fixture
def project(organization: Organization) -> Project:
    return make_project(organization)


@pytest.fixture
def export(project: Project) -> Export:
    return make_export(project, status="READY", content=CONTENT)


def url(export_id: object) -> str:
    return f"/api/v1/exports/{export_id}/download"


def link_of(api: APIClient, export: Export) -> str:
    return urlsplit(api.get(url(export.pk))["Location"]).path


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content)


# --- the link -------------------------------------------------------------------------


def test_it_redirects_to_a_link_that_needs_no_key(
    api: APIClient, anonymous: APIClient, export: Export
):
    with statements(control=True) as said:
        response = api.get(url(export.pk))
    assert said == ["SELECT exports_export"]
    assert (response.status_code, response.content) == (302, b"")
    assert response["Location"].startswith("http://testserver/files/")
    assert response["Location"].endswith(f"/{export.pk}.mp4")
    assert response["Cache-Control"] == "no-store"
    with statements(control=True) as said:
        file = anonymous.get(urlsplit(response["Location"]).path)
    assert said == []
    assert (file.status_code, body_of(file)) == (200, CONTENT)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("QUEUED", "export_not_ready"),
        ("RENDERING", "export_not_ready"),
        ("FAILED", "export_not_ready"),
        ("CANCELLED", "export_not_ready"),
        ("EXPIRED", "export_expired"),
    ],
)
def test_what_has_no_file_is_refused(api: APIClient, project: Project, status: str, code: str):
    export = make_export(project, status=status)
    assert_problem(api.get(url(export.pk)), 409, code)


@pytest.mark.parametrize(
    ("after", "status"), [(-MICROSECOND, 302), (0 * MICROSECOND, 409), (MICROSECOND, 409)]
)
def test_no_link_is_made_once_the_retention_has_ended(
    api: APIClient, export: Export, after: datetime.timedelta, status: int
):
    """The file is deleted within the hour; until then the row says READY."""
    assert export.status == "READY"
    assert export.expires_at is not None
    with clocks_at(export.expires_at + after):
        response = api.get(url(export.pk))
    assert response.status_code == status
    if status == 409:
        assert_problem(response, 409, "export_expired")


def test_a_file_without_an_end_has_a_link(api: APIClient, export: Export):
    Export.objects.filter(pk=export.pk).update(expires_at=None)
    assert api.get(url(export.pk)).status_code == 302


@pytest.mark.parametrize("status", ["QUEUED", "RENDERING", "FAILED", "CANCELLED"])
def test_what_never_had_a_file_is_not_said_to_have_expired(
    api: APIClient, project: Project, status: str
):
    export = make_export(project, status=status)
    assert export.expires_at is None
    assert_problem(api.get(url(export.pk)), 409, "export_not_ready")


def test_it_needs_a_key(anonymous: APIClient, export: Export):
    assert_problem(anonymous.get(url(export.pk)), 401, "not_authenticated")


def test_another_organizations_export_is_not_told_from_none(api: APIClient):
    theirs = make_export(status="READY")
    assert_not_told_apart(lambda export_id: api.get(url(export_id)), theirs.pk)


# --- the file -------------------------------------------------------------------------


def test_the_file_comes_as_an_attachment_that_no_cache_shares(
    api: APIClient, anonymous: APIClient, export: Export
):
    response = anonymous.get(link_of(api, export))
    assert response["Content-Type"] == "video/mp4"
    assert response["Content-Length"] == str(len(CONTENT))
    assert response["Content-Disposition"] == f'attachment; filename="{export.pk}.mp4"'
    assert response["Cache-Control"] == "private, max-age=31536000, immutable"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert body_of(response) == CONTENT


@pytest.mark.parametrize(
    ("asked", "given"),
    [("bytes=0-99", (0, 100)), ("bytes=2000-", (2000, 2048)), ("bytes=-48", (2000, 2048))],
)
def test_parts_of_the_file_can_be_asked_for(
    api: APIClient, anonymous: APIClient, export: Export, asked: str, given: tuple[int, int]
):
    first, end = given
    response = anonymous.get(link_of(api, export), HTTP_RANGE=asked)
    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes {first}-{end - 1}/2048"
    assert response["Content-Length"] == str(end - first)
    assert body_of(response) == CONTENT[first:end]


def test_a_range_beyond_the_file_is_refused(api: APIClient, anonymous: APIClient, export: Export):
    response = anonymous.get(link_of(api, export), HTTP_RANGE="bytes=5000-")
    assert (response.status_code, response["Content-Range"]) == (416, "bytes */2048")


def test_a_file_that_the_client_has_is_not_sent_again(
    api: APIClient, anonymous: APIClient, export: Export
):
    link = link_of(api, export)
    whole = anonymous.get(link)
    assert body_of(whole) == CONTENT
    etag = whole["ETag"]
    response = anonymous.get(link, HTTP_IF_NONE_MATCH=etag)
    assert (response.status_code, response.content) == (304, b"")


def test_head_says_what_get_would_send(api: APIClient, anonymous: APIClient, export: Export):
    response = anonymous.head(link_of(api, export))
    assert (response.status_code, response["Content-Length"]) == (200, str(len(CONTENT)))


def test_the_link_ends_after_its_time(
    api: APIClient, anonymous: APIClient, export: Export, settings: Any
):
    settings.DOWNLOAD_URL_SECONDS = 900
    start = timezone.now()
    start = start.replace(microsecond=0)  # a link is signed at a whole second
    with time_machine.travel(start, tick=False) as clock:
        link = link_of(api, export)
        clock.move_to(start + datetime.timedelta(seconds=900))
        assert body_of(anonymous.get(link)) == CONTENT
        clock.move_to(start + datetime.timedelta(seconds=900) + MICROSECOND)
        assert_problem(anonymous.get(link), 403, "link_expired")


def test_a_link_that_we_did_not_sign_is_refused(
    api: APIClient, anonymous: APIClient, export: Export
):
    token = link_of(api, export).split("/")[2]
    forged = signing.dumps(export.file_key, salt="another purpose")
    for bad in (token[:-1] + "~", forged, "x", "%00", "a:b:c"):
        assert_problem(anonymous.get(f"/files/{bad}/clip.mp4"), 403, "link_invalid")


def test_a_link_to_a_file_that_is_gone_says_so(
    api: APIClient, anonymous: APIClient, export: Export
):
    link = link_of(api, export)
    storage.delete(export.file_key)
    assert_problem(anonymous.get(link), 404, "not_found")
    assert anonymous.head(link).status_code == 404


@pytest.mark.parametrize("name", ["a%22b.mp4", "a%0d%0aSet-Cookie:x.mp4", "%00.mp4", "ü.mp4"])
def test_the_name_in_the_link_cannot_add_headers(
    api: APIClient, anonymous: APIClient, export: Export, name: str
):
    token = link_of(api, export).split("/")[2]
    response = anonymous.get(f"/files/{token}/{name}")
    if response.streaming:
        assert body_of(response) == CONTENT
    assert response.status_code in {200, 404}
    assert "Set-Cookie" not in response
