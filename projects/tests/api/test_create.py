"""POST /projects"""

from __future__ import annotations

import base64
import datetime
import hashlib
import io
import os
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from procrastinate.contrib.django import app
from rest_framework.test import APIClient

from clipforge.common import storage
from clipforge.devtools.testing.api import assert_problem, invalid_fields
from clipforge.devtools.testing.factories import (
    make_client,
    make_grant,
    make_organization,
    make_tier_limits,
)
from clipforge.devtools.testing.faults import no_file_larger_than
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import Funds, funds, jobs_of, nothing_changes, stored_files
from clipforge.media import ffmpeg
from clipforge.media.tests.samples import AAC, H264, make_video, run_ffmpeg
from clipforge.orgs import stored
from clipforge.orgs.models import IdempotencyRecord, Organization
from credits.models import CreditHold
from projects.models import Project

pytestmark = pytest.mark.django_db

URL = "/api/v1/projects"
HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)


def stamp(time: datetime.datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


@pytest.fixture
def organization() -> Organization:
    return make_organization(credits_=5)


@pytest.fixture
def video(still: Path) -> bytes:
    """Six seconds, 640x360, with sound."""
    return still.read_bytes()


def upload(api: APIClient, content: bytes, name: str = "talk.mp4", **fields: Any) -> Any:
    headers = {key: fields.pop(key) for key in list(fields) if key.startswith("HTTP_")}
    form = {"file": SimpleUploadedFile(name, content), **fields}
    return api.post(URL, form, format="multipart", **headers)


# --- what an upload becomes -----------------------------------------------------------


def test_an_upload_becomes_a_queued_project_with_its_price_reserved(
    api: APIClient, organization: Organization, video: bytes
):
    response = upload(api, video, title="My talk")
    assert response.status_code == 201
    project = Project.objects.get()
    assert response["Location"] == f"/api/v1/projects/{project.pk}"
    assert project.expires_at is not None
    assert response.json() == {
        "id": str(project.pk),
        "title": "My talk",
        "external_id": None,
        "metadata": {},
        "status": "QUEUED",
        "stage": None,
        "progress": 0,
        "queue_position": 1,
        "expected_start_at": None,
        "error": None,
        "credits": {"reserved": 1, "charged": 0},
        "source_name": "talk.mp4",
        "size": len(video),
        "duration": 6.0,
        "width": 640,
        "height": 360,
        "has_audio": True,
        "audio_track": None,
        "warnings": [],
        "attempts": 0,
        "created_at": project.created_at.isoformat().replace("+00:00", "Z"),
        "updated_at": project.updated_at.isoformat().replace("+00:00", "Z"),
        "queued_at": response.json()["queued_at"],
        "started_at": None,
        "finished_at": None,
        "expires_at": stamp(project.expires_at),
    }
    assert 60 * DAY - HOUR < project.expires_at - project.created_at <= 60 * DAY
    assert response.json() == api.get(response["Location"]).json()
    assert jobs_of(project) == [0]
    assert funds(organization) == Funds(available=4, held=1)
    hold = CreditHold.objects.get()
    assert (hold.reason, hold.actor[:4]) == ("Analysis of My talk", "key:")
    assert hold.inputs == {"item": "analysis_per_source_minute", "seconds": 6.0, "minutes": 1}


def test_the_file_is_stored_whole_under_a_key_of_our_own(
    api: APIClient, organization: Organization, video: bytes
):
    upload(api, video, name="../../../etc/passwd.mp4")
    project = Project.objects.get()
    assert stored_files() == [Path(f"{organization.pk}/projects/{project.pk}/source")]
    assert storage.path_of(project.source_key).read_bytes() == video
    assert project.sha256 == hashlib.sha256(video).hexdigest()
    assert (project.source_name, project.title) == ("passwd.mp4", "passwd")


@pytest.mark.parametrize(
    ("name", "title", "expected"),
    [
        ("A day.at the sea.mov", "", "A day.at the sea"),
        ("talk.mp4", "Ünïcödé ✂", "Ünïcödé ✂"),
        ("talk.mp4", "x" * 200, "x" * 200),
        ("x" * 300 + ".mp4", "", "x" * 200),
    ],
)
def test_the_title_is_what_was_given_or_the_name_of_the_file(
    api: APIClient, video: bytes, name: str, title: str, expected: str
):
    response = upload(api, video, name=name, title=title)
    assert (response.status_code, response.json()["title"]) == (201, expected)


def test_an_upload_is_five_statements(api: APIClient, video: bytes):
    with statements() as said:
        assert upload(api, video, HTTP_IDEMPOTENCY_KEY="k").status_code == 201
    assert said == [
        "SELECT orgs_storageusage",  # before it is read, and not cached
        "SELECT orgs_claim_key",
        "SELECT jobs_submit",  # hold, account and lots, the row, its turn, its task
        "SELECT orgs_settle_storage",  # what is stored now, for the limit of the tier
        "INSERT orgs_idempotencyrecord",
    ]


# --- who may, and who pays ------------------------------------------------------------


def test_without_a_key_nothing_is_read_or_stored(anonymous: APIClient, video: bytes):
    with nothing_changes():
        assert_problem(upload(anonymous, video), 401, "not_authenticated")


def test_without_credits_nothing_is_stored(client_of: Callable[..., APIClient], video: bytes):
    api = client_of(make_organization())
    with nothing_changes():
        body = assert_problem(upload(api, video), 402, "insufficient_credits")
    assert (body["needed"], body["available"]) == (1, 0)


# --- the same request again -----------------------------------------------------------


def test_the_same_key_and_file_replays_the_first_answer(
    api: APIClient, organization: Organization, video: bytes
):
    first = upload(api, video, title="Talk", HTTP_IDEMPOTENCY_KEY="k-1")
    with nothing_changes():
        second = upload(api, video, title="Talk", HTTP_IDEMPOTENCY_KEY="k-1")
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert second["Location"] == first["Location"]
    assert "Idempotent-Replayed" not in first
    assert second["Idempotent-Replayed"] == "true"
    assert funds(organization) == Funds(available=4, held=1)


def test_the_same_key_for_something_else_is_refused(api: APIClient, video: bytes, talk: Path):
    assert upload(api, video, HTTP_IDEMPOTENCY_KEY="k").status_code == 201
    others: list[dict[str, Any]] = [
        {"content": talk.read_bytes()},
        {"content": video, "title": "Another"},
        {"content": video, "name": "another.mp4"},
    ]
    with nothing_changes():
        for other in others:
            response = upload(api, HTTP_IDEMPOTENCY_KEY="k", **other)
            assert_problem(response, 422, "idempotency_key_reused")


def test_another_organization_may_use_the_same_key(
    api: APIClient, client_of: Callable[..., APIClient], video: bytes
):
    other = client_of(make_organization(credits_=5))
    first = upload(api, video, HTTP_IDEMPOTENCY_KEY="k")
    second = upload(other, video, HTTP_IDEMPOTENCY_KEY="k")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]


