"""Writes to exports."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction

from clipforge.common import storage
from clipforge.common.errors import Conflict, Invalid
from clipforge.common.models import uuid7
from clipforge.jobs import caching as job_caching
from clipforge.jobs import lifecycle
from clipforge.jobs import services as job_services
from clipforge.media import MediaError, kept_format, tightening
from clipforge.media.captions import burning
from clipforge.media.contracts import Tighten
from clipforge.orgs import stored
from clipforge.orgs.models import Organization
from credits.pricing import Charge
from credits.quotes import AT_ANY_PRICE, Terms
from exports import selectors
from exports.models import Export
from exports.rules import require_in_tier, require_watermarks
from projects import selectors as project_selectors
from projects.models import Moment, Project

TALL_ENOUGH = frozenset({Export.Aspect.VERTICAL, Export.Aspect.SQUARE})
# A clip of less is no clip. Seconds.
MIN_SECONDS = 1.0


def require_exportable(*, project: Project, start: float, end: float) -> None:
    """Raises Conflict unless the project was analysed, Invalid unless the range can be rendered."""
    if project.status == Project.Status.EXPIRED:
        raise Conflict(
            "The source was deleted after its retention time. Upload it again.",
            code="source_expired",
        )
    if project.status not in Project.ANALYSED:
        raise Conflict(
            f"The project is {project.status}; exports can be made once it is READY or EMPTY.",
            code="project_not_ready",
        )
    if not 0 <= start < end <= project.duration:
        raise Invalid(
            f"start and end must lie within the source: 0 to {project.duration:.3f} seconds, "
            "start before end.",
            code="bad_range",
        )
    if not MIN_SECONDS <= end - start <= settings.EXPORT_MAX_SECONDS:
        raise Invalid(
            f"An export lasts from {MIN_SECONDS:g} to {settings.EXPORT_MAX_SECONDS} seconds; "
            f"this range lasts {end - start:.3f}.",
            code="bad_range",
        )


def require_room_for_layout(*, aspect: str, layout: str) -> None:
    """Raises Invalid for two people one above the other in a picture that is too low for that."""
    if layout == Export.Layout.SPLIT and aspect not in TALL_ENOUGH:
        raise Invalid(
            f"In {aspect} there is no room for two people one above the other. Ask for 9:16 or 1:1, "
            "or for another layout.",
            code="layout_needs_height",
        )


def require_captions(*, project: Project, start: float, end: float) -> None:
    """Raises Invalid where there are no words to show, or none that can be drawn."""
    transcript = project_selectors.transcript(project)
    if transcript is None:
        raise Invalid(
            "The project has no transcript to take captions from. Export without captions.",
            code="captions_without_transcript",
        )
    try:
        burning.require_drawable(transcript.content, start, end)
    except MediaError as error:
        raise Invalid(error.message, code=error.code) from error


def ranges_kept(
    *, project: Project, start: float, end: float, tighten: str
) -> list[tuple[float, float]]:
    """The ranges that tightening keeps: by the words, and without a transcript by the sound alone.

    Raises Invalid where neither is known, or for less than a clip.
    """
    transcript = project_selectors.transcript(project)
    if transcript is not None:
        found = tightening.kept(transcript.content, start, end, Tighten(tighten))
    else:
        spoken = _phrases(project, start, end)
        found = tightening.kept_phrases(spoken, start, end, Tighten(tighten))
    ranges = [(round(first, 3), round(last, 3)) for first, last in found]
    if tightening.seconds(ranges) < MIN_SECONDS:
        raise Invalid(
            f"Tightening leaves less than {MIN_SECONDS:g} second of this range.", code="bad_range"
        )
    return ranges


def _phrases(project: Project, start: float, end: float) -> list[tuple[float, float]]:
    """Where somebody speaks, as the analysis heard it. Raises Invalid where that is not kept."""
    features = project_selectors.features(project)
    try:
        if features is not None:
            return kept_format.phrases(features, start, end)
    except ValueError:  # a child that was attacked wrote them
        pass
    raise Invalid(
        "The project has neither a transcript nor features that say where nobody speaks. Export "
        "without tighten.",
        code="tighten_without_transcript",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a clip is made, whatever its range."""

    aspect: str = Export.Aspect.VERTICAL
    resolution: int = Export.Resolution.FULL_HD
    layout: str = Export.Layout.AUTO
    fps: int | None = None
    file_format: str = Export.Format.MP4
    captions: str = Export.Captions.NONE
    caption_style: dict[str, str] | None = None
    tighten: str = Export.Tighten.OFF
    watermark: dict[str, Any] | None = None


