"""The pages of a project, a moment and an export: what it is, what became of it, what may be done."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from clipforge.jobs.models import Job
from clipforge.staff import formatting
from clipforge.staff.videos import facts, opened
from clipforge.staff.videos import selectors as video_selectors
from exports import downloads
from exports.admin import ExportAdmin as StockExportAdmin
from exports.models import Export
from projects import pictures
from projects.admin import MomentAdmin as StockMomentAdmin
from projects.admin import ProjectAdmin as StockProjectAdmin
from projects.models import Moment, Project

admin.site.unregister([Project, Moment, Export])


class Shown:
    """A page of our own around the columns that Django shows."""

    def render_change_form(
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        if obj is not None:
            context |= self.shown(request, obj)
        stock: Any = super()
        return stock.render_change_form(request, context, add, change, form_url, obj)

    def shown(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        raise NotImplementedError


@admin.register(Project)
class ProjectAdmin(Shown, StockProjectAdmin):
    change_form_template = "staff/videos/project.html"
    list_display = ["title", "org", "status", "lasts", "bytes", "error_code", "created_at"]

    @admin.display(description="length")
    def lasts(self, project: Project) -> str:
        return formatting.seconds(project.duration)

    @admin.display(description="size")
    def bytes(self, project: Project) -> str:
        return formatting.size(project.size)

    def shown(self, request: HttpRequest, row: Project) -> dict[str, Any]:
        charged = video_selectors.charges(row)
        return {
            **_of_job(request, row, charged),
            **_video(request, row),
            "facts": facts.facts_of_project(row, charged),
            "files": video_selectors.files_of(row.source_key, "Source"),
            "moments": video_selectors.moments_of(row),
            "exports": video_selectors.exports_of(row),
        }


@admin.register(Moment)
class MomentAdmin(Shown, StockMomentAdmin):
    change_form_template = "staff/videos/moment.html"

    def shown(self, request: HttpRequest, row: Moment) -> dict[str, Any]:
        return {
            **_video(request, row.project, start=row.start, end=row.end),
            "poster": _file("moment-file", row, "poster.jpg") if _is_analysed(row.project) else "",
            "title": row.title or f"Moment of {row.project.title}",
            "subtitle": None,
            "facts": facts.facts_of_moment(row),
            "subscores": facts.subscores(row),
            "exports": video_selectors.exports_of_moment(row),
        }


@admin.register(Export)
class ExportAdmin(Shown, StockExportAdmin):
    change_form_template = "staff/videos/export.html"
    list_display = [
        "created_at",
        "org",
        "project",
        "status",
        "aspect",
        "resolution",
        "lasts",
        "bytes",
        "error_code",
    ]

    @admin.display(description="length")
    def lasts(self, export: Export) -> str:
        return formatting.seconds(export.end - export.start)

    @admin.display(description="size", empty_value="–")
    def bytes(self, export: Export) -> str | None:
        return None if export.size is None else formatting.size(export.size)

    def shown(self, request: HttpRequest, row: Export) -> dict[str, Any]:
        charged = video_selectors.charges(row)
        return {
            **_of_job(request, row, charged),
            **_video(request, row.project, start=row.start, end=row.end),
            **_clip(row),
            "title": f"Export of {row.project.title}",
            "facts": facts.facts_of_export(row, charged),
            "files": video_selectors.files_of(row.file_key, "Clip"),
        }


def _of_job(request: HttpRequest, job: Job, charged: video_selectors.Charges) -> dict[str, Any]:
    return {
        "title": str(job),
        "subtitle": None,
        "org": job.org,
        "steps": facts.steps_of(job),
        "charged": charged,
        "hold": job.hold,
        "attempts": video_selectors.attempts(job),
        "offers": facts.offers(request.user, job, charged),
        "key": f"{job.REFERENCE_TYPE}:{job.pk}",
    }


def _video(
    request: HttpRequest, project: Project, start: float = 0.0, end: float | None = None
) -> dict[str, Any]:
    """The content of a video once it is open, of this part of it."""
    found: dict[str, Any] = {
        "project": project,
        "org": project.org,
        "may_watch": request.user.has_perm(opened.WATCH),
        "is_open": opened.is_open(request, project.pk),
        "has_reason": bool(opened.reason_of(request)),
        "is_analysed": _is_analysed(project),
        "src": _file("video-file", project, "source") if project.source_key else "",
        "poster": _file("video-file", project, "poster.jpg") if _is_analysed(project) else "",
        "at": f"t={start:g},{end:g}" if end is not None else _asked_place(request),
        "watch_url": f"{reverse('admin:watch-video', args=[project.pk])}?"
        + urlencode({"from": request.path}),
    }
    if found["is_open"]:
        found["transcript"] = video_selectors.transcript_of(project, start, end)
        beginning = pictures.beginning_of(project)
        found["strip"] = video_selectors.strip_of(f"{beginning}strip.vtt")
    return found


def _clip(export: Export) -> dict[str, Any]:
    """The clip for the source, where there is one."""
    if not downloads.is_downloadable(export, timezone.now()):
        return {"heading": "There is no clip: its part of the source"}
    return {
        "heading": "Clip",
        "src": _file("export-file", export, "clip"),
        "poster": _file("export-file", export, "poster.jpg"),
        "at": "",
        "strip": None,
    }


def _file(page: str, row: Any, name: str) -> str:
    return reverse(f"admin:{page}", args=[row.pk, name])


def _is_analysed(project: Project) -> bool:
    return project.status in Project.ANALYSED


def _asked_place(request: HttpRequest) -> str:
    """Where the player begins: `?at=12.5` of a link to a moment, for a browser without scripts."""
    try:
        return f"t={max(0.0, float(request.GET.get('at', ''))):g}"
    except ValueError:
        return ""
