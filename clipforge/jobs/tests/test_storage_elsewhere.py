"""`manage.py storage` with a bucket: audit, marker, check, and files that move from store to store."""

from __future__ import annotations

import json
import time
import uuid
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone
from procrastinate.contrib.django import app

from clipforge.common import storage
from clipforge.common.storage import migrating
from clipforge.devtools.testing.buckets import Bucket, FaultyProxy, new_bucket
from clipforge.devtools.testing.factories import make_export, make_project
from clipforge.devtools.testing.state import nothing_changes
from clipforge.jobs import retention, store_markers
from clipforge.jobs.models import StoreMarker
from exports.jobs import RENDER
from exports.models import Export

pytestmark = pytest.mark.django_db(transaction=True)

DAY = 86_400


def command(*options: str) -> tuple[list[str], str]:
    """The lines of `storage`, and the sentence with which it failed."""
    out, failure = StringIO(), ""
    try:
        call_command("storage", *options, stdout=out)
    except CommandError as error:
        failure = str(error)
    return out.getvalue().splitlines(), failure


def put(key: str, content: bytes = b"nobody's") -> str:
    part = storage.new_part()
    part.write_bytes(content)
    storage.publish(part, key)
    return key


@pytest.fixture
def export(bucket: Bucket, tmp_path: Path) -> Export:
    source = tmp_path / "source"
    source.write_bytes(b"s" * 1000)
    return make_export(make_project(source=source))


# --- rows and files ------------------------------------------------------------------


def test_the_audit_finds_in_a_bucket_what_it_finds_on_a_disk(export: Export, bucket: Bucket):
    missing, larger = make_export(export.project), make_export(export.project)
    storage.remove([missing.file_key])
    put(storage.companion_of(larger.file_key, "poster.jpg"), b"123")
    lost = put(f"{uuid.uuid4()}/exports/{uuid.uuid4()}/1.mp4")
    beside = put(export.file_key.replace("/1.mp4", "/0.mp4"))
    with time_machine.travel(time.time() + DAY + 60), nothing_changes():
        lines, failure = command("audit")
    size = larger.stored_bytes
    assert sorted(lines[:-1]) == sorted(
        [
            f"no row names this file: {lost}",
            f"no row names this file: {beside}",
            f"the file of this row is missing: export {missing.pk}: {missing.file_key}",
            "the row counts other bytes than its files have: "
            f"export {larger.pk}: {size}, and not {size + 3}",
        ]
    )
    assert failure == "4 findings."


def test_repair_takes_files_that_no_row_names_out_of_a_bucket(export: Export, bucket: Bucket):
    kept = bucket.names()
    lost = put(f"{uuid.uuid4()}/exports/{uuid.uuid4()}/1.mp4")
    with time_machine.travel(time.time() + DAY + 60):
        command("audit", "--repair", "--dry-run")
        assert lost in bucket.names()
        command("audit", "--repair")
        # It was copied there by the server, whose clock is ours of before: it is a day old already.
        assert bucket.names() == kept


def test_a_bucket_of_another_database_stops_the_sweeps(export: Export, bucket: Bucket):
    store_markers.advance()
    assert store_markers.is_known()
    StoreMarker.objects.all().delete()
    assert not store_markers.is_known()
    orphan = put(f"{uuid.uuid4()}/exports/{uuid.uuid4()}/1.mp4")
    Export.objects.update(expires_at=timezone.now())
    with time_machine.travel(time.time() + 2 * DAY):
        app.tasks["exports.remove_orphans"](timestamp=0)
    assert retention.expire(RENDER) == 0
    assert {orphan, export.file_key} <= set(bucket.names())
    command("accept", "--reason", "it was looked at")
    assert retention.expire(RENDER) == 1
    assert export.file_key not in bucket.names()
    with time_machine.travel(time.time() + 2 * DAY):
        app.tasks["exports.remove_orphans"](timestamp=0)
    assert orphan not in bucket.names()


# --- check ---------------------------------------------------------------------------


def test_a_store_that_does_all_it_has_to_is_ok_and_as_it_was(bucket: Bucket, media_root: Path):
    lines, failure = command("check")
    assert lines == [
        "ok  put a file",
        "ok  find its size and digest",
        "ok  read it",
        "ok  read a range by a signed address",
        "ok  list its folder",
        "ok  give it another key",
        "ok  list uploads in parts",
        "ok  take a part at a signed address",
        "ok  delete it",
    ]
    assert failure == ""
    assert (bucket.names(), bucket.unfinished()) == ([], 0)
    assert [path for path in media_root.rglob("*") if path.is_file()] == []


