"""The work of a render task: claim the export, render its file, record it."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import replace

from django.db.models.functions import Now

from clipforge.common import storage
from clipforge.media import Aspect, Limits, Rendered, RenderSpec, render
from clipforge.orgs import selectors as orgs
from credits import paid_work
from exports.models import Export

# Rendering runs about as fast as the clip plays on one core; this only ends a stuck one.
WALL_SECONDS_PER_OUTPUT_SECOND = 20
MINIMUM_WALL_SECONDS = 300


def run(export_id: uuid.UUID, *, fence: int, defer: paid_work.Defer) -> None:
    """Render one queued export. Does nothing if the fence moved on.

    Ends it READY or FAILED, or hands it back when this worker has to stop. Raises only faults of the
    database.
    """
    export = paid_work.claim(Export, export_id, fence=fence)
    if export is None:
        return
    watch = paid_work.Watch(export)
    if not storage.path_of(export.project.source_key).is_file():
        paid_work.fail(export, error=paid_work.SOURCE_MISSING, actor=paid_work.ACTOR)
        return
    with paid_work.ends_well(export, watch, defer=defer):
        _render(export, watch)


def _render(export: Export, watch: paid_work.Watch) -> None:
    # The fence in the key: a worker that came back from the dead overwrites nobody's file.
    key = f"{export.org_id}/exports/{export.pk}/{export.fence}.mp4"
    with storage.full_disk_is_refused(), storage.workspace(export.pk, export.fence) as folder:
        part = folder / "clip.mp4"
        rendered = render(
            storage.path_of(export.project.source_key),
            part,
            RenderSpec(export.start, export.end, Aspect(export.aspect), export.resolution),
            limits=_limits(export),
            on_progress=watch.note,
            should_stop=watch.must_stop,
        )
        storage.publish(part, key)
    try:
        recorded = _record(export, key, rendered)
    except paid_work.DATABASE_FAULTS:
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


def _record(export: Export, key: str, rendered: Rendered) -> bool:
    retention = datetime.timedelta(days=orgs.limits_of(export.org).retention_days)
    return paid_work.succeed(
        export,
        status=Export.Status.READY,
        actor=paid_work.ACTOR,
        file_key=key,
        size=rendered.size,
        duration=rendered.duration,
        width=rendered.width,
        height=rendered.height,
        sha256=rendered.sha256,
        expires_at=Now() + retention,
    )


def _limits(export: Export) -> Limits:
    seconds = export.end - export.start
    return replace(
        Limits(),
        wall_seconds=max(MINIMUM_WALL_SECONDS, WALL_SECONDS_PER_OUTPUT_SECOND * seconds),
        max_duration=export.project.duration + 1,
    )
