"""How long finished files are kept, and what is removed that nobody knows."""

from __future__ import annotations

import datetime
import os
import time
import uuid
from pathlib import Path

import pytest
from django.utils import timezone

from clipforge.common import storage
from clipforge.devtools.testing.factories import make_export, make_organization
from clipforge.devtools.testing.state import Funds, funds, nothing_changes, stored_files
from exports import tasks
from exports.models import Export

pytestmark = pytest.mark.django_db

SECOND = datetime.timedelta(seconds=1)


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


@pytest.mark.parametrize("status", ["QUEUED", "RENDERING", "FAILED", "CANCELLED", "EXPIRED"])
def test_what_is_not_ready_does_not_expire(status: str):
    end_retention(make_export(status=status))
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
    tasks.remove_orphans(timestamp=0)
    assert orphan.exists()
    long_ago = time.time() - tasks.ORPHAN_SECONDS - 60
    for folder in (orphan.parent, storage.path_of(kept.file_key).parent):
        os.utime(folder, (long_ago, long_ago))
    tasks.remove_orphans(timestamp=0)
    assert not orphan.parent.exists()
    assert storage.path_of(kept.file_key).exists()
    assert len(stored_files()) == 2


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