def _watermark(org: Organization, style: dict[str, Any] | None) -> dict[str, Any] | None:
    """The style with the image that it is for. Raises Forbidden or Invalid where there can be none."""
    if style is None:
        return None
    require_watermarks(org)
    found = selectors.watermark(org)
    if found is None:
        raise Invalid(
            "The organization has no watermark. Set one with PUT /watermark, or export without it.",
            code="no_watermark",
        )
    return {**style, "image": str(found.pk)}


def prepare_export(
    *,
    project: Project,
    moment: Moment | None = None,
    start: float,
    end: float,
    options: Options,
    stored_now: int | None = None,
) -> Export:
    """The export that is asked for, stored nowhere.

    Of a sandbox only the first SANDBOX_CLIP_SECONDS of it. How large the file becomes is not known
    before: it is refused once nothing more may be stored. Raises Conflict, Invalid, Forbidden,
    StorageLimitReached.
    """
    if project.org.is_sandbox:
        end = min(end, start + settings.SANDBOX_CLIP_SECONDS)
    require_exportable(project=project, start=start, end=end)
    require_in_tier(org=project.org, resolution=options.resolution)
    stored.require_room(project.org, now=stored_now)
    require_room_for_layout(aspect=options.aspect, layout=options.layout)
    if options.captions != Export.Captions.NONE:
        require_captions(project=project, start=start, end=end)
    watermark = _watermark(project.org, options.watermark)
    kept = None
    if options.tighten != Export.Tighten.OFF:
        kept = ranges_kept(project=project, start=start, end=end, tighten=options.tighten)
    return Export(
        id=uuid7(),
        org=project.org,
        project=project,
        moment=moment,
        start=start,
        end=end,
        aspect=options.aspect,
        resolution=options.resolution,
        layout=options.layout,
        fps=options.fps,
        format=options.file_format,
        captions=options.captions,
        caption_style=options.caption_style or {},
        tighten=options.tighten,
        watermark=watermark,
        kept=kept,
    )


def order_export(*, export: Export, charge: Charge, actor: str) -> Export:
    """Queue a prepared export, paid by a hold of the charge that was agreed.

    Raises InsufficientCredits, TooManyAtOnce.
    """
    export.download_name = export.readable_name()
    twin = selectors.recent_twins(export)[:1]
    job_services.submit_job(
        job=export, actor=actor, charge=charge, looked_up={"duplicate_of": twin}
    )
    return export


def start_export(
    *,
    project: Project,
    moment: Moment | None = None,
    start: float,
    end: float,
    terms: Terms = AT_ANY_PRICE,
    stored_now: int | None = None,
    actor: str,
    **options: Any,
) -> Export:
    """Queue the render of [start, end) of the project, paid by a hold. `options` are those of Options.

    Row, hold and task are one transaction. Where the project may be deleted meanwhile, read it with
    `lock=True` in the caller's. Raises Conflict, Invalid, Forbidden, InsufficientCredits, TooManyAtOnce,
    StorageLimitReached, and what `agreed_charge` does about the terms.
    """
    export = prepare_export(
        project=project,
        moment=moment,
        start=start,
        end=end,
        options=Options(**options),
        stored_now=stored_now,
    )
    charge = job_services.agreed_charge(job=export, terms=terms)
    return order_export(export=export, charge=charge, actor=actor)


def delete_export(*, export: Export, actor: str) -> None:
    """Delete the export and its file. One that waits or runs is cancelled first, and costs nothing.

    What a finished one cost stays charged. Raises NotFound when it is deleted already.
    """
    with transaction.atomic():
        key = lifecycle.abandon(export, actor=actor).file_key
        export.delete()
        stored.settle(export.org_id)
        if key:
            transaction.on_commit(functools.partial(storage.delete, key), robust=True)


def drop_exports_of(*, project: Project, actor: str) -> None:
    """Before a project goes: cancel what runs, and delete the files once it is gone."""
    # All locked before the first credit moves: a worker that finishes one of them holds its row
    # and waits for the account, and we would hold the account and wait for the row.
    rows = Export.objects.for_org(project.org).filter(project=project)
    exports = list(rows.select_for_update().order_by("pk"))
    for export in exports:
        if export.is_open:
            lifecycle.abandon(export, actor=actor)
        else:
            job_caching.deleting(export)
    keys = [export.file_key for export in exports if export.file_key]
    transaction.on_commit(functools.partial(storage.delete_all, keys), robust=True)


def forget_moment(*, moment: Moment) -> None:
    """Before a moment goes: its exports stay, and name none. Call in the transaction that deletes it."""
    rows = Export.objects.filter(moment=moment)
    pks = list(rows.values_list("pk", flat=True))
    rows.update(moment=None)
    job_caching.all_changed(Export, pks)
