"""Versions of the API, by date: an old one keeps its shape while newer ones change theirs.

An answer to a client of an older version than the newest is changed back on its way out
(`clipforge.common.versions`). That costs those that use an old version, and no others.

    ClipForge-Version: 2026-11-30     asks for a version, and says in each answer which it has

A request that asks for none has the version that was the newest on the day on which its organization was
made. Old versions are announced as deprecated (RFC 9745), with the day on which they end (RFC 8594).
"""

from __future__ import annotations

import datetime
import json
import re
from typing import Any, Final

from django.http import HttpResponse
from django.utils.http import http_date

from clipforge.common.api.renderers import Renderer
from clipforge.common.versions import HEADER, NEWEST, VERSIONS, Version, undo

GUIDE: Final = "/api/v1/docs"
# How long a version is served after the next has come. Days.
SERVED_DAYS = 365


def as_of(version: Version, body: bytes) -> bytes:
    """A document of the newest version as this version wrote it."""
    document = json.loads(body)
    undo(version, document)
    return Renderer().render(document)


def change_back(response: HttpResponse, version: Version) -> None:
    """Give an answer of JSON the shape of an old version."""
    is_json = response.headers.get("Content-Type", "").startswith("application/json")
    if is_json and response.status_code < 300 and not response.streaming:
        response.content = as_of(version, response.content)


def etags_of(version: Version, offered: str) -> str:
    """`If-None-Match` without the ETags of other versions: the same row is other bytes there."""
    if offered.strip() == "*":
        return offered
    return ", ".join(f'"{each}"' for each in re.findall(rf'"([^"]*)\.{version.name}"', offered))


def tell(response: Any, version: Version) -> None:
    """Say which version the answer has; of an old one, until when there will be such answers."""
    # As `programs` sets its constants: through `headers` it takes ten times as long.
    response.headers._store["clipforge-version"] = (HEADER, version.name)
    if version is NEWEST:
        return
    if etag := response.headers.get("ETag"):
        response.headers["ETag"] = f'{etag[:-1]}.{version.name}"'
    replaced_at = VERSIONS[VERSIONS.index(version) + 1].since
    ends_at = replaced_at + datetime.timedelta(days=SERVED_DAYS)
    response.headers["Deprecation"] = f"@{int(replaced_at.timestamp())}"
    response.headers["Sunset"] = http_date(ends_at.timestamp())
    links = [response.headers.get("Link", ""), f'<{GUIDE}>; rel="deprecation"; type="text/html"']
    response.headers["Link"] = ", ".join(filter(None, links))
