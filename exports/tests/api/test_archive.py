"""GET /projects/{id}/exports.zip, and the link that it leads to"""

from __future__ import annotations

import io
import itertools
import tracemalloc
import zipfile
from typing import Any

import pytest
import time_machine
from django.core.signals import request_finished
from django.db import close_old_connections
from django.test import Client
from django.utils import timezone

from clipforge.common import storage
from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import make_export, make_organization, make_project
from clipforge.devtools.testing.queries import statements
from exports import archives
from exports.models import Export

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(organization: Any) -> Any:
    return make_project(organization, title="Meeting, Monday")


def finished(project: Any, content: bytes, name: str = "talk", **more: Any) -> Export:
    return make_export(project, content=content, download_name=name, **more)


def url(project: Any) -> str:
    return f"/api/v1/projects/{project.pk}/exports.zip"


def link(api: Any, project: Any) -> str:
    answer = api.get(url(project))
    assert answer.status_code == 302, answer.content
    return str(answer["Location"])


def opened(response: Any) -> zipfile.ZipFile:
    """The archive, every sum of which is right."""
    assert response.status_code == 200, response.content
    archive = zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content)))
    assert archive.testzip() is None
    return archive


def fetch(address: str) -> Any:
    """As a browser does: without a key."""
    return Client().get(address)


def hang_up(response: Any) -> None:
    """As the server does when the client is gone; not the connection to the database, which is the test's."""
    request_finished.disconnect(close_old_connections)
    response.close()
    request_finished.connect(close_old_connections)


def contents(archive: zipfile.ZipFile) -> dict[str, bytes]:
    return {name: archive.read(name) for name in archive.namelist()}


def fetched(api: Any, project: Any) -> dict[str, bytes]:
    return contents(opened(fetch(link(api, project))))


def test_all_finished_files_are_in_it_as_they_are_under_names_that_people_can_read(api, project):
    finished(project, b"first", "monday-0-10s-9x16")
    finished(project, b"second" * 100_000, "monday-5-9s-1x1", format="webm")
    for status in ("QUEUED", "RENDERING", "FAILED", "CANCELLED", "EXPIRED"):
        make_export(project, status=status)
    finished(make_project(project.org), b"of another project")
    response = fetch(link(api, project))
    assert response["Content-Type"] == "application/zip"
    assert response["Content-Disposition"] == 'attachment; filename="meeting-monday-exports.zip"'
    assert response["Cache-Control"] == "private, no-store"
    archive = opened(response)
    assert contents(archive) == {
        "monday-5-9s-1x1.webm": b"second" * 100_000,
        "monday-0-10s-9x16.mp4": b"first",
    }
    assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}


def test_files_of_one_name_are_numbered(api, project):
    for content in (b"1", b"2", b"3"):
        finished(project, content)
    assert fetched(api, project) == {"talk.mp4": b"3", "talk-2.mp4": b"2", "talk-3.mp4": b"1"}


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (["a.mp4", "a-2.mp4", "a.mp4"], ["a.mp4", "a-2.mp4", "a-3.mp4"]),
        (["missing.txt"], ["missing-2.txt"]),
        (["a.mp4", "a.webm"], ["a.mp4", "a.webm"]),
    ],
)
def test_no_two_names_are_the_same(names, given):
    assert list(archives.unique(names)) == given


def test_a_file_without_a_name_has_that_of_its_export(api, project):
    export = finished(project, b"old", "")
    assert fetched(api, project) == {f"{export.pk}.mp4": b"old"}


# --- what is deleted meanwhile --------------------------------------------------------


def test_a_file_that_is_deleted_before_its_turn_is_left_out_and_named(api, project):
    finished(project, b"kept", "last")
    gone = finished(project, b"gone", "gone")
    finished(project, b"begun" * 200_000, "first")
    response = fetch(link(api, project))
    stream = iter(response.streaming_content)
    head = next(stream)
    storage.delete(gone.file_key)
    archive = zipfile.ZipFile(io.BytesIO(head + b"".join(stream)))
    assert archive.testzip() is None
    assert archive.namelist() == ["first.mp4", "last.mp4", "missing.txt"]
    assert archive.read("missing.txt").decode().splitlines()[1:] == ["gone.mp4"]


def test_a_file_that_is_deleted_while_it_is_sent_is_sent_to_its_end(api, project):
    content = b"whole" * 500_000
    export = finished(project, content)
    response = fetch(link(api, project))
    stream = iter(response.streaming_content)
    begun = next(stream) + next(stream)
    api.delete(f"/api/v1/exports/{export.pk}")
    storage.delete(export.file_key)
    assert not storage.path_of(export.file_key).exists()
    archive = zipfile.ZipFile(io.BytesIO(begun + b"".join(stream)))
    assert archive.read("talk.mp4") == content


def test_a_file_past_its_retention_is_not_in_it(api, project):
    finished(project, b"kept", "kept")
    over = finished(project, b"over", "over")
    Export.objects.filter(pk=over.pk).update(expires_at=timezone.now())
    assert set(fetched(api, project)) == {"kept.mp4"}


def test_a_project_without_a_file_has_no_archive_and_neither_has_its_link_later(api, project):
    assert_problem(api.get(url(project)), 409, "no_files")
    export = finished(project, b"x")
    path = link(api, project)
    api.delete(f"/api/v1/exports/{export.pk}")
    assert_problem(fetch(path), 409, "no_files")
    api.delete(f"/api/v1/projects/{project.pk}")
    assert_problem(fetch(path), 404, "not_found")