def test_a_refusal_is_not_remembered(client_of: Callable[..., APIClient], video: bytes):
    org = make_organization()
    api = client_of(org)
    assert upload(api, video, HTTP_IDEMPOTENCY_KEY="k").status_code == 402
    assert not IdempotencyRecord.objects.exists()
    make_grant(org, 1)
    assert upload(api, video, HTTP_IDEMPOTENCY_KEY="k").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "schlüssel", "tab\there"])
def test_a_key_that_cannot_be_one_is_refused(api: APIClient, video: bytes, key: str):
    with nothing_changes():
        response = upload(api, video, HTTP_IDEMPOTENCY_KEY=key)
        assert_problem(response, 422, "invalid_idempotency_key")


@pytest.mark.django_db(transaction=True)
def test_two_uploads_at_once_with_one_key_make_one_project(
    client_of: Callable[..., APIClient], video: bytes
):
    make_tier_limits()
    org = make_organization(credits_=5)
    clients = [client_of(org) for _ in range(3)]
    responses: list[Any] = run_together(
        3, lambda number: upload(clients[number], video, HTTP_IDEMPOTENCY_KEY="k")
    )
    codes = Counter(getattr(response, "status_code", response) for response in responses)
    assert set(codes) <= {201, 409}, codes
    bodies = {r.content for r in responses if r.status_code == 201}
    assert len(bodies) == Project.objects.count() == 1
    assert funds(org) == Funds(available=4, held=1)
    assert len(stored_files()) == 1


