"""Every step of a render, with a clip and a picture that are written at once.

What the real ones look like is in test_rendering.py.
"""

from __future__ import annotations

import datetime
import hashlib
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
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
from clipforge.media import Aspect, ErrorCode, Layout, Limits, MediaError, Rendered, RenderSpec
from clipforge.media.contracts import (
    CaptionMode,
    CaptionPosition,
    CaptionSize,
    Format,
    Mark,
    WarningCode,
    WatermarkPosition,
)
from clipforge.orgs import stored
from credits import services as credit_services
from exports import rendering, selectors
from exports.models import Export, Watermark
from projects import faces
from projects.failures import SOURCE_MISSING
from projects.models import Project

pytestmark = pytest.mark.django_db

CLIP, PICTURE, SOURCE = b"a clip", b"a picture", b"a source"
RENDERED = Rendered(
    duration=29.5,
    width=480,
    height=482,
    size=len(CLIP),
    sha256=hashlib.sha256(CLIP).hexdigest(),
    warnings=[WarningCode.PICTURE_DAMAGED],
)


class Control:
    """The way back to a worker that never has to stop."""

    def note(self, stage: str, progress: float) -> None: ...

    def must_stop(self) -> bool:
        return False


@pytest.fixture
def control() -> Control:
    return Control()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    source = tmp_path / "talk.mp4"
    source.write_bytes(SOURCE)
    return make_project(make_organization(credits_=10), source=source, duration=60.0)


