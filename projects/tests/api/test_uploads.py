"""POST /uploads, and the parts of a file by the tus protocol"""

from __future__ import annotations

import base64
import datetime
import errno
import hashlib
import io
import os
import time
import uuid
from collections import Counter
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from clipforge.common import storage
from clipforge.common.errors import BadRequest
from clipforge.devtools.testing.api import assert_problem, invalid_fields
from clipforge.devtools.testing.clocks import around, refuses
from clipforge.devtools.testing.factories import (
    make_client,
    make_grant,
    make_organization,
    make_tier_limits,
)
from clipforge.devtools.testing.faults import no_file_larger_than
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import Funds, funds, nothing_changes, stored_files
from clipforge.jobs import store_audit
from clipforge.media.signatures import HEAD_BYTES
from clipforge.orgs import stored
from clipforge.orgs.models import Organization
from projects import tasks, uploads
from projects.models import Project, Upload

pytestmark = pytest.mark.django_db

URL = "/api/v1/uploads"
PART = "application/offset+octet-stream"
GIB = 1 << 30


@pytest.fixture
def organization() -> Organization:
    return make_organization(credits_=5)


@pytest.fixture
def video(still: Path) -> bytes:
    """Six seconds, 640x360, with sound: 17 KB."""
    return still.read_bytes()


def begin(api: APIClient, size: int, **body: Any) -> Any:
    return api.post(URL, {"name": "talk.mp4", "size": size, **body}, format="json")


def address(api: APIClient, size: int, **body: Any) -> str:
    response = begin(api, size, **body)
    assert response.status_code == 201, response.json()
    return str(response["Location"])


def send(api: APIClient, url: str, part: bytes, offset: int, **headers: str) -> Any:
    sent = {"HTTP_TUS_RESUMABLE": "1.0.0", "HTTP_UPLOAD_OFFSET": str(offset), **headers}
    return api.generic("PATCH", url, part, content_type=PART, **sent)  # type: ignore[arg-type]


def send_all(api: APIClient, url: str, content: bytes, step: int) -> None:
    for at in range(0, len(content), step):
        assert send(api, url, content[at : at + step], at).status_code == 204


def use(api: APIClient, url: str, **body: Any) -> Any:
    body = {"upload": url.rsplit("/", 1)[-1], **body}
    return api.post("/api/v1/projects", body, format="json")


def checksum(part: bytes, name: str = "sha256") -> str:
    return f"{name} {base64.b64encode(hashlib.new(name, part).digest()).decode()}"


# --- what it becomes ----------------------------------------------------------------------


def test_an_upload_says_how_to_send_it_and_reserves_nothing(
    api: APIClient, organization: Organization, settings: Any
):
    response = begin(api, 734_003_200, sha256="A" * 64)
    assert response.status_code == 201
    upload = Upload.objects.get()
    shown = response.json()
    assert response["Location"] == shown["url"] == f"{URL}/{upload.pk}"
    ends = parsedate_to_datetime(api.get(shown["url"])["Upload-Expires"])
    assert abs((ends - timezone.now()).total_seconds() - 24 * 3600) < 600
    assert shown == {
        "id": str(upload.pk),
        "name": "talk.mp4",
        "size": 734_003_200,
        "sha256": "a" * 64,
        "offset": 0,
        "protocol": "tus",
        "url": f"{URL}/{upload.pk}",
        "part_bytes": 64 * 1024**2,
        "project": None,
        "created_at": shown["created_at"],
        "expires_at": shown["expires_at"],
    }
    assert api.get(shown["url"]).json() == shown
    assert funds(organization) == Funds(available=5, held=0)
    assert stored.usage(organization.pk).bytes == 734_003_200