# --- what the moments should be like ---------------------------------------------------


def test_wishes_come_with_the_upload_and_are_kept(api: APIClient, video: bytes):
    wishes: dict[str, Any] = {
        "count": "5",
        "min_seconds": "10",
        "max_seconds": "45.5",
        "range": ["1", "5"],
        "keywords": ["funding", "first customer"],
        "kinds": ["talk"],
        "language": "en",
    }
    assert upload(api, video, **wishes).status_code == 201
    assert Project.objects.get().wishes == {
        "count": 5,
        "min_seconds": 10.0,
        "max_seconds": 45.5,
        "range": [1.0, 5.0],
        "keywords": ["funding", "first customer"],
        "kinds": ["talk"],
        "language": "en",
    }


def test_without_wishes_there_are_none(api: APIClient, video: bytes):
    upload(api, video)
    assert Project.objects.get().wishes is None


@pytest.mark.parametrize(
    ("wishes", "pointer"),
    [
        ({"count": "31"}, "/count"),
        ({"max_seconds": "NaN"}, "/max_seconds"),
        ({"range": ["5"]}, "/range"),
        ({"kinds": ["dance"]}, "/kinds/0"),
        ({"language": "english"}, "/language"),
        ({"min_seconds": "50", "max_seconds": "40"}, "/max_seconds"),
    ],
)
def test_an_upload_with_wishes_that_are_wrong_is_refused(
    api: APIClient, video: bytes, wishes: Any, pointer: str
):
    with nothing_changes():
        assert invalid_fields(upload(api, video, **wishes)) == {pointer}
    assert stored_files() == []


def test_an_upload_with_a_range_past_its_end_is_refused(api: APIClient, video: bytes):
    with nothing_changes():
        assert_problem(upload(api, video, range=["6.5", "9"]), 422, "bad_range")


def test_the_same_video_with_other_wishes_is_another_request(api: APIClient, video: bytes):
    assert upload(api, video, count="1", HTTP_IDEMPOTENCY_KEY="k").status_code == 201
    other = upload(api, video, count="2", HTTP_IDEMPOTENCY_KEY="k")
    assert_problem(other, 422, "idempotency_key_reused")


# --- files that are no video ----------------------------------------------------------


def test_an_empty_file_is_refused(api: APIClient):
    with nothing_changes():
        assert_problem(upload(api, b""), 415, "empty_file")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"This is a text.\n" * 1000, id="text"),
        pytest.param(b"\0" * 10_000, id="zeros"),
        pytest.param(b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", id="playlist"),
        pytest.param(b"ffconcat version 1.0\nfile /etc/passwd\n", id="concat script"),
        pytest.param(
            b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', id="picture"
        ),
    ],
)
def test_what_is_no_video_is_refused_whatever_its_name(api: APIClient, content: bytes):
    with nothing_changes():
        assert_problem(upload(api, content, name="film.mp4"), 415, "not_a_video")


def test_a_playlist_that_points_at_a_video_on_our_disk_is_refused(api: APIClient, still: Path):
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nfile://{still}\n#EXT-X-ENDLIST\n"
    with nothing_changes():
        assert_problem(upload(api, playlist.encode()), 415, "not_a_video")


