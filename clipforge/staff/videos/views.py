"""Opening a video with a reason, and the links to its files while it is open."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.transaction import atomic
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_safe

from clipforge.audit.actor import Actor
from clipforge.common.errors import DomainError
from clipforge.jobs import selectors as job_selectors
from clipforge.media.contracts import PICTURES, POSTERS
from clipforge.staff.forms import ReasonForm
from clipforge.staff.pages import needs, page
from clipforge.staff.videos import opened
from clipforge.staff.videos import services as video_services
from exports import downloads
from exports.models import Export
from projects import curves, pictures, portraits, watching
from projects import selectors as project_selectors
from projects.models import Project

NO_CURVES = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 60" font-family="sans-serif">'
    '<text x="12" y="36" font-size="15" fill="#1f2937">{}</text></svg>'
)


@needs(opened.WATCH)
def watch(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Open a video for this session. The reason is asked for once; each video leaves its audit row."""
    project = get_object_or_404(project_selectors.all_projects().select_related("org"), pk=pk)
    back = _back(request, project)
    if opened.is_open(request, project.pk):
        return redirect(back)
    known = opened.reason_of(request)
    form = ReasonForm({"reason": known} if known else request.POST)
    if request.method == "POST" and form.is_valid():
        reason = form.cleaned_data["reason"]
        with atomic():
            video_services.note_watching(
                project=project, reason=reason, actor=Actor.of_request(request)
            )
        opened.remember(request, project.pk, reason)
        return redirect(back)
    if request.method != "POST":
        form = ReasonForm(initial={"reason": known})
    return page(
        request,
        "staff/videos/watch.html",
        title=f"Watch: {project.title}",
        org=project.org,
        project=project,
        form=form,
        back=back,
    )


def _back(request: HttpRequest, project: Project) -> str:
    """The page that asked, which is one of ours; else that of the project."""
    asked = request.GET.get("from", "")
    home = reverse("admin:index")
    ours = url_has_allowed_host_and_scheme(asked, allowed_hosts=None) and asked.startswith(home)
    return asked if ours else reverse("admin:projects_project_change", args=[project.pk])


# The files of an object that a page shows, and how each is linked to.
Links = dict[str, Any]


@require_safe
@needs(opened.WATCH)
def project_file(request: HttpRequest, pk: uuid.UUID, name: str) -> HttpResponse:
    project = get_object_or_404(project_selectors.all_projects(), pk=pk)
    links: Links = {each: lambda each=each: pictures.signed_url(project, each) for each in PICTURES}
    links["source"] = lambda: f"{watching.signed_url(project)}?inline=1"
    return _linked(request, project, links, name)


@require_safe
@needs(opened.WATCH)
def moment_file(request: HttpRequest, pk: uuid.UUID, name: str) -> HttpResponse:
    moment = get_object_or_404(project_selectors.all_moments().select_related("project"), pk=pk)
    links: Links = {each: lambda each=each: portraits.signed_url(moment, each) for each in POSTERS}
    return _linked(request, moment.project, links, name)


@require_safe
@needs(opened.WATCH)
def export_file(request: HttpRequest, pk: uuid.UUID, name: str) -> HttpResponse:
    export = get_object_or_404(job_selectors.all_jobs(Export).select_related("project"), pk=pk)
    links: Links = {each: lambda each=each: downloads.signed_url(export, each) for each in PICTURES}
    links["clip"] = lambda: f"{downloads.signed_url(export)}?inline=1"
    return _linked(request, export.project, links, name)


def _linked(request: HttpRequest, project: Project, links: Links, name: str) -> HttpResponse:
    """To the signed link of a file; to the question for a reason where the video was not opened."""
    if not opened.is_open(request, project.pk):
        return redirect("admin:watch-video", project.pk)
    if name not in links:
        return HttpResponse(status=404)
    try:
        return redirect(links[name]())
    except DomainError as error:
        return HttpResponse(error.message, status=error.status, content_type="text/plain")


@require_safe
@needs("projects.view_project")
def curves_drawn(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The curves of the scores as an SVG document, with the moments on them."""
    project = get_object_or_404(project_selectors.all_projects(), pk=pk)
    try:
        drawn = curves.drawn(project, curves.curves_of(project))
    except DomainError as error:
        # What shows the curves shows a picture alone.
        drawn = NO_CURVES.format(format_html("{}", error.message))
    return HttpResponse(drawn, content_type="image/svg+xml; charset=utf-8")
