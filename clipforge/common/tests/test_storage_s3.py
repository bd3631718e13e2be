"""The store that is a bucket: a real server, which fails as servers do."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.client import Config
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from clipforge.common import storage
from clipforge.common.errors import StorageFull, StorageUnavailable
from clipforge.common.storage import s3, scratch
from clipforge.common.storage.stores import SCRATCH
from clipforge.devtools.testing.buckets import Bucket, FaultyProxy
from clipforge.storage_urls import backend_of

ORG, ROW = "01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002"
KEY = f"{ORG}/exports/{ROW}/99.mp4"
CONTENT = bytes(range(256)) * 8192  # 2 MiB
ATTEMPTS = 5


def part_of(content: bytes = CONTENT) -> Path:
    part = storage.new_part()
    part.write_bytes(content)
    return part


def stored(key: str = KEY, content: bytes = CONTENT) -> str:
    storage.publish(part_of(content), key)
    return key


def copies(media_root: Path) -> list[int]:
    """The bytes of each copy in the scratch."""
    folder = media_root / SCRATCH
    return [path.stat().st_size for path in folder.iterdir() if path.suffix != ".lock"]


@pytest.fixture
def faults(bucket: Bucket, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Each request for an object meets the first of these, and takes it away."""
    left: list[str] = []

    def plan(_method: str, path: str) -> str | None:
        return left.pop(0) if left and KEY in path else None

    # Of these, two meet a fault, and two more may be slow on a busy machine.
    patient = Config(read_timeout=1, retries={"mode": "standard", "total_max_attempts": ATTEMPTS})
    monkeypatch.setattr(s3, "CONFIG", s3.CONFIG.merge(patient))
    with FaultyProxy(bucket.endpoint, plan) as proxy:
        url = bucket.url.replace(bucket.endpoint, proxy.endpoint)
        settings.STORAGES = {**settings.STORAGES, "default": backend_of(url)}
        yield left


# --- as a store ----------------------------------------------------------------------


