"""Stored files over HTTP, whole or in ranges."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import IO, Any

from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.http import content_disposition_header
from whitenoise.responders import (
    MissingFileError,
    NotARegularFileError,
    Response,
    SlicedFile,
    StaticFile,
)

from clipforge.common import storage
from clipforge.common.api.problems import problem_response
from clipforge.common.errors import NotFound

Headers = list[tuple[str, str]]

TYPES = {
    ".webm": "video/webm",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".vtt": "text/vtt; charset=utf-8",
}
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


def serve_file(request: HttpRequest, key: str, *, download_name: str) -> HttpResponseBase:
    """Answer GET and HEAD for a stored file, whose type is that of the name, with Range, If-Modified-Since and ETag.

    WhiteNoise's responder does the protocol. Raises NotFound when the file is gone, ValueError for
    a key that is none.
    """
    try:
        file = StoredFile(str(storage.path_of(key)), list(_headers(download_name).items()))
    except (MissingFileError, NotARegularFileError):
        raise NotFound("The file is gone.") from None
    answer = file.get_response(request.method or "GET", request.META)
    response: HttpResponseBase
    if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return problem_response(
            answer.status,
            "range_not_satisfiable",
            "The file has no such range.",
            headers={name: value for name, value in answer.headers if name == "Content-Range"},
        )
    if answer.file is None:
        response = HttpResponse(status=answer.status)
    else:
        response = FileResponse(answer.file, status=answer.status)
    for name, value in answer.headers:
        response[name] = value
    return response


class StoredFile(StaticFile):  # type: ignore[misc] # no type information is published
    """WhiteNoise takes a range of one byte for an empty one, and the last none bytes for all."""

    def get_range_response(
        self, range_header: str, base_headers: Headers, file_handle: IO[bytes] | None
    ) -> Response:
        size = int(dict(base_headers)["Content-Length"])
        start, end = self.get_byte_range(range_header, size)
        if start > end or range_header.rstrip().endswith("=-0"):
            return self.get_range_not_satisfiable_response(file_handle, size)
        headers = [(name, value) for name, value in base_headers if name != "Content-Length"]
        headers.append(("Content-Range", f"bytes {start}-{end}/{size}"))
        headers.append(("Content-Length", str(end - start + 1)))
        part = None if file_handle is None else SlicedFile(file_handle, start, end)
        return Response(HTTPStatus.PARTIAL_CONTENT, headers, part)


def _headers(download_name: str) -> dict[str, Any]:
    name = CONTROL_CHARACTERS.sub("", download_name)
    return {
        "Content-Type": TYPES.get(PurePosixPath(name).suffix, "video/mp4"),
        "Content-Disposition": content_disposition_header(True, name) or "attachment",
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
