"""How long finished files are kept, and the removal of files that no row knows."""

from __future__ import annotations

import datetime
import os
import time
import uuid
from pathlib import Path

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from procrastinate.contrib.django import app

from clipforge.common import storage
from clipforge.devtools.testing.clocks import MICROSECOND, clocks_at
from clipforge.devtools.testing.factories import make_export, make_organization, make_project
from clipforge.devtools.testing.state import Funds, funds, nothing_changes, stored_files
from clipforge.jobs import registry, retention
from exports import pinning, tasks
from exports.jobs import RENDER
from exports.models import Export
from projects import tasks as project_tasks

pytestmark = pytest.mark.django_db

SECOND = datetime.timedelta(seconds=1)
A_DAY = 86_400


def end_retention(export: Export) -> None:
    Export.objects.filter(pk=export.pk).update(expires_at=timezone.now() - SECOND)


def test_a_file_past_its_retention_is_deleted_and_stays_paid():
    export = make_export(status="READY")
    assert stored_files() == [Path(export.file_key)]
    end_retention(export)
    tasks.expire_exports(timestamp=0)
    export.refresh_from_db()
    assert (export.status, export.file_key) == ("EXPIRED", "")
    assert stored_files() == []
    assert not storage.path_of(f"{export.org_id}/exports/{export.pk}").exists()
    assert funds(export.org) == Funds(available=0, held=0)
    assert export.hold is not None
    assert export.hold.status == "CAPTURED"


def test_a_file_within_its_retention_is_kept():
    make_export(status="READY")
    with nothing_changes():
        tasks.expire_exports(timestamp=0)


@pytest.mark.parametrize(
    ("after", "due"), [(-MICROSECOND, False), (0 * MICROSECOND, False), (MICROSECOND, True)]
)
def test_retention_ends_to_the_microsecond(after: datetime.timedelta, due: bool):
    export = make_export(status="READY")
    assert export.expires_at is not None
    with clocks_at(export.expires_at + after):
        assert retention.due(RENDER).exists() is due
        tasks.expire_exports(timestamp=0)
    export.refresh_from_db()
    assert export.status == ("EXPIRED" if due else "READY")
    assert bool(stored_files()) is not due


def test_only_the_file_whose_retention_ended_is_deleted():
    kept, ended = make_export(status="READY"), make_export(status="READY")
    end_retention(ended)
    tasks.expire_exports(timestamp=0)
    kept.refresh_from_db()
    ended.refresh_from_db()
    assert (kept.status, ended.status) == ("READY", "EXPIRED")
    assert kept.file_key != ""
    assert stored_files() == [Path(kept.file_key)]


def test_an_expired_row_says_when_it_was_changed():
    export = make_export(status="READY")
    assert export.expires_at is not None
    ended = export.expires_at + SECOND
    with clocks_at(ended):
        tasks.expire_exports(timestamp=0)
    export.refresh_from_db()
    assert export.updated_at == ended


def test_of_what_is_due_the_longest_overdue_comes_first():
    exports = [make_export(status="READY") for _ in range(3)]
    for export, seconds in zip(exports, (2, 3, 1), strict=True):
        Export.objects.filter(pk=export.pk).update(expires_at=timezone.now() - seconds * SECOND)
    assert list(retention.due(RENDER)) == [exports[1], exports[0], exports[2]]


@pytest.mark.parametrize("status", ["QUEUED", "RENDERING", "FAILED", "CANCELLED", "EXPIRED"])
def test_what_is_not_ready_does_not_expire(status: str):
    end_retention(make_export(status=status))
    assert not retention.due(RENDER).exists()
    with nothing_changes():
        tasks.expire_exports(timestamp=0)


def test_a_file_that_is_gone_already_expires_too():
    export = make_export(status="READY")
    storage.delete(export.file_key)
    end_retention(export)
    tasks.expire_exports(timestamp=0)
    export.refresh_from_db()
    assert export.status == "EXPIRED"


def test_files_of_exports_that_do_not_exist_are_removed_after_a_day():
    kept = make_export(make_export().project, status="READY")
    org = make_organization()
    orphan = storage.path_of(f"{org.pk}/exports/{uuid.uuid4()}/1.mp4")
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"left by a crash")
    app.tasks["exports.remove_orphans"](timestamp=0)
    assert orphan.exists()
    long_ago = time.time() - registry.ORPHAN_SECONDS - 60
    for folder in (orphan.parent, storage.path_of(kept.file_key).parent):
        os.utime(folder, (long_ago, long_ago))
    app.tasks["exports.remove_orphans"](timestamp=0)
    assert not orphan.parent.exists()
    assert storage.path_of(kept.file_key).exists()
    assert len(stored_files()) == 2