def test_a_proxy_that_is_missing_and_addresses_that_are_none_are_told_of(
    live_server: Any, settings: Any, bucket: Bucket
):
    assert command("check", "--through", live_server.url)[1] == ""  # by a link to the bucket
    for origin in ("clips.example.com", "ftp://x.com", "https://x/files", "https://me:word@x.com"):
        assert command("check", "--through", origin) == (
            [],
            f"{origin} must be like https://clips.example.com.",
        )
    assert command("check", "--through", live_server.url, "--to", bucket.url) == (
        [],
        "--through is of the store of this installation: leave out --to.",
    )


def test_web_without_the_proxy_that_it_counts_on_is_told_of(live_server: Any, settings: Any):
    assert command("check", "--through", live_server.url)[1] == ""
    settings.ACCEL_REDIRECT_PREFIX = "/stored/"
    lines, failure = command("check", "--through", live_server.url)
    assert lines[-1] == (
        f"no  fetch a range from {live_server.url}: nothing in front of web takes its X-Accel-Redirect: "
        "clients get no bytes"
    )
    assert failure == f"The store does not do what it has to: fetch a range from {live_server.url}."


def test_the_local_store_is_checked_too():
    assert command("check")[1] == ""


@pytest.mark.parametrize(
    ("method", "step"),
    [("PUT", "put a file"), ("HEAD", "put a file"), ("POST", "give it another key")],
)
def test_a_store_that_refuses_is_told_of_by_the_step(bucket: Bucket, method: str, step: str):
    with FaultyProxy(bucket.endpoint, lambda asked, _: "500" if asked == method else None) as proxy:
        lines, failure = command(
            "check", "--to", bucket.url.replace(bucket.endpoint, proxy.endpoint)
        )
    assert failure == f"The store does not do what it has to: {step}."
    assert lines[-1].startswith(f"no  {step}: ")


def test_a_policy_of_before_that_does_not_list_parts_is_told_of(bucket: Bucket):
    def plan(method: str, path: str) -> str | None:
        return "500" if method == "GET" and "uploadId" in path else None

    with FaultyProxy(bucket.endpoint, plan) as proxy:
        lines, failure = command(
            "check", "--to", bucket.url.replace(bucket.endpoint, proxy.endpoint)
        )
    assert failure == "The store does not do what it has to: take a part at a signed address."
    assert "ListParts" in lines[-1]
    assert bucket.unfinished() == 0


def test_a_bucket_that_is_not_there_and_an_address_that_is_none(bucket: Bucket):
    lines, failure = command("check", "--to", bucket.url.replace(bucket.name, "no-such-bucket"))
    assert "put a file" in failure
    assert "bucket does not exist" in lines[0]
    assert command("check", "--to", "ftp://x") == (
        [],
        "ftp://x must be like s3://bucket?endpoint=https://host, or file:///folder.",
    )


def test_it_says_the_same_to_programs(bucket: Bucket, capsys: pytest.CaptureFixture[str]):
    call_command("storage", "check", "--json")
    said = json.loads(capsys.readouterr().out)
    assert [step["problem"] for step in said["steps"]] == [""] * 9


# --- moving --------------------------------------------------------------------------


@pytest.fixture
def files(media_root: Path) -> dict[str, bytes]:
    """Of a local store, with what is unfinished and what is on its way out."""
    found = {put(f"org/exports/{number}/1.mp4", b"%d" % number * 1000): b"" for number in range(5)}
    put("marker", b"m")
    put(f"{storage.ASIDE}/org/exports/9/1.mp4")
    storage.new_part().write_bytes(b"half")
    return {key: storage.read_bytes(key) for key in [*found, "marker"]}


def contents(store: storage.Store) -> dict[str, bytes]:
    found = {}
    for entry in store.everything():
        with store.read(entry.key) as file:
            found[entry.key] = file.read()
    return found


def test_files_go_to_a_bucket_and_back(files: dict[str, bytes], s3_endpoint: str, tmp_path: Path):
    there = new_bucket(s3_endpoint)
    assert command("migrate", "--to", there.url, "--dry-run")[0][0] == (
        "6 files: 6 copied (0.0 MB), 0 were there already, 0 removed, 0 failed."
    )
    assert there.names() == []
    assert command("migrate", "--to", there.url)[1] == ""
    assert contents(there.store) == files
    back = tmp_path / "back"
    address = back.as_uri()
    assert command("migrate", "--from", there.url, "--to", address)[1] == ""
    assert contents(storage.at(address)) == files
    assert contents(storage.current()) == files  # nothing was removed on the way


