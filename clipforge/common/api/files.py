"""Stored files over HTTP, whole or in ranges."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.http import content_disposition_header
from whitenoise.responders import MissingFileError, NotARegularFileError, StaticFile

from clipforge.common import storage
from clipforge.common.errors import NotFound


def serve_file(request: HttpRequest, key: str, *, download_name: str) -> HttpResponseBase:
    """Answer GET and HEAD for a stored MP4, with Range, If-Modified-Since and ETag.

    WhiteNoise's responder does the protocol. Raises NotFound when the file is gone.
    """
    try:
        file = StaticFile(str(storage.path_of(key)), list(_headers(download_name).items()))
    except (MissingFileError, NotARegularFileError):
        raise NotFound("The file is gone.") from None
    answer = file.get_response(request.method or "GET", request.META)
    response: HttpResponseBase
    if answer.file is None:
        response = HttpResponse(status=answer.status)
    else:
        response = FileResponse(answer.file, status=answer.status)
    for name, value in answer.headers:
        response[name] = value
    return response


def _headers(download_name: str) -> dict[str, Any]:
    return {
        "Content-Type": "video/mp4",
        "Content-Disposition": content_disposition_header(True, download_name) or "attachment",
        "Cache-Control": "private, max-age=3600",
        "X-Content-Type-Options": "nosniff",
    }
