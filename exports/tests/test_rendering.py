"""Rendering real clips, from a queued export to its file."""

from __future__ import annotations

import datetime
import hashlib
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from procrastinate.contrib.django import app

from clipforge.common import storage
from clipforge.common.errors import StorageFull
from clipforge.common.shutdown import stopping
from clipforge.devtools.testing.children import is_alive, on_first_sign_of_life
from clipforge.devtools.testing.factories import (
    make_export,
    make_organization,
    make_project,
    make_tier_limits,
)
from clipforge.devtools.testing.faults import end_the_connection
from clipforge.devtools.testing.state import (
    Funds,
    funds,
    jobs_of,
    lapse_lease,
    nothing_changes,
    stored_files,
)
from clipforge.jobs import lifecycle, sweeping
from clipforge.media import Rendered, illustrate, probe, render
from clipforge.orgs.models import Organization
from credits import services as credit_services
from credits.models import CreditTransaction, TransactionType
from exports import rendering
from exports.models import Export
from projects.models import Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def org() -> Organization:
    return make_organization(credits_=10)


@pytest.fixture
def project(org: Organization, talk: Path) -> Project:
    """Thirty seconds of real video, analysed. Its analysis was paid with credits of its own."""
    return make_project(org, source=talk, duration=30.0)


@pytest.fixture
def running_worker() -> Iterator[None]:
    yield
    stopping.clear()


def queued(project: Project, **overrides: Any) -> Export:
    """An export of a second and a half, square, 480 pixels."""
    fields = {"start": 6.0, "end": 7.5, "aspect": "1:1", "resolution": 480, **overrides}
    return make_export(project, status="QUEUED", **fields)


def run(export: Export) -> Export:
    """The task as the worker runs it."""
    app.tasks["exports.render"](export_id=str(export.pk), fence=export.fence)
    export.refresh_from_db()
    return export


def files_of(export: Export) -> list[str]:
    folder = Path(f"{export.org_id}/exports/{export.pk}")
    return [path.name for path in stored_files() if path.parent == folder]


def published(fence: int) -> list[str]:
    """The clip of an attempt, and its pictures."""
    pictures = ("poster.jpg", "poster.webp", "strip.jpg", "strip.vtt")
    return [f"{fence}.mp4", *(f"{fence}.{name}" for name in pictures)]


def unfinished_files() -> list[Path]:
    return [path for path in stored_files() if path.parts[0] == storage.INCOMING]


def spent_on(export: Export) -> list[int]:
    spends = CreditTransaction.objects.filter(
        type=TransactionType.SPEND, reference_id=str(export.pk)
    )
    return [spend.amount for spend in spends]


# --- what becomes of an export --------------------------------------------------------


def test_a_finished_export_has_its_file_and_is_charged_once(org: Organization, project: Project):
    export = run(queued(project))
    assert (export.status, export.error_code, export.progress) == ("READY", "", 1)
    assert export.file_key == f"{org.pk}/exports/{export.pk}/1.mp4"
    assert files_of(export) == published(1)
    assert unfinished_files() == []

    path = storage.path_of(export.file_key)
    found = probe(path)
    assert (found.video_codec, found.audio_codec) == ("h264", "aac")
    assert (export.width, export.height) == (found.width, found.height) == (480, 480)
    assert export.duration == pytest.approx(found.duration, abs=0.05)
    assert export.duration == pytest.approx(1.5, abs=0.1)
    assert export.size == path.stat().st_size
    assert export.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    assert spent_on(export) == [-1]
    assert funds(org) == Funds(available=10, held=0)


def test_a_file_is_kept_as_long_as_the_tier_says(project: Project):
    make_tier_limits(retention_days=9)
    export = run(queued(project))
    assert export.expires_at is not None
    left = export.expires_at - timezone.now()
    assert datetime.timedelta(days=8, hours=23) < left <= datetime.timedelta(days=9)


def test_a_job_of_another_fence_does_nothing(project: Project):
    export = queued(project)
    with nothing_changes():
        app.tasks["exports.render"](export_id=str(export.pk), fence=7)
        app.tasks["exports.render"](export_id=str(uuid.uuid4()), fence=0)


def test_a_source_that_is_gone_fails_as_missing_and_costs_nothing(
    org: Organization, project: Project
):
    storage.delete(project.source_key)
    export = run(queued(project))
    assert (export.status, export.error_code) == ("FAILED", "source_missing")
    assert funds(org) == Funds(available=11, held=0)
    assert stored_files() == []