def test_one_that_was_ended_goes_on_with_what_is_missing(files: dict[str, bytes], s3_endpoint: str):
    there = new_bucket(s3_endpoint)
    begun = migrating.migrate(storage.current(), there.store)
    next(begun)
    begun.close()
    left = len(files) - len(there.names())
    there.store.remove(["org/exports/1/1.mp4"])
    there.store.client.put_object(Bucket=there.name, Key="org/exports/2/1.mp4", Body=b"2" * 999)
    there.store.client.put_object(Bucket=there.name, Key="org/exports/3/1.mp4", Body=b"x" * 1000)
    lines, failure = command("migrate", "--to", there.url)
    assert failure == ""
    assert lines[-1].startswith(f"6 files: {left + 3} copied")
    assert contents(there.store) == files
    assert command("migrate", "--to", there.url)[0][-1].startswith("6 files: 0 copied")


def test_what_fails_is_named_and_passed_over_and_comes_with_the_next_run(
    files: dict[str, bytes], s3_endpoint: str
):
    there = new_bucket(s3_endpoint)
    with FaultyProxy(
        there.endpoint,
        lambda method, path: "500" if method == "PUT" and "exports/2/" in path else None,
    ) as proxy:
        lines, failure = command(
            "migrate", "--to", there.url.replace(there.endpoint, proxy.endpoint)
        )
    assert failure == "1 files failed. Run it again: it goes on with what is missing."
    assert lines[0].startswith("org/exports/2/1.mp4: The storage does not answer")
    assert command("migrate", "--to", there.url)[1] == ""
    assert contents(there.store) == files


def test_nothing_is_removed_before_both_were_read_and_are_the_same(
    files: dict[str, bytes], s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    old, new = new_bucket(s3_endpoint), new_bucket(s3_endpoint)
    command("migrate", "--to", old.url)
    digest = migrating._digest

    def damaged(store: storage.Store, key: str) -> str:
        """As if other bytes came back of one."""
        return "other" if key == "org/exports/2/1.mp4" else digest(store, key)

    monkeypatch.setattr(migrating, "_digest", damaged)
    _, failure = command("migrate", "--from", old.url, "--to", new.url, "--remove")
    assert failure.startswith("1 files failed")
    assert old.names() == ["org/exports/2/1.mp4"]
    assert "org/exports/2/1.mp4" not in new.names()
    monkeypatch.undo()
    assert command("migrate", "--from", old.url, "--to", new.url, "--remove")[1] == ""
    assert (old.names(), contents(new.store)) == ([], files)


def test_a_store_is_not_moved_into_itself_nor_is_ours_emptied(
    files: dict[str, bytes], s3_endpoint: str, media_root: Path
):
    """However it is written: the file would be its own copy, and then be removed."""
    there = new_bucket(s3_endpoint)
    ours = media_root.as_uri()
    for options, sentence in (
        (("--to", ours), "Both addresses are of the same store."),
        (("--from", ours, "--to", there.url, "--remove"), "The files of this installation are not"),
        (("--to", there.url, "--remove"), "The files of this installation are not"),
        ((), "Say where to: --to URL."),
    ):
        assert command("migrate", *options)[1].startswith(sentence)
    assert contents(storage.current()) == files
    assert there.names() == []


def test_what_is_sent_in_parts_stays_where_its_sender_goes_on(bucket: Bucket, media_root: Path):
    """It is on the disk of the web processes wherever the store is: the disk is emptied below them."""
    part = media_root / "org/uploads/1/part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    source = media_root / "org/projects/1/source"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"whole")
    lines, failure = command(
        "migrate", "--from", media_root.as_uri(), "--to", bucket.url, "--remove"
    )
    assert (failure, bucket.names()) == ("", ["org/projects/1/source"])
    assert lines[-1].startswith("1 files: 1 copied")
    assert (part.read_bytes(), source.exists()) == (b"half", False)


def test_a_million_files_are_moved_in_the_memory_of_a_batch(monkeypatch: pytest.MonkeyPatch):
    """The listing is read as far as files are on their way."""
    seen: list[int] = []

    def everything() -> Any:
        for number in range(1_000_000):
            seen.append(number)
            yield storage.Entry(str(number), 1, 0, 0)

    monkeypatch.setattr(migrating, "_migrated", lambda _s, _t, entry, **_: entry)
    store = type("Listed", (), {"everything": staticmethod(everything)})()
    moving = migrating.migrate(store, store)
    for _ in range(3):
        next(moving)
    assert len(seen) <= 16 * migrating.AT_ONCE
    moving.close()
