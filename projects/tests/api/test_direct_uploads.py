"""POST /uploads where the store is a bucket: the parts go to it by themselves, to a real S3 server"""

from __future__ import annotations

import datetime
import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from clipforge.common import storage
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.buckets import Bucket, FaultyProxy, new_bucket
from clipforge.devtools.testing.clocks import around
from clipforge.devtools.testing.factories import make_client, make_grant, make_organization
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import Funds, funds, nothing_changes, stored_files
from clipforge.jobs import store_audit
from clipforge.orgs import stored
from clipforge.orgs.models import Organization
from clipforge.storage_urls import backend_of
from projects import direct_uploads, tasks, uploads
from projects.models import Project, Upload

pytestmark = pytest.mark.django_db
# What goes with a commit, and who is there at once.
COMMITS = pytest.mark.django_db(transaction=True)

URL = "/api/v1/uploads"
MIB = 1 << 20
PART = 5 * MIB


@pytest.fixture
def organization() -> Organization:
    return make_organization(credits_=5)


@pytest.fixture
def film(still: Path) -> bytes:
    return still.read_bytes()


@pytest.fixture
def long(film: bytes, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The film, and behind it a box that players skip: three parts of 5 MiB, the least that S3 takes."""
    monkeypatch.setattr(uploads, "DIRECT_PART_BYTES", PART)
    box = os.urandom(MIB) * 11
    return film + (len(box) + 8).to_bytes(4, "big") + b"free" + box


def begin(api: APIClient, content: bytes, **body: Any) -> str:
    """The address of an upload."""
    sent = api.post(URL, {"name": "talk.mp4", "size": len(content), **body}, format="json")
    assert (sent.status_code, sent.json()["protocol"]) == (201, "s3"), sent.json()
    return str(sent["Location"])


def ask(api: APIClient, url: str) -> Any:
    answer = api.post(f"{url}/parts")
    assert answer.status_code == 200, answer.json()
    return answer.json()


def put(part: dict[str, Any], content: bytes) -> None:
    piece = content[part["offset"] : part["offset"] + part["size"]]
    assert httpx.put(part["url"], content=piece).status_code == 200


def send(api: APIClient, url: str, content: bytes) -> None:
    for part in ask(api, url)["missing"]:
        put(part, content)


def whole(api: APIClient, content: bytes, **body: Any) -> str:
    url = begin(api, content, **body)
    send(api, url, content)
    assert api.post(f"{url}/complete").status_code == 200
    return url


def use(api: APIClient, url: str, **body: Any) -> Any:
    body = {"upload": url.rsplit("/", 1)[-1], **body}
    return api.post("/api/v1/projects", body, format="json")


def expire() -> None:
    Upload.objects.update(expires_at=timezone.now() - datetime.timedelta(seconds=1))


def test_it_says_how_to_send_it_and_reserves_nothing(
    bucket: Bucket, api: APIClient, organization: Organization
):
    url = begin(api, b"x" * 100, sha256="A" * 64)
    shown = api.get(url).json()
    assert (shown["url"], shown["part_bytes"]) == (f"{url}/parts", 16 * MIB)
    assert (shown["offset"], shown["sha256"]) == (0, "a" * 64)
    assert funds(organization) == Funds(available=5, held=0)
    assert stored.usage(organization.pk).bytes == 100
    (part,) = ask(api, url)["missing"]
    assert (part["number"], part["offset"], part["size"]) == (1, 0, 100)
    signed = parse_qs(urlsplit(part["url"]).query)
    assert signed["X-Amz-SignedHeaders"] == ["content-length;host"]  # no other size
    assert signed["X-Amz-Expires"] == ["3600"]
    assert (bucket.unfinished(), bucket.names()) == (1, [])


@pytest.mark.parametrize(
    ("size", "part_bytes"),
    [(1, 16 * MIB), (160_000 * MIB, 16 * MIB), (160_000 * MIB + 1, 16 * MIB + 1)],
)
def test_parts_are_as_large_that_ten_thousand_are_enough(size: int, part_bytes: int):
    assert uploads.direct_part_bytes(size) == part_bytes
    assert -(-size // part_bytes) <= 10_000


@pytest.mark.parametrize(
    ("most", "part_bytes"),
    [(16 * MIB - 1, 16 * MIB - 1), (16 * MIB + 1, 16 * MIB), (5 * MIB - 1, 5 * MIB)],
)
def test_parts_are_as_large_as_the_setting_and_the_bucket_allow(
    most: int, part_bytes: int, settings: Any
):
    settings.UPLOAD_PART_BYTES = most
    assert uploads.direct_part_bytes(1) == part_bytes


def test_ten_gigabytes_have_a_hundred_addresses_at_a_time(
    bucket: Bucket, organization: Organization
):
    upload = uploads.create_upload(org=organization, name="a", size=10 << 30)
    parts = direct_uploads.ask_for_parts(upload)
    assert [part.number for part in parts.missing] == list(range(1, 101))
    assert parts.missing[-1].offset == 99 * 16 * MIB
    assert len(direct_uploads._sizes(upload)) == 640


@COMMITS
def test_parts_in_any_order_become_the_project_that_one_request_would_have_made(
    bucket: Bucket, api: APIClient, organization: Organization, long: bytes
):
    url = begin(api, long, sha256=hashlib.sha256(long).hexdigest())
    first = ask(api, url)
    assert [part["number"] for part in first["missing"]] == [1, 2, 3]
    put(first["missing"][2], long)
    again = ask(api, url)  # as after an interruption
    assert again["received"] == [3]
    assert [part["number"] for part in again["missing"]] == [1, 2]
    assert api.get(url).json()["offset"] == first["missing"][2]["size"]
    put(first["missing"][1], long)  # at an address of the first answer
    put(again["missing"][1], long)  # and once more
    put(again["missing"][0], long)
    assert ask(api, url) == {"received": [1, 2, 3], "missing": []}
    assert_problem(use(api, url), 409, "upload_incomplete")
    done = api.post(f"{url}/complete").json()
    assert (done["offset"], done["project"]) == (len(long), None)
    assert api.post(f"{url}/complete").json() == done
    assert ask(api, url) == {"received": [1, 2, 3], "missing": []}
    response = use(api, url, title="My talk", count=3, max_credits=1)
    assert response.status_code == 201
    project = Project.objects.get()
    assert (project.title, project.source_name, project.size) == ("My talk", "talk.mp4", len(long))
    assert project.sha256 == hashlib.sha256(long).hexdigest()
    assert funds(organization) == Funds(available=4, held=1)
    assert storage.read_bytes(project.source_key) == long
    assert storage.facts(project.source_key).sha256 == project.sha256
    assert (bucket.names(), bucket.unfinished()) == ([project.source_key], 0)
    assert stored.usage(organization.pk).bytes == len(long)
    for answer in (use(api, url), api.post(f"{url}/parts"), api.post(f"{url}/complete")):
        assert assert_problem(answer, 409, "upload_used")["existing"] == str(project.pk)
    assert api.delete(url).status_code == 204
    assert bucket.names() == [project.source_key]


def test_a_part_that_is_missing_or_of_another_size_is_asked_for_again(
    bucket: Bucket, api: APIClient, long: bytes
):
    url = begin(api, long)
    assert assert_problem(api.post(f"{url}/complete"), 409, "upload_incomplete")
    parts = ask(api, url)["missing"]
    put(parts[0], long)
    put(parts[1], long)
    # S3 refuses another size by what is signed; this server looks at no signature.
    assert httpx.put(parts[2]["url"], content=b"short").status_code == 200
    with nothing_changes():
        assert_problem(api.post(f"{url}/complete"), 409, "upload_incomplete")
    again = ask(api, url)
    assert (again["received"], [each["number"] for each in again["missing"]]) == ([1, 2], [3])
    put(again["missing"][0], long)
    assert api.post(f"{url}/complete").status_code == 200


@COMMITS
def test_a_digest_that_lies_ends_the_upload(
    bucket: Bucket, api: APIClient, organization: Organization, film: bytes
):
    url = whole(api, film, sha256="0" * 64)
    refused = assert_problem(use(api, url), 422, "digest_mismatch")
    assert refused["received"] == hashlib.sha256(film).hexdigest()
    assert (Upload.objects.count(), bucket.names()) == (0, [])
    assert stored.usage(organization.pk).bytes == 0
    assert funds(organization) == Funds(available=5, held=0)


@COMMITS
def test_what_is_no_video_ends_by_its_beginning_before_anything_else_is_read(
    bucket: Bucket, api: APIClient, organization: Organization
):
    rubbish = b"GIF89a and no video" * 4000
    url = begin(api, rubbish)
    send(api, url, rubbish)
    assert_problem(api.post(f"{url}/complete"), 415, "not_a_video")
    assert (Upload.objects.count(), bucket.names(), bucket.unfinished()) == (0, [], 0)
    assert stored.usage(organization.pk).bytes == 0
    passing = b"\x00\x00\x00\x18ftypisom" + bytes(2000)
    url = whole(api, passing)
    assert_problem(use(api, url), 415, "not_a_video")
    assert (Upload.objects.count(), bucket.names()) == (0, [])


@COMMITS
def test_without_credits_it_stays_and_a_grant_lets_it_be_used(bucket: Bucket, film: bytes):
    poor = make_organization(name="Poor")
    api = make_client(poor)
    url = whole(api, film)
    key = Upload.objects.get().file_key
    assert_problem(use(api, url), 402, "insufficient_credits")
    assert bucket.names() == [key]
    make_grant(poor, 1)
    assert use(api, url).status_code == 201
    assert bucket.names() == [Project.objects.get().source_key]


def test_what_was_joined_by_a_request_that_was_killed_then_is_found(
    bucket: Bucket, api: APIClient, film: bytes
):
    url = begin(api, film)
    send(api, url, film)
    upload = Upload.objects.get()
    store = bucket.store
    store.join_parts(
        upload.file_key, upload.parts_id, store.parts(upload.file_key, upload.parts_id)
    )
    assert ask(api, url) == {"received": [1], "missing": []}
    assert_problem(use(api, url), 409, "upload_incomplete")
    assert api.post(f"{url}/complete").status_code == 200
    assert use(api, url).status_code == 201


def test_parts_that_the_bucket_has_given_up_are_sent_again(
    bucket: Bucket, api: APIClient, film: bytes
):
    url = begin(api, film)
    send(api, url, film)
    assert ask(api, url)["received"] == [1]
    assert storage.abort_uploads(older_than_seconds=-1, now=time.time()) == 1
    assert_problem(api.post(f"{url}/complete"), 409, "upload_incomplete")
    send(api, url, film)
    assert api.post(f"{url}/complete").status_code == 200
    assert use(api, url).status_code == 201


@COMMITS
def test_of_many_who_begin_and_complete_it_at_once_one_file_comes(
    bucket: Bucket, organization: Organization, film: bytes
):
    clients = [make_client(organization) for _ in range(4)]
    url = begin(clients[0], film)
    answers = run_together(4, lambda number: clients[number].post(f"{url}/parts").status_code)
    assert set(map(str, answers)) <= {"200", "423"}
    send(clients[0], url, film)
    answers = run_together(4, lambda number: clients[number].post(f"{url}/complete").status_code)
    assert Counter(map(str, answers)) == {"200": 4}
    answers = run_together(3, lambda number: use(clients[number], url).status_code)
    assert Counter(map(str, answers)) == {"201": 1, "409": 2}
    project = Project.objects.get()
    assert storage.read_bytes(project.source_key) == film
    assert (bucket.names(), bucket.unfinished()) == ([project.source_key], 0)


def test_another_organizations_upload_is_not_there(bucket: Bucket, api: APIClient, film: bytes):
    url = whole(api, film)
    stranger = make_client(make_organization(name="Stranger", credits_=5))
    for answer in (
        stranger.get(url),
        stranger.post(f"{url}/parts"),
        stranger.post(f"{url}/complete"),
        stranger.delete(url),
        use(stranger, url),
    ):
        assert_problem(answer, 404, "not_found")
    assert bucket.names() == [Upload.objects.get().file_key]


def test_neither_way_takes_the_parts_of_the_other(bucket: Bucket, api: APIClient, film: bytes):
    direct = begin(api, film)
    tus = api.post(URL, HTTP_TUS_RESUMABLE="1.0.0", HTTP_UPLOAD_LENGTH="100")["Location"]
    headers: Any = {"HTTP_TUS_RESUMABLE": "1.0.0", "HTTP_UPLOAD_OFFSET": "0"}
    kind = "application/offset+octet-stream"
    with nothing_changes():
        part = api.generic("PATCH", direct, film, content_type=kind, **headers)  # type: ignore[arg-type]
        assert_problem(part, 409, "wrong_protocol")
        assert_problem(api.post(f"{tus}/parts"), 409, "wrong_protocol")
        assert_problem(api.post(f"{tus}/complete"), 409, "wrong_protocol")


@pytest.mark.parametrize("is_joined", [False, True])
def test_one_that_is_not_used_in_time_is_gone_from_the_bucket_too(
    bucket: Bucket, api: APIClient, organization: Organization, film: bytes, is_joined: bool
):
    url = begin(api, film)
    send(api, url, film)
    if is_joined:
        api.post(f"{url}/complete")
    expire()
    for answer in (api.post(f"{url}/parts"), api.post(f"{url}/complete"), use(api, url)):
        assert_problem(answer, 410, "upload_expired")
    assert bucket.unfinished() + len(bucket.names()) == 1
    tasks.expire_uploads(0)
    assert (Upload.objects.count(), bucket.names(), bucket.unfinished()) == (0, [], 0)
    assert stored.usage(organization.pk).bytes == 0


def test_what_has_come_gives_it_another_day(bucket: Bucket, api: APIClient, film: bytes):
    url = begin(api, film)
    ask(api, url)
    Upload.objects.update(expires_at=timezone.now() + datetime.timedelta(seconds=30))
    parts = ask(api, url)["missing"]
    assert Upload.objects.get().expires_at < timezone.now() + datetime.timedelta(seconds=31)
    put(parts[0], film)
    ask(api, url)
    left = Upload.objects.get().expires_at - timezone.now()
    assert datetime.timedelta(hours=23) < left <= datetime.timedelta(hours=24)


def test_parts_of_no_upload_are_swept_and_those_of_one_that_goes_on_are_not(
    bucket: Bucket, api: APIClient, film: bytes
):
    begin_and_send = [begin(api, film) for _ in range(2)]
    for url in begin_and_send:
        send(api, url, film)
    upload = Upload.objects.order_by("pk")[0]
    Upload.objects.filter(pk=upload.pk)._raw_delete("default")
    soon = time.time() + 3 * 24 * 3600
    gone = storage.abort_uploads(
        older_than_seconds=tasks.ABANDONED_PARTS_SECONDS, now=soon, is_wanted=uploads.is_awaited
    )
    assert (gone, bucket.unfinished()) == (1, 1)
    expire()
    gone = storage.abort_uploads(
        older_than_seconds=tasks.ABANDONED_PARTS_SECONDS, now=soon, is_wanted=uploads.is_awaited
    )
    assert (gone, bucket.unfinished()) == (1, 0)


def test_parts_are_awaited_until_the_end_of_their_upload(
    bucket: Bucket, organization: Organization
):
    upload = uploads.create_upload(org=organization, name="a", size=10)
    awaited = around(upload.expires_at, lambda: uploads.is_awaited(upload.file_key))
    assert awaited == [True, False, False]
    assert not uploads.is_awaited(upload.file_key.replace("/uploads/", "/projects/"))
    assert not uploads.is_awaited("marker")


def test_a_joined_file_without_a_row_is_removed_after_a_day(
    bucket: Bucket, api: APIClient, film: bytes
):
    whole(api, film)
    Upload.objects.all()._raw_delete("default")
    assert uploads.remove_orphans(time.time()) == 0
    assert len(bucket.names()) == 1
    assert uploads.remove_orphans(time.time() + 25 * 3600) == 1
    assert bucket.names() == []


@COMMITS
@pytest.mark.parametrize("is_joined", [False, True])
def test_one_that_is_given_up_leaves_nothing(
    bucket: Bucket, api: APIClient, organization: Organization, film: bytes, is_joined: bool
):
    url = begin(api, film)
    send(api, url, film)
    if is_joined:
        api.post(f"{url}/complete")
    assert api.delete(url).status_code == 204
    assert (bucket.names(), bucket.unfinished(), stored_files()) == ([], 0, [])
    assert stored.usage(organization.pk).bytes == 0


def test_the_audit_of_the_store_takes_no_part_for_a_file_of_nobody(
    bucket: Bucket, api: APIClient, film: bytes
):
    whole(api, film)
    problems = {each.problem for each in store_audit.findings(now=time.time() + 48 * 3600)}
    assert problems <= {store_audit.STORE_UNKNOWN}


def test_one_whose_store_is_another_now_is_gone(
    bucket: Bucket, api: APIClient, film: bytes, settings: Any
):
    url = begin(api, film)
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "clipforge.common.storage.local.LocalStorage"},
    }
    assert_problem(api.post(f"{url}/parts"), 410, "upload_expired")
    assert api.delete(url).status_code == 204


@pytest.fixture
def faulty(s3_endpoint: str, settings: Any) -> Iterator[list[str]]:
    """Each request to the bucket meets the first of these faults, and takes it away."""
    left: list[str] = []
    behind = new_bucket(s3_endpoint)
    with FaultyProxy(s3_endpoint, lambda *_: left.pop(0) if left else None) as proxy:
        url = f"s3://{behind.name}?endpoint={proxy.endpoint}&addressing=path"
        settings.STORAGES = {**settings.STORAGES, "default": backend_of(url)}
        yield left


def test_a_bucket_that_stumbles_is_asked_again_and_one_that_is_away_is_said_so(
    faulty: list[str], api: APIClient, organization: Organization, film: bytes
):
    url = begin(api, film)
    faulty[:] = ["500"]
    send(api, url, film)
    faulty[:] = ["500"] * 4
    assert_problem(api.post(f"{url}/complete"), 503, "storage_unavailable")
    faulty[:] = ["500"]
    assert api.post(f"{url}/complete").status_code == 200
    faulty[:] = ["500"] * 8
    assert_problem(use(api, url), 503, "storage_unavailable")
    assert funds(organization) == Funds(available=5, held=0)
    faulty.clear()
    assert use(api, url).status_code == 201
    assert storage.read_bytes(Project.objects.get().source_key) == film
