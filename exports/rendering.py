"""The run of a render: make the file, record it."""

from __future__ import annotations

import contextlib
import datetime
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from django.db import transaction
from django.db.models.functions import Now

from clipforge.common import storage
from clipforge.common.errors import StorageFull
from clipforge.jobs import lifecycle
from clipforge.jobs.failures import DATABASE_FAULTS, Failure, JobFailed
from clipforge.jobs.kinds import RunControl
from clipforge.media import (
    Aspect,
    ErrorCode,
    Layout,
    Limits,
    MediaError,
    Rendered,
    RenderSpec,
    illustrate,
    render,
)
from clipforge.media.contracts import (
    CaptionMode,
    CaptionPosition,
    Captions,
    CaptionSize,
    Format,
    Mark,
    WatermarkPosition,
)
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs import stored
from exports import selectors
from exports.models import Export
from projects import faces, failures
from projects import selectors as project_selectors
from projects.failures import SOURCE_MISSING

WATERMARK_MISSING = Failure(
    "watermark_missing",
    "The watermark was removed before the clip was rendered. You were not charged; export again.",
)

logger = logging.getLogger(__name__)

# Rendering runs about as fast as the clip plays on one core; this only ends a stuck one.
WALL_SECONDS_PER_OUTPUT_SECOND = 20
MINIMUM_WALL_SECONDS = 300


def run(export: Export, control: RunControl) -> None:
    """Render a claimed export. Ends it READY, raises JobFailed, MediaError and StorageFull."""
    # The fence in the key: a worker that came back from the dead overwrites no file of another.
    key = f"{export.org_id}/exports/{export.pk}/{export.fence}.{export.extension}"
    with (
        storage.full_disk_is_refused(),
        _source_of(export, control) as source,
        storage.workspace(export.pk, export.fence) as folder,
    ):
        part = folder / f"clip.{export.extension}"
        rendered = render(
            source,
            part,
            replace(_spec(export), watermark=_watermark(export, folder)),
            face_model=faces.model(),
            limits=_limits(export),
            on_progress=control.note,
            should_stop=control.must_stop,
        )
        # Before the clip is published: a worker that is killed meanwhile leaves nothing but a workspace.
        pictures = _pictures(export, part, folder / "pictures", control)
        storage.publish(part, key, sha256=rendered.sha256, should_stop=control.must_stop)
        _publish_pictures(pictures, key, control.must_stop)
    try:
        recorded = _record(export, key, rendered)
    except DATABASE_FAULTS:
        # Whether it was committed is not known. If it was, the customer has paid for this file; if
        # it was not, the next attempt removes it.
        raise
    except BaseException:
        storage.delete(key)
        raise
    if recorded:
        storage.delete_others(key)
    else:
        storage.delete(key)


@contextlib.contextmanager
def _source_of(export: Export, control: RunControl) -> Iterator[Path]:
    key = export.project.source_key  # empty once it was deleted after its retention
    with contextlib.ExitStack() as stack:
        try:
            if not key:
                raise FileNotFoundError
            path = stack.enter_context(storage.local_copy(key, should_stop=control.must_stop))
        except FileNotFoundError:
            raise JobFailed(SOURCE_MISSING) from None
        yield path


def _pictures(export: Export, part: Path, folder: Path, control: RunControl) -> list[Path]:
    """Poster and strip of a clip. It is what was paid for, and is made without them too."""
    folder.mkdir()
    try:
        names = illustrate(
            part,
            folder,
            face_model=faces.model(),
            limits=replace(_limits(export), wall_seconds=MINIMUM_WALL_SECONDS),
            on_progress=control.note,
            should_stop=control.must_stop,
        )
    except MediaError as error:
        if error.code is ErrorCode.CANCELLED:
            raise
        logger.warning("no pictures of export %s: %s", export.pk, error)
        return []
    return [folder / name for name in names]


def _publish_pictures(
    pictures: list[Path], key: str, should_stop: storage.ShouldStop = storage.never
) -> None:
    try:
        for picture in pictures:
            beside = storage.companion_of(key, picture.name)
            storage.publish(picture, beside, should_stop=should_stop)
    except StorageFull as error:
        logger.warning("no pictures beside %s: %s", key, error)
    except BaseException:
        storage.delete(key)
        raise


def _spec(export: Export) -> RenderSpec:
    return RenderSpec(
        start=export.start,
        end=export.end,
        aspect=Aspect(export.aspect),
        resolution=export.resolution,
        layout=Layout(export.layout),
        audio_track=export.project.audio_track,
        fps=export.fps,
        format=Format(export.format),
        captions=_captions(export),
        kept=tuple(export.ranges) if export.kept else (),
        is_test=export.org.is_sandbox,
    )


def _watermark(export: Export, folder: Path) -> Mark | None:
    """The image of the organization in this folder, whatever becomes of the stored one meanwhile."""
    style = export.watermark
    if style is None:
        return None
    path = folder / "watermark.png"
    for _ in range(2):  # another may take its place between the row and its file
        row = selectors.watermark(export.org)
        if row is None:
            break
        with contextlib.suppress(FileNotFoundError):
            path.write_bytes(storage.read_bytes(row.file_key))
            position = WatermarkPosition(style["position"])
            return Mark(path, position, opacity=style["opacity"], size=style["size"])
    raise JobFailed(WATERMARK_MISSING)


def _captions(export: Export) -> Captions | None:
    if export.captions == Export.Captions.NONE:
        return None
    transcript = project_selectors.transcript(export.project)
    if transcript is None:
        raise MediaError(ErrorCode.BAD_CAPTIONS, "The project has no transcript any more.")
    style = export.caption_style
    return Captions(
        transcript=transcript.content.between(export.start, export.end),
        mode=CaptionMode(export.captions),
        position=CaptionPosition(style.get("position", CaptionPosition.BOTTOM)),
        size=CaptionSize(style.get("size", CaptionSize.MEDIUM)),
        **{name: style[name] for name in ("color", "highlight") if name in style},
    )


def _record(export: Export, key: str, rendered: Rendered) -> bool:
    retention = datetime.timedelta(days=org_selectors.limits_of(export.org).retention_days)
    with transaction.atomic():
        recorded = lifecycle.succeed(
            export,
            status=Export.Status.READY,
            actor=lifecycle.ACTOR,
            file_key=key,
            stored_bytes=storage.size_of(key),
            size=rendered.size,
            duration=rendered.duration,
            width=rendered.width,
            height=rendered.height,
            sha256=rendered.sha256,
            warnings=failures.warnings_of(rendered.warnings),
            expires_at=Now() + retention,
        )
        if recorded:
            stored.settle(export.org_id)
    return recorded


def _limits(export: Export) -> Limits:
    seconds = export.end - export.start
    return replace(
        Limits(),
        wall_seconds=max(MINIMUM_WALL_SECONDS, WALL_SECONDS_PER_OUTPUT_SECOND * seconds),
        max_duration=export.project.duration + 1,
    )