@pytest.fixture
def export(project: Project) -> Export:
    """Thirty seconds, being rendered."""
    return make_export(project, status="RENDERING", end=30.0)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments that each step was given, by its name."""
    given: dict[str, Any] = {"publish": []}

    def render(source: Path, part: Path, spec: RenderSpec, **options: Any) -> Rendered:
        given["render"] = {"source": source.read_bytes(), "spec": spec, **options}
        part.write_bytes(CLIP)
        return RENDERED

    def illustrate(part: Path, folder: Path, **options: Any) -> list[str]:
        given["illustrate"] = {"clip": part.read_bytes(), **options}
        (folder / "poster.jpg").write_bytes(PICTURE)
        return ["poster.jpg"]

    publish, local_copy = storage.publish, storage.local_copy

    def publish_and_note(part: Path, key: str, **options: Any) -> None:
        given["publish"].append((key, options))
        publish(part, key, **options)

    def copy_and_note(key: str, **options: Any) -> Any:
        given["local_copy"] = (key, options)
        return local_copy(key, **options)

    for name, step in {"render": render, "illustrate": illustrate}.items():
        monkeypatch.setattr(rendering, name, step)
    monkeypatch.setattr(storage, "publish", publish_and_note)
    monkeypatch.setattr(storage, "local_copy", copy_and_note)
    return given


def files_of(export: Export) -> dict[str, bytes]:
    folder = Path(f"{export.org_id}/exports/{export.pk}")
    return {
        path.name: storage.path_of(str(path)).read_bytes()
        for path in stored_files()
        if path.parent == folder
    }


BOTH = {"1.mp4": CLIP, "1.poster.jpg": PICTURE}


# --- the run ----------------------------------------------------------------------------


def test_each_step_is_told_its_limits_whom_to_tell_and_when_to_stop(
    export: Export, control: Control, given: dict[str, Any]
):
    rendering.run(export, control)
    limits = replace(Limits(), wall_seconds=600.0, max_duration=61.0)
    ways = {"on_progress": control.note, "should_stop": control.must_stop}
    assert given["render"] == {
        "source": SOURCE,
        "spec": rendering._spec(export),
        "face_model": faces.model(),
        "limits": limits,
        **ways,
    }
    assert given["illustrate"] == {
        "clip": CLIP,
        "face_model": faces.model(),
        "limits": replace(limits, wall_seconds=300),
        **ways,
    }
    stop = {"should_stop": control.must_stop}
    assert given["local_copy"] == (export.project.source_key, stop)
    key = f"{export.org_id}/exports/{export.pk}/1"
    assert given["publish"] == [
        (f"{key}.mp4", {"sha256": RENDERED.sha256, **stop}),
        (f"{key}.poster.jpg", stop),
    ]


def test_its_result_is_recorded_as_it_was_rendered(
    export: Export, control: Control, given: dict[str, Any]
):
    make_tier_limits(retention_days=9)
    before = stored.settle(export.org_id)
    began = timezone.now()
    rendering.run(export, control)
    assert files_of(export) == BOTH
    export.refresh_from_db()
    assert (export.status, export.file_key) == (
        "READY",
        f"{export.org_id}/exports/{export.pk}/1.mp4",
    )
    assert (export.size, export.stored_bytes) == (len(CLIP), len(CLIP) + len(PICTURE))
    assert (export.duration, export.width, export.height) == (29.5, 480, 482)
    assert export.sha256 == RENDERED.sha256
    assert [each["code"] for each in export.warnings] == ["picture_damaged"]
    assert export.expires_at is not None
    kept = export.expires_at - began
    assert datetime.timedelta(days=8, hours=23) < kept < datetime.timedelta(days=9, hours=1)
    assert stored.usage(export.org_id).bytes == before + export.stored_bytes


def test_what_earlier_attempts_left_goes_once_the_result_is_recorded(
    export: Export, control: Control, given: dict[str, Any]
):
    left = storage.path_of(f"{export.org_id}/exports/{export.pk}/0.mp4")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"published, never recorded")
    rendering.run(export, control)
    assert files_of(export) == BOTH


def test_of_an_attempt_that_came_too_late_no_file_stays(
    export: Export, control: Control, given: dict[str, Any]
):
    Export.objects.filter(pk=export.pk).update(fence=2)
    rendering.run(export, control)
    assert files_of(export) == {}


def test_of_an_attempt_whose_hold_has_gone_no_file_stays(
    export: Export, control: Control, given: dict[str, Any]
):
    assert export.hold_id is not None
    credit_services.release(hold_id=export.hold_id, actor="staff")
    with pytest.raises(HoldLost):
        rendering.run(export, control)
    assert files_of(export) == {}


def test_where_nobody_knows_whether_it_was_recorded_its_files_stay(
    export: Export, control: Control, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    def go_away(*_: object) -> bool:
        raise OperationalError("the connection is gone")

    monkeypatch.setattr(rendering, "_record", go_away)
    with pytest.raises(OperationalError):
        rendering.run(export, control)
    assert files_of(export) == BOTH


@pytest.mark.parametrize("gone", ["after its retention", "without a trace"])
def test_without_its_source_it_fails(
    export: Export, control: Control, given: dict[str, Any], gone: str
):
    if gone == "without a trace":
        storage.delete(export.project.source_key)
    else:
        export.project.source_key = ""
    with pytest.raises(JobFailed) as raised:
        rendering.run(export, control)
    assert raised.value.failure == SOURCE_MISSING
    assert "render" not in given


# --- its pictures -----------------------------------------------------------------------


def test_a_clip_is_finished_without_pictures_where_none_can_be_made(
    export: Export, control: Control, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> list[str]:
        raise MediaError(ErrorCode.TRUNCATED, "It breaks off.")

    monkeypatch.setattr(rendering, "illustrate", fail)
    rendering.run(export, control)
    assert files_of(export) == {"1.mp4": CLIP}


def test_who_is_stopped_while_pictures_are_made_stores_nothing(
    export: Export, control: Control, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    def stop(*_: object, **__: object) -> list[str]:
        raise MediaError(ErrorCode.CANCELLED, "It was stopped.")

    monkeypatch.setattr(rendering, "illustrate", stop)
    with pytest.raises(MediaError):
        rendering.run(export, control)
    assert files_of(export) == {}


@pytest.mark.parametrize("fault", [StorageFull("no room"), RuntimeError("broken")], ids=repr)
def test_pictures_without_room_are_left_out_and_after_another_fault_the_clip_goes_too(
    fault: Exception,
    export: Export,
    control: Control,
    given: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
):
    publish = storage.publish

    def refuse_pictures(part: Path, key: str, **options: Any) -> None:
        if key.endswith(".jpg"):
            raise fault
        publish(part, key, **options)

    monkeypatch.setattr(storage, "publish", refuse_pictures)
    if isinstance(fault, StorageFull):
        rendering.run(export, control)
        assert files_of(export) == {"1.mp4": CLIP}
    else:
        with pytest.raises(RuntimeError, match="broken"):
            rendering.run(export, control)
        assert files_of(export) == {}


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
    marked: Export, tmp_path: Path, control: Control, given: dict[str, Any]
):
    own = tmp_path / "watermark.png"
    mark = Mark(own, WatermarkPosition.BOTTOM_LEFT, opacity=0.4, size=0.3)
    assert rendering._watermark(marked, tmp_path) == mark
    assert own.read_bytes() == b"an image"
    marked.watermark, style = None, marked.watermark
    assert rendering._watermark(marked, tmp_path) is None
    marked.watermark = style
    rendering.run(marked, control)
    drawn = given["render"]["spec"].watermark
    assert replace(drawn, path=own) == mark


@pytest.mark.parametrize(("missing", "looked"), [(0, 1), (1, 2), (2, 2)])
def test_an_image_that_another_has_replaced_is_looked_up_once_more(
    marked: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int, looked: int
):
    found, reads = selectors.watermark(marked.org), []

    def look(_org: object) -> Watermark | None:
        reads.append("row")
        return found if len(reads) > missing else replaced

    replaced = Watermark(file_key=f"{marked.org_id}/watermarks/{uuid.uuid4()}/watermark.png")
    monkeypatch.setattr(selectors, "watermark", look)
    if missing < 2:
        assert rendering._watermark(marked, tmp_path) is not None
    else:
        with pytest.raises(JobFailed) as raised:
            rendering._watermark(marked, tmp_path)
        assert raised.value.failure == rendering.WATERMARK_MISSING
    assert len(reads) == looked


def test_a_watermark_that_was_removed_fails_the_export(
    marked: Export, tmp_path: Path, django_assert_num_queries: Any
):
    Watermark.objects.all().delete()
    with django_assert_num_queries(1), pytest.raises(JobFailed) as raised:
        rendering._watermark(marked, tmp_path)
    assert raised.value.failure == rendering.WATERMARK_MISSING