def test_parts_become_the_project_that_one_request_would_have_made(
    api: APIClient, organization: Organization, video: bytes
):
    url = address(api, len(video), sha256=hashlib.sha256(video).hexdigest())
    send_all(api, url, video, 5000)
    head = api.head(url)
    assert (head["Upload-Offset"], head["Upload-Length"]) == (str(len(video)),) * 2
    assert (head["Cache-Control"], head["Tus-Resumable"]) == ("no-store", "1.0.0")
    assert funds(organization) == Funds(available=5, held=0)
    response = use(api, url, title="My talk", external_id="one", count=3, max_credits=1)
    assert response.status_code == 201
    project = Project.objects.get()
    assert (project.title, project.source_name, project.size) == ("My talk", "talk.mp4", len(video))
    assert (project.duration, project.width, project.wishes) == (6.0, 640, {"count": 3})
    assert project.sha256 == hashlib.sha256(video).hexdigest()
    assert funds(organization) == Funds(available=4, held=1)
    assert storage.path_of(project.source_key).read_bytes() == video
    assert stored.usage(organization.pk).bytes == len(video)
    assert api.get(url).json()["project"] == str(project.pk)


@pytest.mark.django_db(transaction=True)
def test_once_it_is_used_its_own_file_is_gone(api: APIClient, video: bytes):
    url = address(api, len(video))
    send_all(api, url, video, len(video))
    assert use(api, url).status_code == 201
    project = Project.objects.get()
    assert stored_files() == [Path(project.source_key)]
    assert_problem(send(api, url, b"", len(video)), 409, "upload_used")
    assert api.delete(url).status_code == 204
    assert (stored_files(), api.get(url).status_code) == ([Path(project.source_key)], 404)


def test_the_tus_protocol_begins_an_upload_with_headers(api: APIClient):
    name = base64.b64encode("Übung (1).mp4".encode()).decode()
    digest = base64.b64encode(b"b" * 64).decode()
    response = api.post(
        URL,
        HTTP_TUS_RESUMABLE="1.0.0",
        HTTP_UPLOAD_LENGTH="1000",
        HTTP_UPLOAD_METADATA=f"filename {name},sha256 {digest},filetype dmlkZW8vbXA0,empty",
    )
    upload = Upload.objects.get()
    assert (response.status_code, response["Location"]) == (201, f"{URL}/{upload.pk}")
    assert (upload.name, upload.size, upload.sha256) == ("Übung (1).mp4", 1000, "b" * 64)
    assert response["Tus-Resumable"] == "1.0.0"


def test_options_say_what_of_the_protocol_there_is(api: APIClient):
    for url in (URL, address(api, 10)):
        response = api.options(url)
        assert response["Tus-Version"] == "1.0.0"
        assert response["Tus-Extension"] == "creation,termination,checksum,expiration"
        assert response["Tus-Max-Size"] == str(10 * GIB)
        assert response["Tus-Checksum-Algorithm"] == "sha1,sha256,md5"


def test_a_page_of_an_allowed_origin_may_send_and_read_what_the_protocol_says(
    api: APIClient, organization: Organization
):
    asked = {
        "HTTP_ORIGIN": "https://app.example.com",
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PATCH",
    }
    preflight = api.options(URL, **asked)  # type: ignore[arg-type]
    allowed = preflight["Access-Control-Allow-Headers"].split(", ")
    assert {"Tus-Resumable", "Upload-Length", "Upload-Metadata", "Upload-Offset"} <= set(allowed)
    assert {"Upload-Checksum", "Authorization", "Content-Type"} <= set(allowed)
    api.put("/api/v1/origins", {"origins": ["https://app.example.com"]}, format="json")
    read = api.get(address(api, 10), HTTP_ORIGIN="https://app.example.com")
    exposed = read["Access-Control-Expose-Headers"].split(", ")
    assert {"Location", "Upload-Offset", "Upload-Length", "Upload-Expires"} <= set(exposed)
    assert {"Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size"} <= set(exposed)


# --- interruptions ------------------------------------------------------------------------


