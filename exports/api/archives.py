"""`GET /projects/{id}/exports.zip`: all finished files of a project."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api.files import disposition
from clipforge.common.api.problems import refusal, safe_only
from clipforge.common.api.redirects import to_link
from clipforge.common.errors import DomainError
from clipforge.common.sending import handed_over
from clipforge.orgs.api.views import OrgView
from exports import archives
from exports.api import refusals
from projects import selectors as project_selectors


class ProjectArchive(OrgView):
    pagination_class = None
    problems = {"get": (409,)}
    codes = {"get": refusals.ARCHIVE}

    @extend_schema(
        operation_id="download_project_exports",
        summary="Redirect to a signed, expiring URL of all finished files as one ZIP",
        description="A link of its own, good for some minutes, that a browser can follow: whoever has it "
        "may fetch the files. The archive is made while it is sent, without compression; it has no "
        "ranges and no length. What is deleted meanwhile is left out, and named in its `missing.txt`. "
        "Where a server sends as many as it can already, it is 503 `archives_busy`.",
        responses={
            (200, "application/zip"): OpenApiResponse(
                OpenApiTypes.BINARY, description="The archive, where the redirect is followed."
            ),
            302: OpenApiResponse(description="`Location` is the URL."),
        },
    )
    def get(self, request: Request, project_id: uuid.UUID) -> Response:
        project = project_selectors.get_project(self.organization, project_id)
        return to_link(request, archives.signed_url(project))


@safe_only
def download_archive(request: HttpRequest, token: str, name: str) -> HttpResponseBase:
    """The archive behind a signed URL. No API key: the link is the permission."""
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": disposition(name),
        "Cache-Control": "private, no-store",
        "Accept-Ranges": "none",
        "X-Content-Type-Options": "nosniff",
    }
    try:
        members = archives.members_of(archives.project_of(token))
        if request.method == "HEAD":
            head = HttpResponse(headers=headers)
            del head["Content-Length"]
            return head
        response = StreamingHttpResponse(headers=headers)
        # Last: it has a place from here on, which only the end of an answer gives back.
        response.streaming_content = archives.Archive(
            members, is_handed_over=handed_over(request.META)
        )
    except DomainError as error:
        return refusal(error)
    return response
