"""The versions of the API by date, and how a document of the newest becomes one of an older.

Everything inside is of the newest version. What goes out to a client of an older one is changed back,
one version after the other, so each break of the shape is one function here and concerns nobody else.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from clipforge.common.errors import BadRequest

HEADER: Final = "ClipForge-Version"


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


def version_named(name: str) -> Version:
    """The version that something was made for; the oldest that is served, once that has ended."""
    return _BY_NAME.get(name, VERSIONS[0])


def undo(version: Version, document: Any) -> None:
    """Make a document of the newest version one of this version, in place."""
    for newer in reversed(VERSIONS[VERSIONS.index(version) + 1 :]):
        if newer.undo is not None:
            newer.undo(document)