class Breaking(io.BytesIO):
    """The beginning of a part whose sender goes away."""

    def __init__(self, content: bytes, error: Exception | None = None) -> None:
        super().__init__(content)
        self.error = error

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        if not piece and self.error is not None:
            raise self.error
        return piece


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
def test_what_came_of_a_part_that_broke_off_is_kept(
    organization: Organization, video: bytes, error: Exception | None
):
    upload = uploads.create_upload(org=organization, name="a", size=len(video))
    with pytest.raises(BadRequest if error is None else ConnectionResetError):
        uploads.append(upload, Breaking(video[:5000], error), offset=0, length=len(video))
    upload.refresh_from_db()
    assert upload.received == 5000
    uploads.append(upload, io.BytesIO(video[5000:]), offset=5000, length=len(video) - 5000)
    upload.refresh_from_db()
    assert uploads.digest_of(upload) == hashlib.sha256(video).hexdigest()


def test_what_a_killed_server_wrote_and_did_not_note_is_written_over(
    api: APIClient, organization: Organization, video: bytes
):
    url = address(api, len(video))
    send(api, url, video[:5000], 0)
    with storage.path_of(Upload.objects.get().file_key).open("ab") as file:
        file.write(b"of a part that nobody knows of" * 500)
    assert api.head(url)["Upload-Offset"] == "5000"
    send(api, url, video[5000:], 5000)
    assert use(api, url).json()["size"] == len(video)
    assert Project.objects.get().sha256 == hashlib.sha256(video).hexdigest()


@pytest.mark.parametrize("left", [None, 3000])
def test_what_the_disk_has_lost_is_sent_again(
    api: APIClient, organization: Organization, video: bytes, left: int | None
):
    url = address(api, len(video))
    send(api, url, video[:5000], 0)
    path = storage.path_of(Upload.objects.get().file_key)
    if left is None:
        path.unlink()
    else:
        os.truncate(path, left)
    assert_problem(send(api, url, video[5000:], 5000), 409, "wrong_offset")
    here = left or 0
    assert api.head(url)["Upload-Offset"] == str(here)
    assert send(api, url, video[here:], here).status_code == 204
    assert use(api, url).status_code == 201
    assert Project.objects.get().sha256 == hashlib.sha256(video).hexdigest()


@pytest.mark.parametrize("is_whole", [True, False])
def test_what_the_disk_does_not_take_is_not_said_to_be_here(
    organization: Organization, video: bytes, is_whole: bool, monkeypatch: pytest.MonkeyPatch
):
    def fails(_descriptor: int) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(os, "fdatasync", fails)
    upload = uploads.create_upload(org=organization, name="a", size=len(video))
    sent = io.BytesIO(video if is_whole else video[:5000])
    with pytest.raises(OSError, match="broken"):
        uploads.append(upload, sent, offset=0, length=len(video))
    upload.refresh_from_db()
    assert upload.received == 0


def test_at_ten_gigabytes_the_next_part_begins_where_the_last_one_ended(
    api: APIClient, organization: Organization, video: bytes
):
    """Only the last part is sent; the rest of the file is a hole."""
    make_tier_limits(storage_bytes=11 * GIB)
    url = address(api, 10 * GIB)
    sent = send(api, url, video[:1000], 0)
    upload = Upload.objects.get()
    at = 10 * GIB - 1000
    with storage.path_of(upload.file_key).open("r+b") as file:
        file.truncate(at)
    Upload.objects.update(received=at)
    assert api.head(url)["Upload-Offset"] == str(at)
    sent = send(api, url, b"x" * 1000, at)
    assert (sent.status_code, sent["Upload-Offset"]) == (204, str(10 * GIB))
    assert storage.path_of(upload.file_key).stat().st_size == 10 * GIB
    assert storage.path_of(upload.file_key).stat().st_blocks * 512 < 1 << 20


def test_a_part_at_another_place_is_refused_and_says_where_to_go_on(api: APIClient, video: bytes):
    url = address(api, len(video))
    send(api, url, video[:5000], 0)
    for offset in (0, 4999, 5001):
        assert_problem(send(api, url, b"again", offset), 409, "wrong_offset")
    assert api.head(url)["Upload-Offset"] == "5000"


def test_of_two_who_write_at_once_one_waits_for_nothing(api: APIClient, video: bytes):
    url = address(api, len(video))
    with uploads._locked(Upload.objects.get()):
        refused = send(api, url, video[:5000], 0)
    assert_problem(refused, 423, "upload_locked")
    assert refused["Retry-After"] == "1"
    assert send(api, url, video[:5000], 0).status_code == 204


