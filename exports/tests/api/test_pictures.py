"""GET /exports/{id}/pictures/{name}, and the signed link that it leads to"""

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
from clipforge.devtools.testing.factories import make_export, make_organization, make_project
from clipforge.orgs.models import Organization
from exports.models import Export
from exports.tasks import expire_exports

pytestmark = pytest.mark.django_db

PICTURES = {
    "poster.jpg": "image/jpeg",
    "poster.webp": "image/webp",
    "strip.jpg": "image/jpeg",
    "strip.vtt": "text/vtt; charset=utf-8",
}


@pytest.fixture
def export(organization: Organization) -> Export:
    made = make_export(make_project(organization), status="READY", content=b"clip")
    for name in PICTURES:
        path = storage.path_of(storage.companion_of(made.file_key, name))
        path.write_bytes(name.encode())
    return made


def url(export: Export, name: str) -> str:
    return f"/api/v1/exports/{export.pk}/pictures/{name}"


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content)


@pytest.mark.parametrize(("name", "kind"), PICTURES.items())
def test_it_redirects_to_a_link_that_needs_no_key(
    api: APIClient, anonymous: APIClient, export: Export, name: str, kind: str
):
    response = api.get(url(export, name))
    assert response.status_code == 302
    link = urlsplit(response["Location"]).path
    assert link.endswith(f"/{name}")
    served = anonymous.get(link)
    assert (served.status_code, served["Content-Type"]) == (200, kind)
    assert body_of(served) == name.encode()


def test_the_cues_lead_to_the_sprite_beside_them(
    api: APIClient, anonymous: APIClient, export: Export
):
    link = urlsplit(api.get(url(export, "strip.vtt"))["Location"]).path
    beside = link.removesuffix("strip.vtt") + "strip.jpg"
    assert body_of(anonymous.get(beside)) == b"strip.jpg"


@pytest.mark.parametrize("name", ["clip.mp4", "poster.png", "..%2F1.mp4"])
def test_no_other_name_leads_anywhere(api: APIClient, export: Export, name: str):
    assert api.get(url(export, name)).status_code == 404


def test_a_link_expires(api: APIClient, anonymous: APIClient, export: Export, settings):
    link = urlsplit(api.get(url(export, "poster.jpg"))["Location"]).path
    later = timezone.now() + datetime.timedelta(seconds=settings.DOWNLOAD_URL_SECONDS + 1)
    with time_machine.travel(later):
        assert_problem(anonymous.get(link), 403, "link_expired")


def test_an_export_that_is_not_ready_has_none(api: APIClient, organization: Organization):
    waiting = make_export(make_project(organization), status="QUEUED")
    assert_problem(api.get(url(waiting, "poster.jpg")), 409, "export_not_ready")


def test_an_older_export_without_pictures_says_so(
    api: APIClient, anonymous: APIClient, organization: Organization
):
    older = make_export(make_project(organization), status="READY", content=b"clip")
    link = urlsplit(api.get(url(older, "poster.jpg"))["Location"]).path
    assert_problem(anonymous.get(link), 404, "not_found")


def test_without_a_key_there_is_no_link(anonymous: APIClient, export: Export):
    assert anonymous.get(url(export, "poster.jpg")).status_code == 401


def test_another_organizations_is_not_there(api: APIClient):
    other = make_export(make_project(make_organization()), status="READY", content=b"clip")
    assert_not_told_apart(
        lambda export_id: api.get(f"/api/v1/exports/{export_id}/pictures/poster.jpg"), other.pk
    )


def test_they_are_deleted_with_the_clip(export: Export):
    folder = storage.path_of(export.file_key).parent
    assert len(list(folder.iterdir())) == 5
    Export.objects.update(expires_at=timezone.now() - datetime.timedelta(seconds=1))
    expire_exports(timestamp=0)
    assert not folder.exists()


def test_what_earlier_attempts_left_goes_and_the_pictures_stay(export: Export):
    left = storage.path_of(export.file_key).with_name("0.poster.jpg")
    left.write_bytes(b"left")
    storage.delete_others(export.file_key)
    assert not left.exists()
    assert len(list(left.parent.iterdir())) == 5