def test_sound_without_pictures_is_refused(api: APIClient, sound_only: Path):
    with nothing_changes():
        assert_problem(upload(api, sound_only.read_bytes()), 415, "no_video_stream")


def test_a_file_without_its_end_and_so_without_its_index_is_refused(
    api: APIClient, still: Path, tmp_path: Path
):
    at_end = tmp_path / "index_at_end.mp4"
    copy = ("-i", str(still), "-c", "copy", str(at_end))
    subprocess.run([ffmpeg.executable(), "-v", "error", *copy], check=True)
    with nothing_changes():
        response = upload(api, at_end.read_bytes()[:-5000])
        assert_problem(response, 415, "not_a_video")


def test_a_video_longer_than_the_tier_allows_is_refused(
    api: APIClient, organization: Organization, video: bytes
):
    make_tier_limits(max_source_seconds=5)
    with nothing_changes():
        assert_problem(upload(api, video), 422, "too_long")
    make_tier_limits(max_source_seconds=6)
    assert upload(api, video).status_code == 201


# --- requests that are malformed ------------------------------------------------------


def test_two_files_are_refused(api: APIClient, video: bytes):
    form = {"file": SimpleUploadedFile("a.mp4", video), "more": SimpleUploadedFile("b.mp4", video)}
    with nothing_changes():
        assert_problem(api.post(URL, form, format="multipart"), 422, "too_many_files")


def test_a_file_in_the_wrong_field_is_refused(api: APIClient, video: bytes):
    form = {"video": SimpleUploadedFile("a.mp4", video)}
    with nothing_changes():
        response = api.post(URL, form, format="multipart")
        (error,) = assert_problem(response, 422, "unknown_field")["errors"]
        assert error["pointer"] == "/video"


@pytest.mark.parametrize("form", [{}, {"title": "No file"}, {"file": "a text"}])
def test_a_form_without_a_file_is_refused(api: APIClient, form: dict[str, str]):
    with nothing_changes():
        assert invalid_fields(api.post(URL, form, format="multipart")) == {"/file"}


@pytest.mark.parametrize("title", ["x" * 201, "x" * 100_000])
def test_a_title_that_cannot_be_one_is_refused(api: APIClient, video: bytes, title: str):
    with nothing_changes():
        assert invalid_fields(upload(api, video, title=title)) == {"/title"}


def test_a_title_of_megabytes_is_refused(api: APIClient, video: bytes):
    with nothing_changes():
        response = upload(api, video, title="x" * 2_000_000)
        assert response.status_code in {400, 413}
        assert response["Content-Type"] == "application/problem+json"


def test_a_file_name_with_control_characters_is_stored_without_them(api: APIClient, video: bytes):
    response = upload(api, video, name="a\0b\x07c.mp4")
    assert (response.status_code, response.json()["source_name"]) == (201, "abc.mp4")


def test_json_that_names_no_source_is_refused(api: APIClient):
    with nothing_changes():
        assert invalid_fields(api.post(URL, {"title": "x"})) == {"/source_url"}
        refused = api.post(URL, "title: x", content_type="text/plain")
        assert_problem(refused, 415, "unsupported_media_type")


def test_a_body_without_a_length_is_refused_before_it_is_read(api: APIClient, video: bytes):
    with nothing_changes():
        response = send(api, _body(video), length="", HTTP_TRANSFER_ENCODING="chunked")
        assert_problem(response, 411, "length_required")