@pytest.mark.django_db(transaction=True)
def test_of_many_who_send_the_same_part_one_is_taken(organization: Organization, video: bytes):
    clients = [make_client(organization) for _ in range(4)]
    url = address(clients[0], len(video))
    answers = run_together(4, lambda number: send(clients[number], url, video, 0).status_code)
    assert Counter(map(str, answers))["204"] == 1
    assert {str(each) for each in answers} <= {"204", "409", "423"}
    assert uploads.digest_of(Upload.objects.get()) == hashlib.sha256(video).hexdigest()


@pytest.mark.django_db(transaction=True)
def test_of_many_who_use_one_upload_one_makes_a_project(organization: Organization, video: bytes):
    clients = [make_client(organization) for _ in range(3)]
    url = address(clients[0], len(video))
    send_all(clients[0], url, video, len(video))
    answers = run_together(3, lambda number: use(clients[number], url).status_code)
    assert Counter(map(str, answers)) == {"201": 1, "409": 2}
    assert (Project.objects.count(), funds(organization)) == (1, Funds(available=4, held=1))


# --- bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sha1", "sha256", "md5"])
def test_a_part_with_another_checksum_is_not_kept(api: APIClient, video: bytes, name: str):
    url = address(api, len(video))
    damaged = send(api, url, b"damaged" * 100, 0, HTTP_UPLOAD_CHECKSUM=checksum(video, name))
    assert_problem(damaged, 460, "checksum_mismatch")
    assert api.head(url)["Upload-Offset"] == "0"
    whole = send(api, url, video, 0, HTTP_UPLOAD_CHECKSUM=checksum(video, name))
    assert (whole.status_code, whole["Upload-Offset"]) == (204, str(len(video)))


def test_a_part_that_broke_off_and_has_a_checksum_is_not_kept(
    organization: Organization, video: bytes
):
    upload = uploads.create_upload(org=organization, name="a", size=len(video))
    known = uploads.Checksum("sha256", hashlib.sha256(video).digest())
    with pytest.raises(BadRequest):
        uploads.append(upload, Breaking(video[:5000]), offset=0, length=len(video), checksum=known)
    upload.refresh_from_db()
    assert upload.received == 0


def test_a_digest_that_lies_ends_the_upload(
    api: APIClient, organization: Organization, video: bytes
):
    url = address(api, len(video), sha256="0" * 64)
    send_all(api, url, video, len(video))
    refused = assert_problem(use(api, url), 422, "digest_mismatch")
    assert refused["received"] == hashlib.sha256(video).hexdigest()
    assert (Upload.objects.count(), stored.usage(organization.pk).bytes) == (0, 0)
    assert funds(organization) == Funds(available=5, held=0)


def test_a_size_that_lies_is_refused_at_its_edge(api: APIClient, video: bytes):
    url = address(api, len(video) - 1)
    assert_problem(send(api, url, video, 0), 413, "upload_too_long")
    assert send(api, url, video[:-1], 0).status_code == 204
    assert_problem(send(api, url, b"x", len(video) - 1), 413, "upload_too_long")


def test_one_with_parts_missing_makes_no_project(api: APIClient, video: bytes):
    url = address(api, len(video))
    send(api, url, video[:-1], 0)
    with nothing_changes():
        assert_problem(use(api, url), 409, "upload_incomplete")
    send(api, url, video[-1:], len(video) - 1)
    assert use(api, url).status_code == 201