def test_a_source_that_was_deleted_after_its_retention_fails_as_missing_and_costs_nothing(
    org: Organization, project: Project
):
    """As when an export that failed is tried again after that."""
    waiting = queued(project)
    Project.objects.filter(pk=project.pk).update(status="EXPIRED", source_key="")
    export = run(waiting)
    assert (export.status, export.error_code) == ("FAILED", "source_missing")
    assert funds(org) == Funds(available=11, held=0)


def test_a_source_that_breaks_off_before_the_range_fails_and_costs_nothing(
    org: Organization, cut_off: Path
):
    project = make_project(org, source=cut_off, duration=30.0)
    export = run(queued(project, start=27.0, end=29.0))
    assert export.status == "FAILED"
    assert export.error_code in {"truncated", "bad_range", "verify_failed"}
    assert export.error_message
    assert (files_of(export), unfinished_files()) == ([], [])
    assert funds(org) == Funds(available=11, held=0)


def test_an_unforeseen_exception_fails_the_export_and_costs_nothing(
    org: Organization, project: Project, monkeypatch: pytest.MonkeyPatch, caplog: Any
):
    def broken(*args: object, **kwargs: object) -> Rendered:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(rendering, "render", broken)
    export = run(queued(project))
    assert (export.status, export.error_code) == ("FAILED", "internal_error")
    assert "bug" not in export.error_message
    assert "a bug of ours" in caplog.text
    assert (files_of(export), unfinished_files()) == ([], [])
    assert funds(org) == Funds(available=11, held=0)


# --- a full disk ----------------------------------------------------------------------


