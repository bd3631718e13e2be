"""The headers of the tus protocol, 1.0.0: resumable uploads over HTTP (https://tus.io).

With its extensions creation, termination, checksum and expiration.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping

from django.conf import settings
from django.http import HttpResponseBase
from django.utils.http import http_date
from rest_framework.request import Request

from clipforge.common.errors import DomainError, Invalid, UnsupportedMedia
from projects.models import Upload
from projects.uploads import Checksum

VERSION = "1.0.0"
EXTENSIONS = "creation,termination,checksum,expiration"
# By their names there and in hashlib.
ALGORITHMS = {"sha1": "sha1", "sha256": "sha256", "md5": "md5"}
PART_TYPE = "application/offset+octet-stream"
MAX_DIGITS = 16
MAX_METADATA = 4096


class UnknownVersion(DomainError):
    status, code, title = 412, "tus_version", "Another version of the protocol"


def speaks_tus(request: Request) -> bool:
    return "HTTP_TUS_RESUMABLE" in request.META


def require_version(request: Request) -> None:
    """Raises UnknownVersion for another one than is spoken here, and Invalid where none is said."""
    if not speaks_tus(request):
        raise Invalid(f"Send Tus-Resumable: {VERSION}.", code="invalid_header")
    if request.META["HTTP_TUS_RESUMABLE"].strip() != VERSION:
        raise UnknownVersion(f"Send Tus-Resumable: {VERSION}.")


def require_part(request: Request) -> None:
    """Raises UnsupportedMedia for a body that says it is something else."""
    if str(request.content_type).partition(";")[0].strip().lower() != PART_TYPE:
        raise UnsupportedMedia(
            f"Send the part with Content-Type: {PART_TYPE}.", code="unsupported_media_type"
        )


def number_in(request: Request, name: str, default: str = "") -> int:
    """The whole number in a header. Raises Invalid."""
    text = (request.headers.get(name) or default).strip()
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise Invalid(f"{name} must be a whole number, zero or more.", code="invalid_header")
    return int(text)


def metadata_in(request: Request) -> dict[str, str]:
    """`Upload-Metadata`: names, each with a text in Base64. Raises Invalid."""
    header = request.headers.get("Upload-Metadata", "")
    if len(header) > MAX_METADATA:
        raise _invalid_metadata()
    found: dict[str, str] = {}
    for pair in filter(None, map(str.strip, header.split(","))):
        name, _, value = pair.partition(" ")
        try:
            found[name] = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise _invalid_metadata() from None
        if "\0" in found[name]:
            raise _invalid_metadata()
    return found


def checksum_in(request: Request) -> Checksum | None:
    """`Upload-Checksum`: an algorithm and a digest in Base64. Raises Invalid."""
    header = request.headers.get("Upload-Checksum")
    if header is None:
        return None
    name, _, value = header.strip().partition(" ")
    try:
        algorithm = ALGORITHMS[name.lower()]
        digest = base64.b64decode(value.strip(), validate=True)
    except (KeyError, binascii.Error):
        raise _invalid_checksum() from None
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise _invalid_checksum()
    return Checksum(algorithm, digest)


def tell(response: HttpResponseBase, upload: Upload | None = None) -> None:
    """Say which protocol this is and, of an upload, how far it is."""
    response["Tus-Resumable"] = VERSION
    if upload is not None:
        response["Upload-Offset"] = str(upload.received)
        response["Upload-Length"] = str(upload.size)
        response["Upload-Expires"] = http_date(upload.expires_at.timestamp())


def abilities() -> Mapping[str, str]:
    """The headers with which OPTIONS answers."""
    return {
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(settings.MAX_UPLOAD_BYTES),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }


def _invalid_metadata() -> Invalid:
    return Invalid(
        "Upload-Metadata must be names, each with a text in Base64, separated by commas.",
        code="invalid_header",
    )


def _invalid_checksum() -> Invalid:
    return Invalid(
        f"Upload-Checksum must be one of {', '.join(ALGORITHMS)} and a digest in Base64.",
        code="invalid_header",
    )
