"""The work of a render task: claim the export, render its file, record it."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import replace

from django.db.models.functions import Now

from clipforge.common import storage
from clipforge.jobs import failures, lifecycle
from clipforge.jobs.failures import DATABASE_FAULTS
from clipforge.jobs.heartbeat import Heartbeat
from clipforge.jobs.lifecycle import Defer
from clipforge.jobs.outcome import settle_outcome
from clipforge.media import Aspect, Limits, Rendered, RenderSpec, render
from clipforge.orgs import selectors as org_selectors
from exports.models import Export

# Rendering runs about as fast as the clip plays on one core; this only ends a stuck one.
WALL_SECONDS_PER_OUTPUT_SECOND = 20
MINIMUM_WALL_SECONDS = 300


def run(export_id: uuid.UUID, *, fence: int, defer: Defer) -> None:
    """Render one queued export. Does nothing if the fence moved on.

    Ends it READY or FAILED, or hands it back when this worker has to stop. Raises only faults of the
    database.
    """
    export = lifecycle.claim(Export, export_id, fence=fence)
    if export is None:
        return
    watch = Heartbeat(export)
    if not storage.path_of(export.project.source_key).is_file():
        lifecycle.fail(export, error=failures.SOURCE_MISSING, actor=lifecycle.ACTOR)
        return
    with settle_outcome(export, watch, defer=defer):
        _render(export, watch)


def _render(export: Export, watch: Heartbeat) -> None:
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


def _record(export: Export, key: str, rendered: Rendered) -> bool:
    retention = datetime.timedelta(days=org_selectors.limits_of(export.org).retention_days)
    return lifecycle.succeed(
        export,
        status=Export.Status.READY,
        actor=lifecycle.ACTOR,
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
