"""Every step of a render of one second: what is recorded of it, and which files stay after each fault."""

from __future__ import annotations

import datetime
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from clipforge.common import storage
from clipforge.common.errors import StorageFull
from clipforge.devtools.testing.factories import (
    make_export,
    make_organization,
    make_project,
    make_tier_limits,
    make_transcript,
)
from clipforge.devtools.testing.state import stored_files
from clipforge.jobs.failures import HoldLost, JobFailed
from clipforge.media import Aspect, ErrorCode, Layout, MediaError, RenderSpec, probe
from clipforge.media.contracts import (
    CaptionMode,
    CaptionPosition,
    CaptionSize,
    Format,
    Mark,
    WatermarkPosition,
)
from clipforge.orgs import stored
from credits import services as credit_services
from exports import rendering
from exports.models import Export, Watermark
from projects.failures import SOURCE_MISSING
from projects.models import Project

pytestmark = pytest.mark.django_db

CLIP = ["1.mp4"]
BOTH = ["1.mp4", "1.poster.jpg", "1.poster.webp", "1.strip.jpg", "1.strip.vtt"]


class Control:
    """The way back to a worker that never has to stop."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def note(self, stage: str, progress: float) -> None:  # noqa: ARG002 - as workers have it
        if stage not in self.stages:
            self.stages.append(stage)

    def must_stop(self) -> bool:
        return False


@pytest.fixture
def control() -> Control:
    return Control()


@pytest.fixture
def project(still: Path) -> Project:
    return make_project(make_organization(credits_=10), source=still, duration=6.0)


@pytest.fixture
def export(project: Project) -> Export:
    """One second, being rendered."""
    options: dict[str, Any] = {"start": 1.0, "end": 2.0, "aspect": "1:1", "resolution": 480}
    return make_export(project, status="RENDERING", **options)


def paths_of(export: Export) -> list[Path]:
    folder = Path(f"{export.org_id}/exports/{export.pk}")
    found = [path for path in stored_files() if path.parent == folder]
    return [storage.path_of(str(path)) for path in sorted(found)]


def files_of(export: Export) -> list[str]:
    return [path.name for path in paths_of(export)]


# --- the run ----------------------------------------------------------------------------


def test_its_result_is_recorded_as_it_was_rendered_and_what_earlier_attempts_left_goes(
    export: Export, control: Control
):
    make_tier_limits(retention_days=9)
    left = storage.path_of(f"{export.org_id}/exports/{export.pk}/0.mp4")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"published, never recorded")
    before = stored.settle(export.org_id)
    began = timezone.now()
    rendering.run(export, control)
    assert {"render", "poster"} <= set(control.stages)
    assert files_of(export) == BOTH
    export.refresh_from_db()
    key = f"{export.org_id}/exports/{export.pk}/1.mp4"
    assert (export.status, export.file_key) == ("READY", key)
    clip, *pictures = paths_of(export)
    found = probe(clip)
    assert (export.width, export.height) == (found.width, found.height) == (480, 480)
    assert export.duration == pytest.approx(found.duration, abs=0.05)
    assert export.size == clip.stat().st_size
    assert export.stored_bytes == export.size + sum(path.stat().st_size for path in pictures)
    assert export.sha256 == hashlib.sha256(clip.read_bytes()).hexdigest()
    assert export.expires_at is not None
    kept = export.expires_at - began
    assert datetime.timedelta(days=8, hours=23) < kept < datetime.timedelta(days=9, hours=1)
    assert stored.usage(export.org_id).bytes == before + export.stored_bytes


def test_of_an_attempt_that_came_too_late_no_file_stays(export: Export, control: Control):
    Export.objects.filter(pk=export.pk).update(fence=2)
    rendering.run(export, control)
    assert files_of(export) == []


def test_of_an_attempt_whose_hold_has_gone_no_file_stays(export: Export, control: Control):
    assert export.hold_id is not None
    credit_services.release(hold_id=export.hold_id, actor="staff")
    with pytest.raises(HoldLost):
        rendering.run(export, control)
    assert files_of(export) == []


@pytest.mark.parametrize("gone", ["after its retention", "without a trace"])
def test_without_its_source_it_fails(export: Export, control: Control, gone: str):
    if gone == "without a trace":
        storage.delete(export.project.source_key)
    else:
        export.project.source_key = ""
    with pytest.raises(JobFailed) as raised:
        rendering.run(export, control)
    assert raised.value.failure == SOURCE_MISSING
    assert control.stages == []


def test_a_source_longer_than_its_project_by_more_than_a_second_is_refused(
    export: Export, control: Control
):
    export.project.duration = 4.5
    with pytest.raises(MediaError) as raised:
        rendering.run(export, control)
    assert raised.value.code is ErrorCode.TOO_LONG
    assert files_of(export) == []


# --- its pictures -----------------------------------------------------------------------


def fails_with(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("code", "files"), [(ErrorCode.TRUNCATED, CLIP), (ErrorCode.CANCELLED, None)]
)
def test_a_clip_is_finished_without_pictures_and_nothing_is_stored_of_one_that_is_stopped(
    export: Export,
    control: Control,
    monkeypatch: pytest.MonkeyPatch,
    code: ErrorCode,
    files: list[str] | None,
):
    monkeypatch.setattr(rendering, "illustrate", fails_with(MediaError(code, "A fault.")))
    if files is None:
        with pytest.raises(MediaError):
            rendering.run(export, control)
    else:
        rendering.run(export, control)
    assert files_of(export) == (files or [])


@pytest.mark.parametrize("fault", [StorageFull("no room"), RuntimeError("broken")], ids=repr)
def test_pictures_without_room_are_left_out_and_after_another_fault_the_clip_goes_too(
    fault: Exception, export: Export, control: Control, monkeypatch: pytest.MonkeyPatch
):
    publish = storage.publish

    def refuse_pictures(part: Path, key: str, **options: Any) -> None:
        if ".poster." in key:
            raise fault
        publish(part, key, **options)

    monkeypatch.setattr(storage, "publish", refuse_pictures)
    if isinstance(fault, StorageFull):
        rendering.run(export, control)
        assert files_of(export) == CLIP
    else:
        with pytest.raises(RuntimeError, match="broken"):
            rendering.run(export, control)
        assert files_of(export) == []


# --- the clip that was ordered ----------------------------------------------------------


def test_the_clip_is_the_one_that_was_ordered():
    project = make_project(make_organization(credits_=10), audio_track=1)
    export = make_export(
        project,
        status="QUEUED",
        start=3.0,
        end=9.0,
        aspect="1:1",
        resolution=720,
        layout="fit",
        fps=24,
        format="webm",
    )
    ordered = RenderSpec(
        start=3.0,
        end=9.0,
        aspect=Aspect.SQUARE,
        resolution=720,
        fps=24,
        format=Format.WEBM,
        layout=Layout.FIT,
        audio_track=1,
    )
    assert rendering._spec(export) == ordered
    export.org.sandbox_of_id = uuid.uuid4()
    ordered = replace(ordered, is_test=True)
    assert rendering._spec(export) == ordered
    export.kept = [[3.0, 4.0], [6.0, 9.0]]
    assert rendering._spec(export) == replace(ordered, kept=((3.0, 4.0), (6.0, 9.0)))


def test_its_captions_are_the_words_of_its_range_in_their_look():
    project = make_project()
    export = make_export(project, status="QUEUED", start=2.0, end=3.5, captions="none")
    assert rendering._captions(export) is None
    export.captions = "plain"
    with pytest.raises(MediaError) as raised:
        rendering._captions(export)
    assert raised.value.code is ErrorCode.BAD_CAPTIONS
    transcript = make_transcript(project, "Hello world.", "How are you?").content
    found = rendering._captions(export)
    assert found is not None
    assert found == rendering._spec(export).captions
    assert found.transcript == transcript.between(2.0, 3.5) != transcript
    assert (found.mode, found.position, found.size) == (
        CaptionMode.PLAIN,
        CaptionPosition.BOTTOM,
        CaptionSize.MEDIUM,
    )
    export.caption_style = {"position": "top", "size": "large", "color": "#ff00ff"}
    export.captions = "karaoke"
    assert rendering._captions(export) == replace(
        found,
        mode=CaptionMode.KARAOKE,
        position=CaptionPosition.TOP,
        size=CaptionSize.LARGE,
        color="#ff00ff",
    )


# --- its watermark ----------------------------------------------------------------------


@pytest.fixture
def marked(export: Export) -> Export:
    """With the watermark of its organization, whose image is stored."""
    key = f"{export.org_id}/watermarks/{uuid.uuid4()}/watermark.png"
    path = storage.path_of(key)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"an image")
    Watermark.objects.create(
        org=export.org, file_key=key, width=1, height=1, size=8, sha256="0" * 64
    )
    export.watermark = {"position": "bottom-left", "opacity": 0.4, "size": 0.3}
    return export


def test_a_watermark_is_drawn_as_it_was_ordered_from_an_image_of_its_own(
    marked: Export, tmp_path: Path
):
    own = tmp_path / "watermark.png"
    mark = Mark(own, WatermarkPosition.BOTTOM_LEFT, opacity=0.4, size=0.3)
    assert rendering._watermark(marked, tmp_path) == mark
    assert own.read_bytes() == b"an image"
    marked.watermark = None
    assert rendering._watermark(marked, tmp_path) is None


@pytest.mark.parametrize(("replacements", "looked"), [(0, 1), (1, 2), (2, 2)])
def test_an_image_that_another_has_replaced_is_looked_up_once_more(
    marked: Export, tmp_path: Path, replacements: int, looked: int
):
    reads: list[str] = []

    def replace_after_reading(
        execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        result = execute(sql, params, many, context)
        if sql.startswith("SELECT") and "exports_watermark" in sql:
            reads.append(sql)
            if len(reads) <= replacements:
                replace_image(marked)
        return result

    with connection.execute_wrapper(replace_after_reading):
        if replacements < 2:
            assert rendering._watermark(marked, tmp_path) is not None
        else:
            with pytest.raises(JobFailed) as raised:
                rendering._watermark(marked, tmp_path)
            assert raised.value.failure == rendering.WATERMARK_MISSING
    assert len(reads) == looked


def replace_image(export: Export) -> None:
    """Put another in its place, as whoever sends one does: the file of the first is gone."""
    former = [path for path in stored_files() if path.name == "watermark.png"]
    key = f"{export.org_id}/watermarks/{uuid.uuid4()}/watermark.png"
    path = storage.path_of(key)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"another image")
    Watermark.objects.filter(org=export.org_id).update(file_key=key)
    for each in former:
        storage.path_of(str(each)).unlink()


def test_a_watermark_that_was_removed_fails_the_export(
    marked: Export, tmp_path: Path, django_assert_num_queries: Any
):
    Watermark.objects.all().delete()
    with django_assert_num_queries(1), pytest.raises(JobFailed) as raised:
        rendering._watermark(marked, tmp_path)
    assert raised.value.failure == rendering.WATERMARK_MISSING