@pytest.mark.parametrize(("most", "status"), [(2, 302), (1, 409)])
def test_an_archive_has_so_many_files_at_most(api, project, monkeypatch, most, status):
    monkeypatch.setattr(archives, "MOST_FILES", most)
    for _ in range(2):
        finished(project, b"x")
    answer = api.get(url(project))
    assert answer.status_code == status
    if status == 409:
        assert_problem(answer, 409, "too_many_files")


# --- large ----------------------------------------------------------------------------


def sparse(export: Export, size: int) -> None:
    """Let its file have so many zeros, none of which takes room on the disk."""
    with storage.path_of(export.file_key).open("r+b") as file:
        file.truncate(size)


def test_a_file_beyond_four_gigabytes_is_zip64(api, project, monkeypatch):
    size, chunk = (4 << 30) + (1 << 24), bytes(1 << 24)
    sparse(finished(project, b"", "large"), size)
    # The arithmetic of sizes is what counts: neither the reading nor the checksum, which take long.
    monkeypatch.setattr(archives, "_chunks", lambda _: itertools.repeat(chunk, size // len(chunk)))
    monkeypatch.setattr("zipstream.ng.crc32", lambda *_: 0)
    response = fetch(link(api, project))
    sent, parts = 0, []
    for part in response.streaming_content:
        sent += len(part)
        if len(part) < 1000:
            parts.append(part)
    assert size < sent < size + 1000
    tail = b"".join(parts)
    assert b"PK\x06\x06" in tail  # the ZIP64 end of the central directory
    assert size.to_bytes(8, "little") in tail


def test_a_file_that_is_no_larger_than_that_is_no_zip64(api, project):
    finished(project, b"small")
    body = b"".join(fetch(link(api, project)).streaming_content)
    assert b"PK\x06\x06" not in body


def test_memory_stays_that_of_some_chunks(api, project):
    sparse(finished(project, b"", "large"), 256 * archives.CHUNK)
    response = fetch(link(api, project))
    tracemalloc.start()
    sent = sum(len(part) for part in response.streaming_content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sent > 256 * archives.CHUNK
    assert peak < 8 * archives.CHUNK


# --- threads --------------------------------------------------------------------------


def test_a_process_sends_two_at_a_time_and_asks_a_third_to_wait(api, project):
    finished(project, b"x" * 1_000_000)
    path = link(api, project)
    first, second = (fetch(path) for _ in range(2))
    third = fetch(path)
    assert_problem(third, 503, "archives_busy")
    assert third["Retry-After"] == "10"
    hang_up(first)  # of which nothing was read
    fourth = fetch(path)
    assert set(contents(opened(fourth))) == {"talk.mp4"}
    hang_up(second)
    hang_up(second)
    assert archives._slots._value == archives.MOST_AT_ONCE


@pytest.mark.parametrize("unfit", ["%0A", "%0D%0A", "%E2%80%AE"])
def test_what_fits_in_no_header_is_left_out_of_the_name_and_no_place_is_lost_by_it(
    api, project, unfit
):
    finished(project, b"content")
    address = link(api, project)
    for _ in range(archives.MOST_AT_ONCE + 1):
        response = fetch(f"{address}{unfit}")
        assert (
            response["Content-Disposition"] == 'attachment; filename="meeting-monday-exports.zip"'
        )
        opened(response)
        hang_up(response)


def test_asking_for_the_head_takes_no_place_and_reads_no_file(api, project):
    finished(project, b"x")
    path = link(api, project)
    for _ in range(archives.MOST_AT_ONCE + 1):
        answer = Client().head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer["Content-Type"] == "application/zip"


# --- who may --------------------------------------------------------------------------


def test_the_link_ends_and_cannot_be_forged(api, project, settings):
    finished(project, b"x")
    with time_machine.travel("2026-05-01T00:00:00Z", tick=False) as clock:
        path = link(api, project)
        clock.shift(settings.DOWNLOAD_URL_SECONDS)
        opened(fetch(path))
        clock.shift(1)
        assert_problem(fetch(path), 403, "link_expired")
    _, token, name = link(api, project).rsplit("/", 2)
    forged = f"/files/archives/{token[:-1]}{'a' if token[-1] != 'a' else 'b'}/{name}"
    assert_problem(fetch(forged), 403, "link_invalid")
    # The link of a file is no link of an archive, nor the other way.
    file_token = api.get(f"/api/v1/exports/{Export.objects.get().pk}/download")["Location"]
    crossed = f"/files/archives/{file_token.rsplit('/', 2)[1]}/{name}"
    assert_problem(fetch(crossed), 403, "link_invalid")
    assert_problem(fetch(f"/files/{token}/{name}"), 403, "link_invalid")


def test_another_organizations_project_has_none(api, anonymous, project):
    other = make_project(make_organization())
    finished(other, b"x")
    assert_not_told_apart(lambda pk: api.get(f"/api/v1/projects/{pk}/exports.zip"), other.pk)
    assert_problem(anonymous.get(url(project)), 401, "not_authenticated")


def test_it_is_two_reads_and_the_archive_is_too_however_many_files_there_are(api, project):
    for _ in range(5):
        finished(project, b"x")
    with statements() as said:
        path = link(api, project)
    assert said == ["SELECT projects_project", "SELECT exports_export"]
    with statements() as said:
        opened(fetch(path))
    assert said == ["SELECT projects_project", "SELECT exports_export"]