@pytest.mark.parametrize("step", [16_384, HEAD_BYTES, HEAD_BYTES + 5])
def test_what_is_no_video_ends_with_its_first_64_kib(
    api: APIClient, organization: Organization, step: int
):
    picture = b"GIF89a and no video" * 4000
    url = address(api, GIB)
    answers = []
    for at in range(0, len(picture), step):
        answers.append(send(api, url, picture[at : at + step], at))
        if answers[-1].status_code != 204:
            break
    assert_problem(answers[-1], 415, "not_a_video")
    assert len(answers) == -(-HEAD_BYTES // step)
    assert (Upload.objects.count(), stored.usage(organization.pk).bytes) == (0, 0)


def test_a_short_one_that_is_no_video_ends_with_its_last_part(api: APIClient):
    url = address(api, 10)
    assert_problem(send(api, url, b"not at all", 0), 415, "not_a_video")
    assert_problem(send(api, url, b"", 0), 404, "not_found")


def test_one_that_the_probe_takes_for_no_video_is_removed(
    api: APIClient, organization: Organization
):
    rubbish = b"\x00\x00\x00\x18ftypisom" + bytes(2000)
    url = address(api, len(rubbish))
    send_all(api, url, rubbish, len(rubbish))
    assert_problem(use(api, url), 415, "not_a_video")
    assert (Upload.objects.count(), Project.objects.count()) == (0, 0)


def test_one_that_is_too_long_or_too_dear_stays_to_be_used_later(
    api: APIClient, organization: Organization, video: bytes
):
    url = address(api, len(video))
    send_all(api, url, video, len(video))
    make_tier_limits(max_source_seconds=5)
    assert_problem(use(api, url), 422, "too_long")
    make_tier_limits(max_source_seconds=600)
    assert_problem(use(api, url, max_credits=0), 409, "max_credits_exceeded")
    assert_problem(use(api, url, range=[7.0, 9.0]), 422, "bad_range")
    assert (Project.objects.count(), stored.usage(organization.pk).bytes) == (0, len(video))
    assert use(api, url).status_code == 201


def test_its_digest_is_computed_once(api: APIClient, organization: Organization, video: bytes):
    url = address(api, len(video))
    send_all(api, url, video, len(video))
    digest = hashlib.sha256(video).hexdigest()
    assert uploads.digest_of(Upload.objects.get()) == digest
    storage.path_of(Upload.objects.get().file_key).write_bytes(video[::-1])
    assert uploads.digest_of(Upload.objects.get()) == digest
    assert api.get(url).json()["sha256"] == digest


def test_without_credits_it_stays_and_a_grant_lets_it_be_used(video: bytes):
    poor = make_organization(name="Poor")
    api = make_client(poor)
    url = address(api, len(video))
    send_all(api, url, video, len(video))
    assert_problem(use(api, url), 402, "insufficient_credits")
    make_grant(poor, 1)
    assert use(api, url).status_code == 201


def test_the_same_key_makes_one_project_and_answers_again(
    api: APIClient, organization: Organization, video: bytes
):
    url = address(api, len(video))
    send_all(api, url, video, len(video))
    body = {"upload": url.rsplit("/", 1)[-1]}
    answers = [
        api.post("/api/v1/projects", body, format="json", HTTP_IDEMPOTENCY_KEY="k")
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert answers[1]["Idempotent-Replayed"] == "true"
    refused = assert_problem(use(api, url), 409, "upload_used")
    assert refused["existing"] == answers[0].json()["id"]
    assert funds(organization) == Funds(available=4, held=1)


def test_another_organizations_upload_is_not_there(api: APIClient, video: bytes):
    url = address(api, len(video))
    stranger = make_client(make_organization(name="Stranger", credits_=5))
    for answer in (
        stranger.get(url),
        send(stranger, url, video, 0),
        stranger.delete(url),
        use(stranger, url),
    ):
        assert_problem(answer, 404, "not_found")
    assert stranger.head(url).status_code == 404
    assert (Upload.objects.get().received, stored_files()) == (0, [])
    nowhere = f"{URL}/{uuid.uuid4()}"
    assert_problem(api.get(nowhere), 404, "not_found")
    assert_problem(use(api, nowhere), 404, "not_found")


def test_nobody_sends_without_a_key(anonymous: APIClient, api: APIClient):
    url = address(api, 10)
    for answer in (begin(anonymous, 10), send(anonymous, url, b"x", 0), anonymous.get(url)):
        assert_problem(answer, 401, "not_authenticated")


def test_names_are_shown_without_folders_and_without_what_turns_a_text(api: APIClient):
    shown = begin(api, 10, name="C:\\videos\\gpj\u202e4pm.exe\n").json()
    assert shown["name"] == "gpj4pm.exe"
    assert invalid_fields(begin(api, 10, name="n" * 256)) == {"/name"}
    assert_problem(begin(api, 10, name="a\0b"), 400, "malformed_request")
    assert len(begin(api, 10, name="n" * 255).json()["name"]) == 255


def test_what_cannot_be_sent_is_refused_at_once(
    api: APIClient, organization: Organization, settings: Any
):
    settings.MAX_UPLOAD_BYTES = 1000
    with nothing_changes():
        assert_problem(begin(api, 1001), 413, "too_large")
        assert invalid_fields(begin(api, 0)) == {"/size"}
        assert invalid_fields(begin(api, 1, sha256="xyz")) == {"/sha256"}
        assert_problem(begin(api, 1, reserve=True), 422, "unknown_field")
        make_tier_limits(storage_bytes=999)
        assert_problem(begin(api, 1000), 507, "storage_limit_reached")
    assert begin(api, 999).status_code == 201
    assert_problem(begin(api, 1), 507, "storage_limit_reached")


@pytest.mark.django_db(transaction=True)
def test_of_many_that_begin_at_once_the_tier_takes_as_many_as_fit(organization: Organization):
    make_tier_limits(storage_bytes=3000)
    clients = [make_client(organization) for _ in range(5)]
    answers = run_together(5, lambda number: begin(clients[number], 1000).status_code)
    assert Counter(map(str, answers)) == {"201": 3, "507": 2}
    assert stored.usage(organization.pk).bytes == 3000


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"HTTP_TUS_RESUMABLE": "0.2.2"}, 412, "tus_version"),
        ({"HTTP_UPLOAD_OFFSET": "-1"}, 422, "invalid_header"),
        ({"HTTP_UPLOAD_OFFSET": "1e3"}, 422, "invalid_header"),
        ({"HTTP_UPLOAD_OFFSET": "9" * 17}, 422, "invalid_header"),
        ({"HTTP_UPLOAD_CHECKSUM": "crc32 AAAA"}, 422, "invalid_header"),
        ({"HTTP_UPLOAD_CHECKSUM": "sha1 AAAA"}, 422, "invalid_header"),
        ({"HTTP_UPLOAD_CHECKSUM": "sha1 ?"}, 422, "invalid_header"),
    ],
)
def test_a_header_that_cannot_be_read_is_named(
    api: APIClient, headers: dict[str, str], status: int, code: str
):
    url = address(api, 10)
    assert_problem(send(api, url, b"x", 0, **headers), status, code)
    assert (Upload.objects.get().received, stored_files()) == (0, [])


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_UPLOAD_LENGTH": "x"},
        {},
        {"HTTP_UPLOAD_LENGTH": "9", "HTTP_UPLOAD_METADATA": "filename ???"},
        {"HTTP_UPLOAD_LENGTH": "9", "HTTP_UPLOAD_METADATA": "filename AAAA"},
        {"HTTP_UPLOAD_LENGTH": "9", "HTTP_UPLOAD_METADATA": "x" * 4097},
    ],
)
def test_an_upload_of_the_protocol_that_cannot_be_read_is_not_begun(
    api: APIClient, headers: dict[str, str]
):
    with nothing_changes():
        refused = api.post(URL, HTTP_TUS_RESUMABLE="1.0.0", **headers)  # type: ignore[arg-type]
        assert_problem(refused, 422, "invalid_header")


