"""GET, PUT and DELETE /watermark, and the option of exports"""

from __future__ import annotations

import struct
import time
import zlib
from pathlib import Path
from typing import Any

import av
import pytest
from procrastinate.contrib.django import app
from rest_framework.test import APIClient

from clipforge.audit.models import AuditEntry
from clipforge.common import storage
from clipforge.common.storage.stores import SCRATCH
from clipforge.devtools.testing.api import assert_problem, invalid_fields
from clipforge.devtools.testing.buckets import Bucket
from clipforge.devtools.testing.factories import (
    make_client,
    make_organization,
    make_project,
    make_tier_limits,
)
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import Funds, funds, nothing_changes, stored_files
from clipforge.jobs import registry, store_audit
from clipforge.media.captions.ass import Frame
from clipforge.orgs.models import Organization, TierLimits
from exports import watermarks
from exports.api.watermark import MAX_IMAGE_BYTES
from exports.models import Export, Watermark
from projects.models import Project

pytestmark = pytest.mark.django_db

URL = "/api/v1/watermark"


def png(width: int = 64, height: int = 32, shade: int = 255) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    body = zlib.compress((b"\0" + bytes([shade, shade, shade, 255]) * width) * height)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def put(api: APIClient, image: bytes, kind: str = "image/png") -> Any:
    return api.put(URL, data=image, content_type=kind)


@pytest.fixture
def organization() -> Organization:
    return make_organization(tier="BUSINESS", credits_=10)


@pytest.fixture
def api(organization: Organization) -> APIClient:
    return make_client(organization)


# --- the image ------------------------------------------------------------------------


def test_it_is_kept_as_it_was_written_anew(
    api: APIClient, organization: Organization, django_capture_on_commit_callbacks: Any
):
    with django_capture_on_commit_callbacks(execute=True):
        answer = put(api, png() + b"<script>")
    assert answer.status_code == 200, answer.content
    row = Watermark.objects.get(org=organization)
    content = storage.path_of(row.file_key).read_bytes()
    assert b"script" not in content
    body = answer.json()
    assert (body["id"], body["width"], body["height"]) == (str(row.pk), 64, 32)
    assert (body["size"], body["sha256"]) == (len(content), row.sha256)
    assert api.get(URL).json() == body
    again = api.get(URL, headers={"If-None-Match": api.get(URL)["ETag"]})
    assert again.status_code == 304
    assert [str(path) for path in stored_files()] == [
        f"{organization.pk}/watermarks/{row.pk}/image.png"
    ]


def test_another_takes_its_place_and_its_file(
    api: APIClient, organization: Organization, django_capture_on_commit_callbacks: Any
):
    with django_capture_on_commit_callbacks(execute=True):
        first = put(api, png()).json()
        second = put(api, png(shade=9)).json()
    assert first["id"] != second["id"]
    assert len(stored_files()) == 1
    rows = AuditEntry.objects.filter(org_id=organization.pk, object_type="exports.watermark")
    assert [(row.verb, row.before, row.after) for row in rows.order_by("pk")] == [
        ("add", {}, {"sha256": first["sha256"]}),
        ("change", {"sha256": first["sha256"]}, {"sha256": second["sha256"]}),
    ]


def test_it_can_be_removed_once(
    api: APIClient, organization: Organization, django_capture_on_commit_callbacks: Any
):
    with django_capture_on_commit_callbacks(execute=True):
        put(api, png())
        assert api.delete(URL).status_code == 204
    assert stored_files() == []
    assert_problem(api.get(URL), 404, "not_found")
    assert_problem(api.delete(URL), 404, "not_found")
    assert AuditEntry.objects.filter(verb="delete", org_id=organization.pk).count() == 1


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (b"", "image/png"),
        (b"no image", "image/png"),
        (b"GIF89a\x01\0\x01\0\0\0\0;", "image/png"),
        (png()[:40], "image/webp"),
        (png(4, 4), "image/png"),
    ],
    ids=["empty", "text", "gif", "cut off", "dot"],
)
def test_what_is_no_image_changes_nothing(api: APIClient, image: bytes, kind: str):
    put(api, png())
    with nothing_changes():
        assert_problem(put(api, image, kind), 415, "not_an_image")


def test_a_body_of_another_kind_is_refused(api: APIClient):
    for kind in ("application/json", "image/svg+xml", "multipart/form-data; boundary=x"):
        assert put(api, png(), kind).status_code == 415


