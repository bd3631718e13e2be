"""Areas of the store: files under `<organization>/<area>/<id of a row>/`, and the rows that name them.

A kind of job with files has one. An app with other files registers theirs with
`clipforge.jobs.registry.register_area`, so that every sweep and check of the store knows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from clipforge.jobs import kinds
from clipforge.jobs.kinds import JobKind


@dataclass(frozen=True, kw_only=True)
class Area:
    """`key` and `size` are the columns with the key of the file and the bytes of it and its companions.

    `row` is what the store's reports call a row. The files of no row are removed at this minute of each
    hour.
    """

    name: str
    row: str
    model: type[Model]
    size: str
    orphans_at: int
    key: str = "file_key"


_others: dict[str, Area] = {}
_links: list[Callable[[str], str]] = []


def add(area: Area) -> None:
    """Raises ValueError for a name that another area has."""
    if area.name in {each.name for each in all_areas()}:
        raise ValueError(f"{area.name} is registered already")
    _others[area.name] = area


def lead_by(link_to: Callable[[str], str]) -> None:
    """Say which path a client fetches a key by, whatever row it is of."""
    _links[:] = [link_to]


def link_to(key: str) -> str:
    """The path that a client fetches this key by."""
    return _links[0](key)


def all_areas() -> list[Area]:
    """Those of the kinds of job first, in the order of their registration."""
    of_kinds = [area for kind in kinds.all_kinds() if (area := area_of(kind))]
    return [*of_kinds, *_others.values()]


def area_of(kind: JobKind[Any]) -> Area | None:
    """The area of a kind; None where it has no files."""
    if kind.files is None:
        return None
    return Area(
        name=kind.files.area,
        row=kind.name,
        model=kind.model,
        key=kind.files.key,
        size="stored_bytes",
        orphans_at=kind.files.orphans_at,
    )