def test_a_part_is_as_large_as_is_said_at_most(api: APIClient, settings: Any, video: bytes):
    settings.UPLOAD_PART_BYTES = 1000
    url = address(api, len(video))
    refused = assert_problem(send(api, url, video[:1001], 0), 413, "too_large")
    assert refused["limit"] == 1000
    assert send(api, url, video[:1000], 0).status_code == 204
    assert_problem(
        api.patch(url, {}, format="json", HTTP_TUS_RESUMABLE="1.0.0"), 415, "unsupported_media_type"
    )


def test_a_disk_that_is_full_refuses_the_part_and_keeps_what_fitted(api: APIClient, video: bytes):
    url = address(api, len(video))
    with no_file_larger_than(5000):
        assert_problem(send(api, url, video, 0), 507, "storage_full")
    head = api.head(url)
    assert int(head["Upload-Offset"]) <= 5000
    send(api, url, video[int(head["Upload-Offset"]) :], int(head["Upload-Offset"]))
    assert use(api, url).status_code == 201


# --- the end ------------------------------------------------------------------------------


def expire(moment: datetime.timedelta = datetime.timedelta(seconds=-1)) -> None:
    Upload.objects.update(expires_at=timezone.now() + moment)


def test_one_that_is_not_finished_in_time_is_gone_and_its_room_is_free(
    api: APIClient, organization: Organization, video: bytes
):
    url = address(api, len(video))
    send(api, url, video[:5000], 0)
    expire()
    for answer in (api.get(url), send(api, url, video[5000:], 5000), use(api, url)):
        assert_problem(answer, 410, "upload_expired")
    assert stored.usage(organization.pk).bytes == len(video)
    tasks.expire_uploads(0)
    assert (Upload.objects.count(), stored_files()) == (0, [])
    assert stored.usage(organization.pk).bytes == 0