def test_the_limit_is_of_bytes(api: APIClient):
    padded = png() + b"\0" * (MAX_IMAGE_BYTES - len(png()))
    assert put(api, padded).status_code == 200
    problem = assert_problem(put(api, padded + b"\0"), 413, "too_large")
    assert problem["limit"] == MAX_IMAGE_BYTES


def test_a_tier_without_watermarks_is_refused():
    free = make_organization(tier="FREE")
    with nothing_changes():
        assert_problem(put(make_client(free), png()), 403, "watermark_not_in_tier")


@pytest.mark.parametrize(
    ("tier", "allowed"),
    [("FREE", False), ("STARTER", False), ("PRO", True), ("BUSINESS", True), ("ENTERPRISE", True)],
)
def test_tiers_from_pro_on_have_them(tier: str, allowed: bool):
    assert TierLimits.objects.get(tier=tier).watermark is allowed


def test_each_organization_has_its_own(api: APIClient):
    put(api, png())
    other = make_client(make_organization(tier="PRO"))
    assert other.get(URL).status_code == other.delete(URL).status_code == 404
    assert api.get(URL).status_code == 200


def test_without_a_key_there_is_none(anonymous: APIClient):
    for call in (anonymous.get, anonymous.delete):
        assert call(URL).status_code == 401
    assert put(anonymous, png()).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_one_is_left_with_its_file():
    make_tier_limits()
    organization = make_organization(tier="PRO")
    images = iter([png(shade=1), png(shade=2)])

    def call(_number: int) -> int:
        return int(put(make_client(organization), next(images)).status_code)

    assert run_together(2, call) == [200, 200]
    row = Watermark.objects.get(org=organization)
    assert [path.parent.name for path in stored_files()] == [str(row.pk)]


def test_a_third_at_once_is_told_to_come_again(api: APIClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watermarks, "PATIENCE", 0)
    with watermarks._turn():
        assert put(api, png()).status_code == 200
        with watermarks._turn(), nothing_changes():
            problem = put(api, png())
    assert_problem(problem, 503, "watermarks_busy")
    assert problem["Retry-After"] == "5"
    assert put(api, png()).status_code == 200


def test_files_without_a_row_are_swept_up(api: APIClient, monkeypatch: pytest.MonkeyPatch):
    put(api, png())
    kept = Watermark.objects.get()
    left = storage.path_of(f"{kept.org_id}/watermarks/{kept.org_id}/image.png")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"left")
    app.tasks["exports.watermarks.remove_orphans"](timestamp=0)
    assert left.exists()
    monkeypatch.setattr(registry, "ORPHAN_SECONDS", -1)
    app.tasks["exports.watermarks.remove_orphans"](timestamp=0)
    assert not left.exists()
    assert storage.path_of(kept.file_key).is_file()


def test_the_audit_of_the_store_compares_them_with_their_rows(api: APIClient):
    put(api, png())
    row = Watermark.objects.get()
    tomorrow = time.time() + 2 * registry.ORPHAN_SECONDS
    assert list(store_audit.findings(now=tomorrow)) == []
    file = storage.path_of(row.file_key)
    lost = storage.path_of(f"{row.org_id}/watermarks/{row.org_id}/image.png")
    lost.parent.mkdir(parents=True)
    file.rename(lost)
    assert list(store_audit.findings(now=tomorrow)) == [
        (store_audit.FILE_WITHOUT_ROW, f"{row.org_id}/watermarks/{row.org_id}/image.png", ""),
        (store_audit.ROW_WITHOUT_FILE, f"watermark {row.pk}", row.file_key),
    ]


# --- the option of exports ------------------------------------------------------------


@pytest.fixture
def project(organization: Organization, talk: Path) -> Project:
    return make_project(organization, source=talk, duration=30.0)


def order(api: APIClient, project: Project, watermark: Any) -> Any:
    body = {"project": str(project.pk), "start": 5, "end": 7, "resolution": 480}
    return api.post("/api/v1/exports", {**body, "watermark": watermark})


def test_a_clip_has_it_for_nothing_more(
    api: APIClient, organization: Organization, project: Project
):
    put(api, png())
    answer = order(api, project, {"position": "bottom-left", "opacity": 1, "size": 0.3})
    assert answer.status_code == 201, answer.content
    assert answer.json()["watermark"] == {"position": "bottom-left", "opacity": 1.0, "size": 0.3}
    assert funds(organization) == Funds(available=9, held=1)
    export = Export.objects.get()
    app.tasks["exports.render"](export_id=str(export.pk), fence=export.fence)
    export.refresh_from_db()
    assert (export.status, export.error_code) == ("READY", "")


