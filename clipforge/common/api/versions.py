"""Versions of the API, by date: an old one keeps its shape while newer ones change theirs.

Everything inside is of the newest version. An answer to a client of an older one is changed back on
its way out, one version after the other, so each break of the shape is one function here and
concerns nobody else. That costs those that use an old version, and no others.

    ClipForge-Version: 2026-11-30     asks for a version, and says in each answer which it has

A request that asks for none has the version that was the newest on the day on which its organization was
made. Old versions are announced as deprecated (RFC 9745), with the day on which they end (RFC 8594).
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from django.http import HttpResponse
from django.utils.http import http_date

from clipforge.common.api.renderers import Renderer
from clipforge.common.errors import BadRequest

HEADER: Final = "ClipForge-Version"
GUIDE: Final = "/api/v1/docs"
# How long a version is served after the next has come. Days.
SERVED_DAYS = 365


class Version(NamedTuple):
    name: str
    # What it changed.
    changes: str
    # Makes an answer of this version one of the version before, in place; the first has none before it.
    undo: Callable[[Any], None] | None

    @property
    def since(self) -> datetime.datetime:
        return datetime.datetime.fromisoformat(f"{self.name}T00:00:00+00:00")


# Empty in 2026-11-25 where they are absent. They stand in projects, exports, payments, transactions,
# holds and quotes, and mean the same in all of them.
ABSENT_TEXTS: Final = frozenset(
    {"stage", "sha256", "reference", "price_version", "reference_type", "reference_id"}
)


def _write_absent_texts_as_empty(document: Any) -> None:
    match document:
        case dict():
            for name, value in document.items():
                if value is None and name in ABSENT_TEXTS:
                    document[name] = ""
                elif name != "metadata":  # which is the customer's own
                    _write_absent_texts_as_empty(value)
        case list():
            for each in document:
                _write_absent_texts_as_empty(each)


# The oldest first.
VERSIONS: Final = (
    Version("2026-11-25", "The first one.", None),
    Version("2026-11-30", "An absent text is null; it was empty.", _write_absent_texts_as_empty),
)
NEWEST: Final = VERSIONS[-1]
_NEWEST_SINCE: Final = NEWEST.since
_BY_NAME: Final = {version.name: version for version in VERSIONS}


def version_of(asked: str, made_at: datetime.datetime | None) -> Version:
    """The version of a request that asks for `asked`, or for none, of an organization made at a time.

    Raises BadRequest for one that there is not: how to read the request is then not known.
    """
    if asked:
        version = _BY_NAME.get(asked)
        if version is None:
            raise BadRequest(
                f"There is no such version. Send one of these as {HEADER}: {', '.join(_BY_NAME)}.",
                code="unknown_version",
            )
        return version
    if made_at is None or made_at >= _NEWEST_SINCE:
        return NEWEST
    return next((each for each in reversed(VERSIONS) if each.since <= made_at), VERSIONS[0])


def as_of(version: Version, body: bytes) -> bytes:
    """A document of the newest version as this version wrote it."""
    document = json.loads(body)
    for newer in reversed(VERSIONS[VERSIONS.index(version) + 1 :]):
        if newer.undo is not None:
            newer.undo(document)
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