def test_a_file_is_put_whole_read_back_moved_and_deleted_with_its_companions(
    bucket: Bucket, media_root: Path
):
    part = part_of()
    storage.publish(part, KEY)
    assert not part.exists()
    stored(storage.companion_of(KEY, "poster.jpg"), b"picture")
    stored(f"{ORG}/exports/{ROW}/990.mp4", b"another")
    found = storage.facts(KEY)
    assert (found.size, found.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert storage.read_bytes(KEY) == CONTENT
    assert storage.size_of(KEY) == len(CONTENT) + 7
    assert storage.sizes_of([KEY, f"{ORG}/exports/{ORG}/1.mp4"]) == {KEY: len(CONTENT) + 7}
    storage.move(f"{ORG}/exports/{ROW}/990.mp4", "elsewhere")
    assert storage.read_bytes("elsewhere") == b"another"
    storage.delete(KEY)
    assert bucket.names() == ["elsewhere"]
    assert not storage.is_there(KEY)
    storage.delete(KEY)
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(KEY)
    assert list(media_root.rglob("*.mp4")) == []


def test_it_is_djangos_default_storage(bucket: Bucket):
    """With its own names, for whatever is written for Django."""
    default_storage.save(KEY, ContentFile(CONTENT))
    assert (default_storage.exists(KEY), default_storage.size(KEY)) == (True, len(CONTENT))
    with default_storage.open(KEY) as file:
        assert file.read() == CONTENT
    assert default_storage.listdir(f"{ORG}/exports") == ([ROW], [])
    default_storage.delete(KEY)
    assert bucket.names() == []


def test_so_is_the_local_one_and_what_it_saves_is_written_aside(media_root: Path):
    default_storage.save(KEY, ContentFile(CONTENT))
    assert storage.read_bytes(KEY) == CONTENT
    default_storage.save(KEY, ContentFile(b"again"))
    assert [path.name for path in media_root.rglob("*") if path.is_file()] == ["99.mp4"]
    assert storage.read_bytes(KEY) == b"again"


def test_a_large_file_goes_in_parts_and_comes_back_the_same(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
):
    in_parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    monkeypatch.setattr(storage.current(), "transfer_config", in_parts)
    monkeypatch.setattr(s3, "COPY", in_parts)
    content = os.urandom((12 << 20) + 1)
    stored(content=content)
    assert re.fullmatch('"[0-9a-f]{32}-3"', storage.facts(KEY).etag)
    storage.move(KEY, f"{KEY}.moved")
    assert storage.facts(f"{KEY}.moved").etag.endswith('-3"')
    assert storage.facts(f"{KEY}.moved").sha256 == hashlib.sha256(content).hexdigest()
    assert storage.read_bytes(f"{KEY}.moved") == content
    assert bucket.unfinished() == 0


def test_a_prefix_keeps_two_installations_in_one_bucket_apart(bucket: Bucket):
    one, two = (storage.at(bucket.url.replace("?", f"/{name}?")) for name in ("one", "two"))
    part = part_of()
    one.put(part, KEY)
    assert bucket.names() == [f"one/{KEY}"]
    assert [entry.key for entry in one.walk("exports")] == [KEY]
    assert list(two.walk("exports")) == []
    assert one.sizes([KEY]) == {KEY: len(CONTENT)}


def test_folders_and_files_are_listed_page_by_page(bucket: Bucket, monkeypatch: pytest.MonkeyPatch):
    rows = [str(uuid.UUID(int=number)) for number in range(5)]
    for row in rows:
        for name in ("1.mp4", "1.poster.jpg"):
            stored(f"{ORG}/exports/{row}/{name}", b"x")
    stored(f"{ORG}/projects/{ROW}/source", b"x")
    stored(f"{storage.ASIDE}/exports/{ROW}/1.mp4", b"x")
    calls = pages_of_two(bucket, monkeypatch)
    assert [folder.key for folder in storage.job_folders("exports")] == [
        f"{ORG}/exports/{row}" for row in rows
    ]
    assert len(calls) > 5
    assert [entry.key for entry in storage.walk("projects")] == [f"{ORG}/projects/{ROW}/source"]
    keys = [f"{ORG}/exports/{row}/1.mp4" for row in rows[1:4]]
    assert storage.sizes_of(keys) == dict.fromkeys(keys, 2)


def pages_of_two(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    calls: list[None] = []
    client = storage.current().client  # type: ignore[attr-defined]

    def page(params: dict[str, Any], **_: object) -> None:
        calls.append(None)
        params["MaxKeys"] = 2

    client.meta.events.register("provide-client-params.s3.ListObjectsV2", page)
    return calls


@pytest.mark.parametrize(("older", "left"), [(0, 1), (1, 0)])
def test_uploads_in_parts_that_nobody_finishes_are_given_up(bucket: Bucket, older: int, left: int):
    client = bucket.store.client
    client.create_multipart_upload(Bucket=bucket.name, Key=KEY)
    begun = client.list_multipart_uploads(Bucket=bucket.name)["Uploads"][0]["Initiated"]
    now = begun.timestamp() + 3600 + older
    aborted = storage.abort_uploads(older_than_seconds=3600, now=now)
    assert (aborted, bucket.unfinished()) == (1 - left, left)


def test_orphans_are_removed_and_rows_kept(bucket: Bucket):
    stored()
    orphan = stored(f"{ORG}/exports/{ORG}/1.mp4", b"x")
    stored(f"{ORG}/exports/not-ours/1.mp4", b"x")
    found = [uuid.UUID(ROW)]
    for now, removed in ((time.time() + 50, 0), (time.time() + 70, 1)):
        assert removed == storage.remove_orphans(
            "exports", exists=lambda _: found, older_than_seconds=60, now=now
        )
    assert not storage.is_there(orphan)
    assert bucket.names() == [KEY, f"{ORG}/exports/not-ours/1.mp4"]


def test_what_is_set_aside_is_as_it_was_and_is_removed_later(bucket: Bucket):
    stored()
    storage.set_aside(KEY, now=time.time())
    assert bucket.names() == [f"{storage.ASIDE}/{KEY}"]
    for now, removed in ((time.time() + 50, 0), (time.time() + 70, 1)):
        assert storage.remove_set_aside(older_than_seconds=60, now=now) == removed


@pytest.mark.parametrize("key", ["", "/etc/passwd", f"{ORG}/../other/source", ".."])
def test_what_is_no_key_reaches_no_object(bucket: Bucket, key: str):
    with pytest.raises(ValueError, match="not a storage key"):
        storage.facts(key)
    assert bucket.names() == []


def test_a_bucket_that_is_not_there_is_no_missing_file(bucket: Bucket):
    """A job would fail for good: its source is not gone, we are wrong."""
    wrong = storage.at(bucket.url.replace(bucket.name, "no-such-bucket"))
    with pytest.raises(StorageUnavailable):
        wrong.facts(KEY)
    with pytest.raises(FileNotFoundError):
        storage.facts(KEY)


def test_processes_without_a_bucket_do_not_load_boto3():
    code = (
        "import django, sys; django.setup(); from clipforge.common import storage;"
        "storage.current(); import clipforge.common.api.files; print('boto3' in sys.modules)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "clipforge.settings"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "False"


# --- servers in trouble --------------------------------------------------------------


@pytest.mark.parametrize("fault", ["500", "hung", "torn"])
def test_two_faults_of_the_server_are_outlived(fault: str, faults: list[str]):
    stored()
    faults += [fault, fault]
    assert storage.read_bytes(KEY) == CONTENT
    assert faults == []
    if fault != "torn":
        faults += [fault, fault]
        stored(content=CONTENT[::-1])
        assert storage.read_bytes(KEY) == CONTENT[::-1]


def test_an_answer_that_breaks_off_is_read_on_from_where_it_was(faults: list[str]):
    """Each asks for the rest, of the same file: after four bytes in a row that do not come it gives up."""
    stored()
    faults += ["no", *["torn"] * 30]  # the first is asked for its size
    with storage.open_file(KEY) as file:
        assert file.read(30_000) == CONTENT[:30_000]
        faults.clear()
        assert file.read() == CONTENT[30_000:]


def test_a_server_that_does_not_come_back_is_unavailable_and_leaves_nothing(
    faults: list[str], bucket: Bucket, media_root: Path
):
    part = part_of()
    faults += ["500"] * 50
    with pytest.raises(StorageUnavailable):
        storage.publish(part, KEY)
    assert len(faults) == 50 - ATTEMPTS  # so often is tried, and no oftener
    assert part.read_bytes() == CONTENT
    assert (bucket.names(), bucket.unfinished()) == ([], 0)
    with pytest.raises(StorageUnavailable), storage.local_copy(KEY):
        pytest.fail("there is no copy")
    assert not (media_root / SCRATCH).exists()


def test_of_a_file_that_is_found_and_then_not_sent_there_is_no_copy(
    faults: list[str], media_root: Path
):
    stored()
    faults += ["no", "no", *["500"] * 50]  # its size, for the copy and for the reader
    with pytest.raises(StorageUnavailable), storage.local_copy(KEY):
        pytest.fail("there is no copy")
    assert len(faults) == 50 - ATTEMPTS * (s3.BREAKS + 1)
    assert copies(media_root) == []


def test_what_comes_with_other_bytes_is_no_copy(bucket: Bucket, media_root: Path):
    stored()
    bucket.store.client.put_object(
        Bucket=bucket.name, Key=KEY, Body=b"damaged", Metadata={"sha256": "0" * 64}
    )
    with pytest.raises(StorageUnavailable, match="other bytes"), storage.local_copy(KEY):
        pytest.fail("there is no copy")
    assert copies(media_root) == []


@pytest.mark.parametrize("step", ["put", "fetch"])
def test_a_worker_that_has_to_stop_does_not_wait_for_the_server(
    step: str, faults: list[str], media_root: Path
):
    if step == "fetch":
        stored()
        faults += ["no"]
    faults += ["hung"] * 9
    asked = iter([False, True] if step == "fetch" else [False, False, False, False, True])
    with pytest.raises(storage.Stopped):
        start(step, lambda: next(asked))
    if step == "fetch":
        assert copies(media_root) == []


def start(step: str, should_stop: storage.ShouldStop) -> None:
    if step == "put":
        storage.publish(part_of(), KEY, should_stop=should_stop)
    else:
        with storage.local_copy(KEY, should_stop=should_stop):
            pytest.fail("there is no copy")


# --- files of a transaction to come --------------------------------------------------


@pytest.mark.parametrize("where", ["local", "bucket"])
def test_a_file_that_nobody_lands_is_gone(where: str, request: pytest.FixtureRequest):
    if where == "bucket":
        request.getfixturevalue("bucket")
    with pytest.raises(ZeroDivisionError), storage.brought(part_of(), KEY):
        raise ZeroDivisionError
    assert not storage.is_there(KEY)
    with storage.brought(part_of(), KEY) as arrival:
        assert str(arrival.row_id) == ROW
        assert storage.is_there(KEY) is (where == "bucket")
        arrival.land()
    assert storage.read_bytes(KEY) == CONTENT


# --- copies --------------------------------------------------------------------------


def test_a_copy_is_fetched_once_for_all_who_want_it(faults: list[str], media_root: Path):
    stored()
    gets: list[str] = []
    fetch = scratch._fetch

    def counted(*args: Any) -> None:
        gets.append(args[1])
        fetch(*args)

    def read(_number: int) -> bytes:
        with storage.local_copy(KEY) as path:
            return path.read_bytes()

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(8) as pool:
        patch.setattr(scratch, "_fetch", counted)
        assert list(pool.map(read, range(8))) == [CONTENT] * 8
    assert (gets, copies(media_root)) == ([KEY], [len(CONTENT)])


def test_the_longest_unused_copy_makes_room_and_one_in_use_stays(
    bucket: Bucket, media_root: Path, settings: Any
):
    settings.SCRATCH_BYTES = 2 * len(CONTENT)
    keys = [stored(f"{ORG}/projects/{ROW}/source{number}") for number in range(3)]
    with storage.local_copy(keys[0]) as used:
        with storage.local_copy(keys[1]):
            pass
        with storage.local_copy(keys[2]):  # in place of the second
            assert sum(copies(media_root)) == 2 * len(CONTENT)
            with pytest.raises(StorageFull), storage.local_copy(keys[1]):
                pytest.fail("both are in use")
        assert used.read_bytes() == CONTENT
    with storage.local_copy(keys[1]):
        assert sum(copies(media_root)) == 2 * len(CONTENT)
    assert len(list((media_root / SCRATCH).glob("*.lock"))) == 3


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_the_bound_is_exact(
    bucket: Bucket, media_root: Path, settings: Any, spare: int, fits: bool
):
    settings.SCRATCH_BYTES = len(CONTENT) + spare
    stored()
    try:
        with storage.local_copy(KEY) as path:
            assert fits
            assert path.read_bytes() == CONTENT
    except StorageFull:
        assert not fits
        assert copies(media_root) == []


def test_a_disk_that_is_short_gets_no_copy(
    bucket: Bucket, media_root: Path, monkeypatch: pytest.MonkeyPatch
):
    one, other = stored(), stored(f"{ORG}/exports/{ROW}/other")
    with storage.local_copy(one):
        pass
    monkeypatch.setattr(storage.disk, "has_room", lambda _size: False)
    with pytest.raises(StorageFull), storage.local_copy(other):
        pytest.fail("there is no room")
    assert copies(media_root) == []  # what was not in use went


def test_a_copy_of_another_process_is_not_removed_while_it_reads(
    bucket: Bucket, media_root: Path, settings: Any
):
    stored()
    with storage.local_copy(KEY) as path:
        pass
    code = (
        "import fcntl, os, sys; file = os.open(sys.argv[1], os.O_RDWR); fcntl.flock(file, fcntl.LOCK_SH);"
        "print('reading', flush=True); sys.stdin.read()"
    )
    lock = path.with_name(f"{path.name}.lock")
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        later = time.time() + scratch.UNUSED_SECONDS + 60
        assert scratch.remove_unused(older_than_seconds=scratch.UNUSED_SECONDS, now=later) == 0
        other.kill()
        other.wait()
    assert scratch.remove_unused(older_than_seconds=scratch.UNUSED_SECONDS, now=later) == 1
    assert copies(media_root) == []


@pytest.mark.parametrize(("older", "removed"), [(0, 0), (1, 1)])
def test_a_copy_is_unused_for_so_long_to_the_second(bucket: Bucket, older: int, removed: int):
    stored()
    with storage.local_copy(KEY) as path:
        pass
    used_at = 2_000_000_000
    os.utime(path, (used_at, used_at))
    now = used_at + scratch.UNUSED_SECONDS + older
    assert removed == scratch.remove_unused(older_than_seconds=scratch.UNUSED_SECONDS, now=now)


def test_what_a_killed_process_fetched_is_no_copy_and_makes_room(
    bucket: Bucket, media_root: Path, settings: Any
):
    stored()
    with storage.local_copy(KEY) as path:
        pass
    half = path.with_name(f"{path.name}.part")
    path.rename(half)
    half.write_bytes(b"half of it")
    lock = path.with_name(f"{path.name}.lock")
    wanted_at = lock.stat().st_mtime
    assert scratch.remove_unused(older_than_seconds=60, now=wanted_at + 61) == 1
    assert list((media_root / SCRATCH).glob(f"{path.name}*")) == []
    half.write_bytes(b"half of it")
    with storage.local_copy(KEY) as again:
        assert again.read_bytes() == CONTENT
    assert copies(media_root) == [len(CONTENT)]


def test_many_threads_in_a_small_scratch_read_what_they_asked_for(
    bucket: Bucket, media_root: Path, settings: Any
):
    """Room for three of six: each gets its own, or hears that there is none, and the bound holds."""
    size = 100_000
    settings.SCRATCH_BYTES = 3 * size
    contents = {
        stored(f"{ORG}/projects/{ROW}/{number}", bytes([number]) * size): bytes([number]) * size
        for number in range(6)
    }
    most: list[int] = []
    wrong: list[str] = []
    barrier = threading.Barrier(6)

    def read(key: str) -> int:
        barrier.wait()
        read = 0
        for _ in range(5):
            try:
                with storage.local_copy(key) as path:
                    if path.read_bytes() != contents[key]:
                        wrong.append(key)
                    most.append(sum(copies_now(media_root)))
                    read += 1
            except StorageFull:
                continue
        return read

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(read, contents)) > 0
    assert wrong == []
    assert max(most) <= 3 * size


def test_copies_that_get_their_names_meanwhile_are_counted_all_the_same(tmp_path: Path):
    for number in range(1000):
        (tmp_path / f"{number}.part").write_bytes(b"ten bytes.")

    def name_them() -> None:
        for number in range(1000):
            (tmp_path / f"{number}.part").replace(tmp_path / str(number))

    with ThreadPoolExecutor(1) as pool:
        named = pool.submit(name_them)
        found = {sum(scratch.sizes(tmp_path).values())}
        while not named.done():
            found.add(sum(scratch.sizes(tmp_path).values()))
    assert found == {10_000}


def copies_now(media_root: Path) -> list[int]:
    sizes = []
    for path in (media_root / SCRATCH).iterdir():
        if path.suffix != ".lock":
            try:
                sizes.append(path.stat().st_size)
            except FileNotFoundError:
                continue
    return sizes


# --- addresses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("https://bucket.s3.amazonaws.com", "must be like s3://bucket"),
        ("file:relative", "must be like s3://bucket"),
        ("s3://key:secret@bucket", "has a key or password in it"),
        ("s3://A_b", "names no bucket"),
        ("s3://bucket?endpoint=minio:9000", "has an endpoint that is not like"),
        ("s3://bucket?zone=1", "has 'zone', which is none of"),
        ("s3://bucket?addressing=odd", "has an addressing"),
    ],
)
def test_an_address_that_is_wrong_says_how(url: str, sentence: str):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        backend_of(url)


def test_an_address_says_all_but_the_secrets():
    backend = backend_of("s3://my.bucket/a/b/?endpoint=https://host:9000&region=eu-1")
    assert backend["OPTIONS"] == {
        "bucket_name": "my.bucket",
        "location": "a/b",
        "endpoint_url": "https://host:9000",
        "region_name": "eu-1",
    }
    assert backend_of("file:///srv/my%20files")["OPTIONS"] == {"location": "/srv/my files"}