def test_in_a_bucket_it_is_put_drawn_replaced_and_removed(
    api: APIClient,
    bucket: Bucket,
    organization: Organization,
    still: Path,
    django_capture_on_commit_callbacks: Any,
):
    project = make_project(organization, source=still, duration=6.0)
    at_first = set(bucket.names())
    with django_capture_on_commit_callbacks(execute=True):
        first = put(api, png()).json()
    key = f"{organization.pk}/watermarks/{first['id']}/image.png"
    assert set(bucket.names()) - at_first == {key}
    body = {"project": str(project.pk), "start": 1, "end": 3, "aspect": "1:1", "resolution": 480}
    style = {"position": "bottom-left", "opacity": 1, "size": 0.3}
    assert api.post("/api/v1/exports", {**body, "watermark": style}).status_code == 201
    export = Export.objects.get()
    app.tasks["exports.render"](export_id=str(export.pk), fence=export.fence)
    export.refresh_from_db()
    assert (export.status, export.error_code) == ("READY", "")
    with storage.local_copy(export.file_key) as clip, av.open(str(clip)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="gray")
    margins = Frame(480, 480).margins
    left, bottom = round(margins.side * 480 / 2), 480 - round(margins.bottom * 480)
    assert picture[bottom - 70 : bottom - 2, left + 2 : left + 142].min() > 225
    assert picture[bottom - 70 : bottom - 2, left + 150 : left + 290].min() < 200
    with django_capture_on_commit_callbacks(execute=True):
        second = put(api, png(shade=9)).json()
    assert [name for name in bucket.names() if "/watermarks/" in name] == [
        f"{organization.pk}/watermarks/{second['id']}/image.png"
    ]
    with django_capture_on_commit_callbacks(execute=True):
        assert api.delete(URL).status_code == 204
    assert [name for name in bucket.names() if "/watermarks/" in name] == []
    assert [path for path in stored_files() if path.parts[0] != SCRATCH] == []  # copies, not of it


def test_what_is_left_out_is_as_usual_and_null_is_none(api: APIClient, project: Project):
    put(api, png())
    usual = order(api, project, {}).json()["watermark"]
    assert usual == {"position": "top-right", "opacity": 0.8, "size": 0.15}
    assert order(api, project, None).json()["watermark"] is None


def test_one_with_another_image_is_no_twin(api: APIClient, project: Project):
    put(api, png())
    first = order(api, project, {}).json()
    assert order(api, project, {}).json()["duplicate_of"] == first["id"]
    put(api, png(shade=7))
    assert order(api, project, {}).json()["duplicate_of"] is None


@pytest.mark.parametrize(
    ("style", "field"),
    [
        ({"position": "middle"}, "position"),
        ({"opacity": 0.09}, "opacity"),
        ({"opacity": 1.01}, "opacity"),
        ({"size": 0.04}, "size"),
        ({"size": 0.31}, "size"),
    ],
)
def test_a_style_beyond_the_limits_is_refused(
    api: APIClient, project: Project, style: dict[str, Any], field: str
):
    put(api, png())
    with nothing_changes():
        answer = order(api, project, style)
    assert answer.status_code == 422
    assert any(field in name for name in invalid_fields(answer))


@pytest.mark.parametrize("style", [{"opacity": 0.1, "size": 0.05}, {"opacity": 1, "size": 0.3}])
def test_the_limits_themselves_are_accepted(
    api: APIClient, project: Project, style: dict[str, Any]
):
    put(api, png())
    assert order(api, project, style).status_code == 201


def test_without_an_image_nothing_is_reserved(api: APIClient, project: Project):
    with nothing_changes():
        assert_problem(order(api, project, {}), 422, "no_watermark")


def test_a_tier_that_was_lowered_has_none(api: APIClient, project: Project):
    put(api, png())
    make_tier_limits(watermark=False)
    with nothing_changes():
        assert_problem(order(api, project, {}), 403, "watermark_not_in_tier")


def test_one_that_was_removed_before_the_render_fails_the_clip_and_costs_nothing(
    api: APIClient, organization: Organization, project: Project
):
    put(api, png())
    order(api, project, {})
    api.delete(URL)
    export = Export.objects.get()
    app.tasks["exports.render"](export_id=str(export.pk), fence=export.fence)
    export.refresh_from_db()
    assert (export.status, export.error_code) == ("FAILED", "watermark_missing")
    assert funds(organization) == Funds(available=10, held=0)