def test_an_upload_is_gone_from_its_end_on(api: APIClient, organization: Organization):
    upload = uploads.create_upload(org=organization, name="a", size=10)
    answers = around(
        upload.expires_at, lambda: refuses(lambda: uploads.get_upload(organization, upload.pk))
    )
    assert answers == [False, True, True]


def test_it_is_removed_after_its_end(organization: Organization):
    upload = uploads.create_upload(org=organization, name="a", size=10)
    assert around(upload.expires_at, uploads.remove_expired) == [0, 0, 1]


def test_each_part_gives_it_a_day_more(api: APIClient, video: bytes):
    url = address(api, len(video))
    expire(datetime.timedelta(seconds=30))
    send(api, url, video[:5000], 0)
    left = Upload.objects.get().expires_at - timezone.now()
    assert datetime.timedelta(hours=23) < left <= datetime.timedelta(hours=24)
    tasks.expire_uploads(0)
    assert Upload.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_that_cannot_be_removed_holds_up_no_other(api: APIClient, organization: Organization):
    first, second = (address(api, 10) for _ in range(2))
    send(api, first, b"\x00\x00\x00\x18f", 0)
    stuck = storage.path_of(Upload.objects.order_by("pk")[0].file_key)
    stuck.unlink()
    stuck.mkdir()
    expire()
    tasks.expire_uploads(0)
    assert [f"{URL}/{each.pk}" for each in Upload.objects.all()] == [first]
    stuck.rmdir()
    tasks.expire_uploads(0)
    assert (Upload.objects.count(), second != first) == (0, True)


def test_a_folder_without_a_row_is_removed_after_a_day(api: APIClient, video: bytes):
    url = address(api, len(video))
    send(api, url, video, 0)
    Upload.objects.all()._raw_delete("default")
    assert uploads.remove_orphans(time.time()) == 0
    assert uploads.remove_orphans(time.time() + 25 * 3600) == 1
    assert stored_files() == []


@pytest.mark.django_db(transaction=True)
def test_one_that_is_given_up_leaves_nothing(
    api: APIClient, organization: Organization, video: bytes
):
    url = address(api, len(video))
    send(api, url, video[:5000], 0)
    assert api.delete(url).status_code == 204
    assert (Upload.objects.count(), stored_files()) == (0, [])
    assert stored.usage(organization.pk).bytes == 0
    assert_problem(api.delete(url), 404, "not_found")


def test_the_audit_of_the_store_adds_uploads_up(
    api: APIClient, organization: Organization, video: bytes
):
    send(api, address(api, len(video)), video[:5000], 0)
    problems = {each.problem for each in store_audit.findings(now=time.time())}
    assert store_audit.WRONG_SUM not in problems
