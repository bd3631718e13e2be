"""Stored files over HTTP, whole or in ranges: RFC 9110, sections 13 and 14.

What a request asks for is decided here, so that it is answered alike however the bytes are sent: by this
process, or by an nginx in front of it that is told where they are (`ACCEL_REDIRECT_PREFIX`).
"""

from __future__ import annotations

import io
import os
import re
import stat
from http import HTTPStatus
from typing import IO, NamedTuple
from urllib.parse import quote

from django.conf import settings
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
)
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header, http_date

from clipforge.common import storage
from clipforge.common.api.problems import problem_response
from clipforge.common.errors import NotFound

# A key is never written twice, so what it holds can be kept; only by whoever has the link.
CACHE_CONTROL = "private, max-age=31536000, immutable"
# Control characters; those that turn the direction of a text, which make `exe.mp4` of `4pm.exe`; and
# halves of a pair, which no encoding has.
UNFIT = re.compile("[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# One range. Several are answered with the whole file, as what is no range is.
RANGE = re.compile(r"bytes=\s*([0-9]*)-([0-9]*)\s*", re.IGNORECASE)
# More digits than that are of no file.
MAX_DIGITS = 18


class Part(NamedTuple):
    """Bytes of a file: the first and the last."""

    first: int
    last: int


def serve_file(
    request: HttpRequest,
    key: str,
    *,
    download_name: str,
    inline: bool = False,
    seconds_left: int,
    opens_folder: bool = False,
) -> HttpResponseBase:
    """Answer GET and HEAD for a stored file, whose type is that of its key: 200, 206, 304, 412 or 416.

    `download_name` comes from the address, so it decides nothing but how the file is called. `inline` is for playing it where it is; otherwise it is saved under the name. A file that is
    elsewhere is a redirect to where it is, good for `seconds_left`; `opens_folder` says that whoever has
    the link may fetch all that is in its folder. Raises NotFound when the file is gone,
    StorageUnavailable, ValueError for a key that is none.
    """
    if request.method not in {"GET", "HEAD"}:
        return HttpResponseNotAllowed(["GET", "HEAD"])
    if not storage.is_local():
        headers = _headers(key, download_name, inline)
        answer = _elsewhere(request, key, headers, seconds_left)
        if opens_folder and settings.DELIVERY_COOKIE_DOMAIN:
            _set_cookies(answer, key, seconds_left)
        return answer
    file = _opened(key)
    found = os.fstat(file.fileno())
    # nginx makes the same of both.
    etag = f'"{int(found.st_mtime):x}-{found.st_size:x}"'
    headers = {
        "ETag": etag,
        "Last-Modified": http_date(found.st_mtime),
        "Accept-Ranges": "bytes",
        **_headers(key, download_name, inline),
    }
    whole = HttpResponse(headers=headers)
    refused = get_conditional_response(request, etag, int(found.st_mtime), whole)
    if refused is not None and refused is not whole:
        file.close()
        return _refusal(refused, whole)
    part = _asked(request, found.st_size, etag, headers["Last-Modified"])
    if part is not None and part.first > part.last:
        file.close()
        return problem_response(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "range_not_satisfiable",
            "The file has no such range.",
            headers={"Content-Range": f"bytes */{found.st_size}"},
        )
    if settings.ACCEL_REDIRECT_PREFIX:
        file.close()
        whole["X-Accel-Redirect"] = settings.ACCEL_REDIRECT_PREFIX + quote(key)
        return whole
    return _sent(request, file, found.st_size, part, headers)


def _elsewhere(
    request: HttpRequest, key: str, headers: dict[str, str], seconds_left: int
) -> HttpResponseBase:
    try:
        found = storage.facts(key)
        if headers["Content-Type"].startswith("text/"):
            return _small(request, key, headers, found)
    except FileNotFoundError:
        raise NotFound("The file is gone.") from None
    is_head = request.method == "HEAD"
    address = storage.current().link(key, headers, seconds=seconds_left, is_head=is_head)
    moved = HttpResponse(status=HTTPStatus.FOUND, headers={"Location": address})
    # A player that seeks need not ask us each time, and what it keeps is good for as long again.
    moved["Cache-Control"] = f"private, max-age={seconds_left // 2}"
    return moved


def _small(
    request: HttpRequest, key: str, headers: dict[str, str], found: storage.Facts
) -> HttpResponseBase:
    """A text of some kilobytes, whose lines name the pictures beside it as it stands here."""
    whole = HttpResponse(storage.read_bytes(key), headers={**headers, "ETag": found.etag})
    answer = get_conditional_response(request, found.etag, int(found.modified), whole) or whole
    return answer if answer is whole else _refusal(answer, whole)


def _set_cookies(answer: HttpResponseBase, key: str, seconds_left: int) -> None:
    path, cookies = storage.current().cookies(key, seconds=seconds_left)
    for name, value in cookies.items():
        answer.set_cookie(
            name,
            value,
            max_age=seconds_left,
            path=path,
            domain=settings.DELIVERY_COOKIE_DOMAIN,
            secure=True,
            httponly=True,
            samesite="None",  # the page that plays it is the customer's
        )


def _opened(key: str) -> IO[bytes]:
    try:
        file = storage.path_of(key).open("rb")
    except OSError:  # none, a folder, a name that no file can have
        raise NotFound("The file is gone.") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise NotFound("The file is gone.")
    return file


def disposition(download_name: str, *, inline: bool = False) -> str:
    """The Content-Disposition of a file: the name comes from the address, so anything may be in it."""
    name = UNFIT.sub("", download_name)
    kind = "inline" if inline else "attachment"
    return content_disposition_header(not inline, name) or kind


def _headers(key: str, download_name: str, inline: bool) -> dict[str, str]:
    return {
        "Content-Type": storage.content_type_of(key),
        "Content-Disposition": disposition(download_name, inline=inline),
        "Cache-Control": CACHE_CONTROL,
        "X-Content-Type-Options": "nosniff",
    }


def _refusal(refused: HttpResponseBase, whole: HttpResponse) -> HttpResponseBase:
    """304 with what a client keeps beside the file, or 412."""
    if refused.status_code == HTTPStatus.NOT_MODIFIED:
        return refused
    return problem_response(
        HTTPStatus.PRECONDITION_FAILED,
        "precondition_failed",
        "The file is not the one that If-Match or If-Unmodified-Since names.",
        headers={"ETag": whole["ETag"]},
    )


def _asked(request: HttpRequest, size: int, etag: str, last_modified: str) -> Part | None:
    """The part that the request asks for; None for the whole. One without a byte is not in the file."""
    found = RANGE.fullmatch(request.headers.get("Range", "").strip())
    # A resumed download whose file became another one gets that from its beginning.
    validator = request.headers.get("If-Range")
    if found is None or validator not in {None, etag, last_modified}:
        return None
    first, last = (int(digits[: MAX_DIGITS + 1]) if digits else None for digits in found.groups())
    if first is None:
        return None if last is None else Part(max(0, size - last), size - 1)
    return Part(first, size - 1 if last is None else min(last, size - 1))


def _sent(
    request: HttpRequest, file: IO[bytes], size: int, part: Part | None, headers: dict[str, str]
) -> HttpResponseBase:
    first, last = part or Part(0, size - 1)
    status = HTTPStatus.OK
    headers["Content-Length"] = str(last - first + 1)
    if part is not None:
        status = HTTPStatus.PARTIAL_CONTENT
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    if request.method == "HEAD":
        file.close()
        return HttpResponse(status=status, headers=headers)
    file.seek(first)
    body = file if part is None else _Slice(file, last - first + 1)
    response = FileResponse(body, status=status)
    for name, value in headers.items():  # in place of what it thinks of a file without a name
        response[name] = value
    return response


class _Slice(io.RawIOBase):
    """So many bytes of a file, from where it stands."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file, self._left = file, length

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        super().close()
        self._file.close()