def test_a_body_that_breaks_off_is_refused(api: APIClient, video: bytes):
    """Half a video is often a playable one: it must not be taken for the whole."""
    body = _body(video)
    for kept in (body[: len(body) // 2], body[:-10]):
        with nothing_changes():
            response = send(api, kept, length=str(len(body)))
            assert response.status_code == 400, response.content
            assert response.json()["code"] in {"upload_interrupted", "malformed_request"}


def test_a_body_that_is_no_form_is_refused(api: APIClient):
    with nothing_changes():
        assert send(api, b"garbage").status_code in {400, 422}
        response = send(api, b"garbage", content_type="multipart/form-data")
        assert_problem(response, 400, "malformed_request")


def send(
    api: Any,
    body: bytes | io.BytesIO,
    *,
    length: str | None = None,
    content_type: str = MULTIPART_CONTENT,
    **headers: str,
) -> Any:
    """Post raw bytes, whatever the header says of their number."""
    if isinstance(body, bytes):
        length, body = str(len(body)) if length is None else length, io.BytesIO(body)
    return api.generic(
        "POST",
        URL,
        content_type=content_type,
        CONTENT_LENGTH=length,
        **{"wsgi.input": body},
        **headers,
    )


def _body(video: bytes) -> bytes:
    return encode_multipart(BOUNDARY, {"file": SimpleUploadedFile("talk.mp4", video)})


# --- too much -------------------------------------------------------------------------


@pytest.fixture
def small_limit(settings, video: bytes) -> int:
    settings.MAX_UPLOAD_BYTES = len(video) - 1
    return len(video) - 1


def test_a_file_one_byte_too_large_is_stopped_while_it_streams(
    api: APIClient, video: bytes, small_limit: int
):
    with nothing_changes():
        body = assert_problem(upload(api, video), 413, "too_large")
    assert body["limit"] == small_limit


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(
    api: APIClient, small_limit: int
):
    class Unread(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise AssertionError("it was read")

    with nothing_changes():
        response = send(api, Unread(), length=str(10**12))
        assert_problem(response, 413, "too_large")


def test_a_file_of_exactly_the_limit_is_taken(api: APIClient, video: bytes, settings):
    settings.MAX_UPLOAD_BYTES = len(video)
    assert upload(api, video).status_code == 201


def test_a_full_disk_refuses_the_upload_and_keeps_nothing_of_it(api: APIClient, video: bytes):
    with nothing_changes(), no_file_larger_than(len(video) // 2):
        response = upload(api, video)
        assert_problem(response, 507, "storage_full")
    assert response["Retry-After"] == "300"
    assert upload(api, video).status_code == 201


# --- what the client says its digest is ------------------------------------------------


def digest(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


@pytest.mark.parametrize("header", ["HTTP_CONTENT_DIGEST", "HTTP_REPR_DIGEST"])
def test_a_file_that_is_what_its_digest_says_is_taken(api: APIClient, video: bytes, header: str):
    assert upload(api, video, **{header: digest(video)}).status_code == 201


def test_so_is_a_body_that_is_what_its_digest_says(api: APIClient, video: bytes):
    form = {"file": SimpleUploadedFile("talk.mp4", video), "title": "t"}
    body = encode_multipart(BOUNDARY, form)
    response = send(api, body, HTTP_CONTENT_DIGEST=digest(body), HTTP_REPR_DIGEST=digest(video))
    assert response.status_code == 201


@pytest.mark.parametrize("header", ["HTTP_CONTENT_DIGEST", "HTTP_REPR_DIGEST"])
def test_a_file_with_a_flipped_bit_is_refused_and_leaves_nothing(
    api: APIClient, video: bytes, header: str
):
    damaged = bytearray(video)
    damaged[len(damaged) // 2] ^= 1
    with nothing_changes():
        response = upload(api, bytes(damaged), **{header: digest(video)}, HTTP_IDEMPOTENCY_KEY="k")
        body = assert_problem(response, 422, "digest_mismatch")
    assert body["received"] == digest(bytes(damaged))
    again = upload(api, video, **{header: digest(video)}, HTTP_IDEMPOTENCY_KEY="k")
    assert again.status_code == 201


def test_a_digest_that_cannot_be_read_is_refused_before_the_body_is(api: APIClient):
    class Unread(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise AssertionError("it was read")

    with nothing_changes():
        response = send(api, Unread(), length="1000", HTTP_REPR_DIGEST="sha-256=abc")
        assert_problem(response, 422, "invalid_digest")


# --- when it fails at the very end ----------------------------------------------------


def test_a_file_whose_row_was_rolled_back_is_removed_as_an_orphan(
    organization: Organization, still: Path
):
    from projects import services, sources

    @transaction.atomic
    def request() -> None:
        part = storage.new_part()
        part.write_bytes(still.read_bytes())
        source = sources.inspect_source(org=organization, path=part)
        services.create_project(
            org=organization,
            title="",
            source_name="a.mp4",
            part=part,
            size=1,
            sha256="",
            source=source,
            actor="test",
        )
        raise ConnectionResetError("the commit failed")

    with pytest.raises(ConnectionResetError):
        request()
    (orphan,) = stored_files()
    assert not Project.objects.exists()
    app.tasks["projects.remove_orphans"](timestamp=0)
    assert stored_files() == [orphan]  # young: its transaction might not have committed yet
    age(storage.path_of(str(orphan)).parent)
    app.tasks["projects.remove_orphans"](timestamp=0)
    assert stored_files() == []


def test_orphans_are_told_from_files_with_a_row_and_from_what_is_not_ours(
    api: APIClient, organization: Organization, video: bytes
):

    upload(api, video)
    folder = storage.path_of(Project.objects.get().source_key).parent
    notes = folder.parent / "lost+found"
    notes.mkdir()
    (notes / "note").write_text("kept")
    orphan = folder.parent / str(uuid.uuid4())
    orphan.mkdir()
    (orphan / "source").write_text("left by a crash")
    part = storage.new_part()
    part.write_text("left by a crash")
    for path in (folder, notes, orphan, part):
        age(path)
    app.tasks["projects.remove_orphans"](timestamp=0)
    app.tasks["projects.remove_uploads"](timestamp=0)
    names = {path.name for path in stored_files()}
    assert names == {"source", "note"}
    assert folder.is_dir()
    assert not orphan.exists()


def age(path: Path) -> None:
    """Let it be two days old."""
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(path, (long_ago, long_ago))


# --- sound tracks --------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_tracks(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("tracks") / "two.mkv"
    picture = ("-f", "lavfi", "-i", "testsrc2=s=160x90:d=3")
    sounds = [part for tone in (440, 880) for part in ("-f", "lavfi", "-i", f"sine=f={tone}:d=3")]
    run_ffmpeg(*picture, *sounds, "-map", "0", "-map", "1", "-map", "2", *H264, *AAC, path)
    return path.read_bytes()


@pytest.mark.parametrize("track", [0, 1])
def test_a_sound_track_may_be_named(api: APIClient, two_tracks: bytes, track: int):
    response = upload(api, two_tracks, audio_track=str(track))
    assert response.status_code == 201, response.content
    assert response.json()["audio_track"] == track
    assert Project.objects.get().audio_track == track


def test_a_track_that_is_not_there_is_refused_and_nothing_is_stored(
    api: APIClient, two_tracks: bytes
):
    with nothing_changes():
        response = upload(api, two_tracks, audio_track="2")
    problem = assert_problem(response, 422, "no_such_audio_track")
    assert problem["detail"] == "There is no sound track 2 in this file; there are: 0 to 1."
    assert stored_files() == []


@pytest.mark.parametrize("track", ["-1", "16", "first"])
def test_a_track_that_cannot_be_one_is_refused(api: APIClient, two_tracks: bytes, track: str):
    with nothing_changes():
        response = upload(api, two_tracks, audio_track=track)
    assert invalid_fields(response) == {"/audio_track"}


def test_the_same_key_with_another_track_is_another_request(api: APIClient, two_tracks: bytes):
    first = upload(api, two_tracks, audio_track="0", HTTP_IDEMPOTENCY_KEY="upload-of-two-tracks")
    assert first.status_code == 201
    again = upload(api, two_tracks, audio_track="0", HTTP_IDEMPOTENCY_KEY="upload-of-two-tracks")
    assert again.json()["id"] == first.json()["id"]
    other = upload(api, two_tracks, audio_track="1", HTTP_IDEMPOTENCY_KEY="upload-of-two-tracks")
    assert_problem(other, 422, "idempotency_key_reused")


def test_sound_that_cannot_be_decoded_is_left_out_and_said_so(api: APIClient, tmp_path: Path):
    path = make_video(tmp_path / "v.avi", options=(*H264, "-c:a", "adpcm_ms"))
    response = upload(api, path.read_bytes())
    assert response.status_code == 201, response.content
    shown = response.json()
    assert shown["has_audio"] is False
    (warning,) = shown["warnings"]
    assert warning["code"] == "sound_not_supported"
    assert warning["message"].endswith("upload it again.")


# --- the storage of the tier ------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_uploads_at_once_as_many_are_kept_as_the_tier_may_store(
    organization: Organization, video: bytes
):
    make_tier_limits(storage_bytes=2 * len(video))
    clients = [make_client(organization) for _ in range(4)]
    answers: list[Any] = run_together(4, lambda number: upload(clients[number], video))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 507, 507]
    refused = next(answer for answer in answers if answer.status_code == 507)
    assert refused.json()["code"] == "storage_limit_reached"
    assert len(stored_files()) == 2
    assert funds(organization) == Funds(available=3, held=2)
    assert stored.usage(organization.pk).bytes == 2 * len(video)


def test_one_byte_too_much_is_refused_and_the_last_byte_is_not(
    api: APIClient, organization: Organization, video: bytes
):
    make_tier_limits(storage_bytes=len(video) - 1)
    with nothing_changes():
        problem = assert_problem(upload(api, video), 507, "storage_limit_reached")
    assert problem["limit"] == len(video) - 1
    make_tier_limits(storage_bytes=len(video))
    assert upload(api, video).status_code == 201


def test_an_upload_that_took_the_last_room_is_answered_again_as_it_was(
    api: APIClient, video: bytes
):
    # More than what is allowed for the envelope: else it is not known before it is read.
    video += bytes(200_000)
    make_tier_limits(storage_bytes=len(video))
    first = upload(api, video, HTTP_IDEMPOTENCY_KEY="k")
    with nothing_changes():
        again = upload(api, video, HTTP_IDEMPOTENCY_KEY="k")
        assert_problem(
            upload(api, video, HTTP_IDEMPOTENCY_KEY="other"), 507, "storage_limit_reached"
        )
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content


def test_what_cannot_fit_is_refused_before_it_is_read(api: APIClient, video: bytes):
    make_tier_limits(storage_bytes=1000)
    content = video + b"x" * 200_000
    body = encode_multipart(BOUNDARY, {"file": SimpleUploadedFile("talk.mp4", content)})
    unread = Unread(body)
    sent: dict[str, Any] = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": unread}
    response = api.generic("POST", URL, content_type=MULTIPART_CONTENT, **sent)
    assert_problem(response, 507, "storage_limit_reached")
    assert unread.count == 0


def test_what_is_no_video_is_refused_by_its_beginning(api: APIClient):
    content = b"PK\x03\x04" + os.urandom(5_000_000)
    body = encode_multipart(BOUNDARY, {"file": SimpleUploadedFile("talk.mp4", content)})
    unread = Unread(body)
    sent: dict[str, Any] = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": unread}
    with nothing_changes():
        response = api.generic("POST", URL, content_type=MULTIPART_CONTENT, **sent)
        assert_problem(response, 415, "not_a_video")
    assert unread.count < 300_000


class Unread(io.BytesIO):
    """Knows how much was read of it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data