@pytest.fixture
def small_disk(media_root: Path, talk: Path) -> Iterator[Path]:
    """MEDIA_ROOT on a disk of its own with room for the source and 16 KiB."""
    media_root.mkdir(parents=True)
    size = talk.stat().st_size + 16 * 1024
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(media_root)]
    if subprocess.run(["/bin/mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk")
    yield media_root
    subprocess.run(["/bin/umount", str(media_root)], check=True)


def test_a_full_disk_fails_the_export_and_costs_nothing(
    org: Organization, small_disk: Path, talk: Path
):
    project = make_project(org, source=talk, duration=30.0)
    export = run(queued(project, end=20.0))
    assert (export.status, export.error_code) == ("FAILED", "storage_full")
    assert (files_of(export), unfinished_files()) == ([], [])
    assert funds(org) == Funds(available=11, held=0)


# --- what happens meanwhile -----------------------------------------------------------


def after_the_render(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Call `act` when the file and its pictures are made and nothing is recorded yet."""

    def illustrate_and_act(*args: Any, **kwargs: Any) -> list[str]:
        names = illustrate(*args, **kwargs)
        act()
        return names

    monkeypatch.setattr(rendering, "illustrate", illustrate_and_act)


def test_a_cancel_stops_the_child_and_gives_the_credits_back(
    org: Organization, project: Project, monkeypatch: pytest.MonkeyPatch
):
    export = queued(project, end=26.0, resolution=1080)
    children = on_first_sign_of_life(monkeypatch, lambda: lifecycle.cancel(export, actor="client"))
    run(export)
    assert (export.status, export.fence) == ("CANCELLED", 2)
    assert len(children) == 1
    assert not is_alive(children[0])
    assert (files_of(export), unfinished_files()) == ([], [])
    assert (spent_on(export), jobs_of(export)) == ([], [0])
    assert funds(org) == Funds(available=11, held=0)


@pytest.mark.usefixtures("running_worker")
def test_a_worker_that_has_to_stop_hands_the_export_back(
    org: Organization, project: Project, monkeypatch: pytest.MonkeyPatch
):
    export = queued(project, end=26.0, resolution=1080)
    children = on_first_sign_of_life(monkeypatch, stopping.set)
    run(export)
    assert (export.status, export.fence, export.attempts) == ("QUEUED", 2, 0)
    assert not is_alive(children[0])
    assert (files_of(export), unfinished_files()) == ([], [])
    assert jobs_of(export) == [0, 2]
    assert funds(org) == Funds(available=10, held=1)


def test_the_file_of_a_worker_that_came_too_late_is_deleted(
    org: Organization, project: Project, monkeypatch: pytest.MonkeyPatch
):
    export = queued(project)

    def take_away() -> None:
        lapse_lease(export)
        assert sweeping.sweep(Export) == (1, 0)

    after_the_render(monkeypatch, take_away)
    run(export)
    assert (export.status, export.fence, export.file_key) == ("QUEUED", 2, "")
    assert (files_of(export), unfinished_files()) == ([], [])
    assert (spent_on(export), funds(org)) == ([], Funds(available=10, held=1))

    monkeypatch.undo()
    run(export)
    assert (export.status, export.attempts) == ("READY", 2)
    assert (files_of(export), spent_on(export)) == (published(3), [-1])


def test_an_export_of_a_project_deleted_meanwhile_leaves_no_file(
    org: Organization,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
):
    from projects.services import delete_project

    export = queued(project)
    after_the_render(monkeypatch, lambda: delete_project(project=project, actor="client"))
    with django_capture_on_commit_callbacks(execute=True):
        app.tasks["exports.render"](export_id=str(export.pk), fence=0)
    assert not Export.objects.exists()
    assert stored_files() == []
    assert funds(org) == Funds(available=11, held=0)


def test_a_hold_that_lapsed_meanwhile_fails_the_export_without_a_file(
    org: Organization, project: Project, monkeypatch: pytest.MonkeyPatch
):
    export = queued(project)
    hold_id = export.hold_id
    assert hold_id is not None
    after_the_render(monkeypatch, lambda: credit_services.release(hold_id=hold_id, actor="staff"))
    run(export)
    assert (export.status, export.error_code) == ("FAILED", "hold_lapsed")
    assert (files_of(export), spent_on(export)) == ([], [])
    assert funds(org) == Funds(available=11, held=0)


def test_what_dead_attempts_left_beside_the_file_goes_with_the_next_success(project: Project):
    export = queued(project)
    left = storage.path_of(f"{export.org_id}/exports/{export.pk}/0.mp4")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"published, never recorded")
    assert run(export).status == "READY"
    assert files_of(export) == published(1)


def test_until_the_pictures_are_made_nothing_is_stored_that_a_killed_worker_would_leave(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    """An export that is cancelled after its worker died has a row, so nobody would take it for an orphan."""
    export = queued(project)
    stored: list[list[str]] = []
    after_the_render(monkeypatch, lambda: stored.append(files_of(export)))
    assert run(export).status == "READY"
    assert (stored, files_of(export)) == ([[]], published(1))


@pytest.mark.django_db(transaction=True)
def test_a_database_that_goes_away_at_the_end_costs_nothing_extra(
    talk: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whether the result was committed is not known then: its file stays until that is clear."""
    make_tier_limits()
    org = make_organization(credits_=10)
    export = queued(make_project(org, source=talk, duration=30.0))
    after_the_render(monkeypatch, end_the_connection)
    with pytest.raises(OperationalError):
        run(export)
    connection.close()
    export.refresh_from_db()
    assert (export.status, export.fence, files_of(export)) == ("RENDERING", 1, published(1))

    monkeypatch.undo()
    lapse_lease(export)
    app.tasks["exports.sweep"](timestamp=0)
    export.refresh_from_db()
    run(export)
    assert (export.status, export.attempts, files_of(export)) == ("READY", 2, published(3))
    assert spent_on(export) == [-1]
    assert funds(org) == Funds(available=10, held=0)


@pytest.mark.parametrize(("seconds", "wall"), [(1.0, 300), (15.0, 300), (15.1, 302), (60.0, 1200)])
def test_a_stuck_render_is_given_twenty_times_its_length_and_five_minutes_at_least(
    seconds: float, wall: float
):
    """And reads no more of the source than there is, and a second."""
    project = make_project(duration=120.0)
    limits = rendering._limits(make_export(project, status="QUEUED", start=1.0, end=1.0 + seconds))
    assert limits.wall_seconds == pytest.approx(wall)
    assert limits.max_duration == 121.0


def test_a_render_runs_within_the_limits_of_its_length(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    export = queued(project)
    given = []

    def listen(*arguments: Any, limits: Any, **options: Any) -> Any:
        given.append(limits)
        return render(*arguments, limits=limits, **options)

    monkeypatch.setattr(rendering, "render", listen)
    run(export)
    assert given == [rendering._limits(export)]


@pytest.mark.parametrize("fault", [StorageFull("no room"), RuntimeError("broken")], ids=repr)
def test_pictures_that_find_no_room_are_left_out_and_after_another_fault_the_clip_goes_too(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
):
    export = make_export(content=b"clip")

    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(storage, "publish", fail)
    if isinstance(fault, StorageFull):
        rendering._publish_pictures([Path("poster.jpg")], export.file_key)
        assert stored_files() == [Path(export.file_key)]
    else:
        with pytest.raises(RuntimeError, match="broken"):
            rendering._publish_pictures([Path("poster.jpg")], export.file_key)
        assert stored_files() == []
