"""The render of an export as a kind of job."""

from __future__ import annotations

from django.db.models import F, Q

from clipforge.common.errors import NotFound
from clipforge.jobs import registry
from clipforge.jobs.kinds import Fact, JobFiles, JobKind, StaffView
from clipforge.jobs.store_areas import Area
from exports import rendering
from exports.models import Export, Watermark
from exports.pricing import charge_of
from projects import failures
from projects.models import Project


def _reason(export: Export) -> str:
    """Raises NotFound when the project was deleted meanwhile, and the export with it."""
    try:
        title = export.project.title
    except Project.DoesNotExist:
        raise NotFound from None
    return f"Export of {export.start:.1f}–{export.end:.1f} s of {title}"


RENDER = JobKind(
    model=Export,
    queue="render",
    task="exports.render",
    argument="export_id",
    maintenance="exports",
    run=rendering.run,
    price=charge_of,
    reason=_reason,
    errors=failures.failure_of,
    listed_by=(Project,),  # by title
    error_codes=failures.ERROR_CODES | {rendering.WATERMARK_MISSING.code},
    files=JobFiles(
        area="exports",
        orphans_at=37,
        label="exports",
        stored=Q(status=Export.Status.READY),
    ),
    input_key=lambda export: export.project.source_key,
    input_lost=frozenset({failures.SOURCE_MISSING.code}),
    is_lasting=lambda export: export.error_code in failures.LASTING,
    staff=StaffView(
        title="Renders",
        facts={
            "title": Fact("project__title"),
            "length": Fact(F("end") - F("start"), is_seconds=True),
            "aspect": Fact("aspect"),
            "resolution": Fact("resolution"),
        },
        event="Asked for an export of ‘{title}’, {length} in {aspect}",
        columns={"Of": "{title}", "Format": "{aspect}, {resolution}"},
        name=lambda export: f"{export} of {export.project.title}",
        related=("project",),
    ),
)

WATERMARKS = Area(name="watermarks", row="watermark", model=Watermark, size="size", orphans_at=43)


def register() -> None:
    registry.register(RENDER)
    registry.register_area(WATERMARKS, maintenance="exports.watermarks")