@pytest.mark.parametrize(("older", "removed"), [(-1, False), (0, False), (1, True)])
def test_a_day_is_over_to_the_second(older: int, removed: bool):
    now = 2_000_000_000
    orphan = storage.path_of(f"{uuid.uuid4()}/exports/{uuid.uuid4()}")
    orphan.mkdir(parents=True)
    changed_at = now - A_DAY - older
    os.utime(orphan, (changed_at, changed_at))
    with time_machine.travel(now, tick=False):
        app.tasks["exports.remove_orphans"](timestamp=0)
    assert orphan.exists() is not removed


@pytest.mark.parametrize("kind", ["exports", "projects"])
def test_of_old_folders_those_with_a_row_are_asked_for_and_kept(kind: str):
    """By no more than their ids: there may be millions of rows."""
    row = make_export() if kind == "exports" else make_project()
    orphans = [uuid.uuid4() for _ in range(2)]
    long_ago = time.time() - A_DAY - 60
    for pk in (row.pk, *orphans):
        folder = storage.path_of(f"{row.org_id}/{kind}/{pk}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").touch()
        os.utime(folder, (long_ago, long_ago))
    with CaptureQueriesContext(connection) as said:
        app.tasks[f"{kind}.remove_orphans"](timestamp=0)
    left = {path.name for path in storage.path_of(f"{row.org_id}/{kind}").iterdir()}
    assert left == {str(row.pk)}
    marker, statement = [query["sql"] for query in said.captured_queries]
    assert "jobs_storemarker" in marker
    assert all(str(pk).replace("-", "") in statement.replace("-", "") for pk in orphans)


def test_an_attempt_removes_what_a_killed_one_left_of_the_same_work_only():
    work, other = uuid.uuid4(), uuid.uuid4()
    for name in (f"{work}.1", f"{other}.1"):
        left = storage.path_of(f"{storage.INCOMING}/{name}/.render.part")
        left.parent.mkdir(parents=True)
        left.touch()
    with storage.workspace(work, 3) as folder:
        (folder / "clip.mp4").touch()
        assert [path.parts[1] for path in stored_files()] == sorted([f"{work}.3", f"{other}.1"])
    assert [path.parts[1] for path in stored_files()] == [f"{other}.1"]


def test_uploads_and_workspaces_of_a_crash_are_removed_after_a_day():
    day = 24 * 3600
    now = time.time()
    upload = storage.new_part()
    upload.touch()
    workspace = storage.path_of(f"{storage.INCOMING}/{uuid.uuid4()}.1")
    workspace.mkdir()
    (workspace / "clip.part").touch()
    for path in (upload, workspace):
        os.utime(path, (now - day - 1, now - day - 1))
    young = storage.new_part()
    young.touch()
    assert storage.remove_old_incoming(older_than_seconds=day, now=now) == 2
    assert stored_files() == [young.relative_to(storage.path_of(storage.INCOMING).parent)]


@pytest.mark.parametrize(("older", "removed"), [(-1, 0), (0, 0), (1, 2)])
def test_an_upload_is_abandoned_to_the_second(older: int, removed: int):
    now = 2_000_000_000
    storage.new_part().touch()
    storage.path_of(f"{storage.INCOMING}/{uuid.uuid4()}.1").mkdir()
    changed_at = now - A_DAY - older
    for path in storage.path_of(storage.INCOMING).iterdir():
        os.utime(path, (changed_at, changed_at))
    with time_machine.travel(now, tick=False):
        project_tasks.remove_uploads(timestamp=0)
    assert len(list(storage.path_of(storage.INCOMING).iterdir())) == 2 - removed


def test_an_export_that_was_deleted_or_changed_meanwhile_is_not_marked_as_expired(monkeypatch):
    export = make_export(status="READY")
    end_retention(export)
    delete = storage.delete

    def change_meanwhile(key: str) -> None:
        delete(key)
        Export.objects.filter(pk=export.pk).update(status="FAILED")

    monkeypatch.setattr(storage, "delete", change_meanwhile)
    tasks.expire_exports(timestamp=0)
    export.refresh_from_db()
    assert export.status == "FAILED"


@pytest.mark.parametrize("after", [-MICROSECOND, 0 * MICROSECOND, MICROSECOND])
def test_what_is_no_longer_pinned_has_nine_days_to_the_microsecond_or_its_retention(
    after: datetime.timedelta,
):
    export = make_export(status="READY")
    assert export.finished_at is not None
    retained = export.finished_at + datetime.timedelta(days=60)
    now = retained - pinning.GRACE + after
    Export.objects.filter(pk=export.pk).update(pinned=True, expires_at=None)
    with clocks_at(now):
        shown = pinning.pin_export(export=export, pinned=False, actor="test")
    nine_days = now + datetime.timedelta(days=9)
    assert (shown.pinned, shown.expires_at) == (False, max(retained, nine_days))
    assert shown.updated_at == now
