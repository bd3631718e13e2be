"""Everything that happened to an organization, in one order, whichever table knows of it.

The order is time, newest first; of one time, the order of `sources`, then the newest row. It is total,
so that a page can begin after any entry: each source is asked for the rows that follow, through an
index of its own, in one statement for all of them. That costs the same at any depth.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from django.db.models import CharField, F, QuerySet, TextField, Value
from django.db.models.functions import Cast, Coalesce, Concat, JSONObject, NullIf, Trim
from django.urls import reverse

from clipforge.common.lists.keyset import beyond
from clipforge.jobs.kinds import all_kinds
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import Organization
from clipforge.staff.organizations.timeline_sources import Change, Source, sources_by_name

SIZE = 30


def filters() -> dict[str, str]:
    """The label of each sort of entry that a timeline can be narrowed to, by its name."""
    return {
        "credits": "Credits",
        **{kind.plural: kind.plural.capitalize() for kind in all_kinds()},
        "keys": "API keys",
        "payments": "Payments",
        "staff": "Staff",
    }


@dataclass(frozen=True)
class Entry:
    """One thing that happened. `who` is empty where that was not recorded."""

    place: TimelinePosition
    kind: str
    what: str
    who: str
    url: str
    status: str = ""  # in words
    state: str = ""  # of the badge that the status is in, if it is in one
    changes: Sequence[Change] = ()
    reason: str = ""

    @property
    def at(self) -> datetime.datetime:
        return self.place.at

    @property
    def note(self) -> str:
        """The small print beside it: a status that is in no badge, and who did it."""
        said = ["" if self.state else self.status, f"by {self.who}" if self.who else ""]
        return " · ".join(filter(None, said))


class TimelinePosition(NamedTuple):
    """The position of an entry, after which a page begins."""

    at: datetime.datetime
    source: str
    key: int | uuid.UUID

    @property
    def text(self) -> str:
        return f"{self.at.isoformat()}~{self.source}~{self.key}"


def position_of(text: str) -> TimelinePosition | None:
    """The position that `TimelinePosition.text` wrote. None for anything else."""
    try:
        at, name, key = text.split("~")
        parsed = datetime.datetime.fromisoformat(at)
        if parsed.tzinfo is None:
            return None
        return TimelinePosition(parsed, name, sources_by_name()[name].key(key))
    except (ValueError, KeyError, OverflowError):
        return None


class TimelinePage(NamedTuple):
    """Entries, and where the next page begins in each direction; None where there is none."""

    entries: list[Entry]
    newer: TimelinePosition | None
    older: TimelinePosition | None


def timeline_page(
    org: Organization,
    *,
    kind: str = "",
    before: TimelinePosition | None = None,
    after: TimelinePosition | None = None,
    size: int = SIZE,
) -> TimelinePage:
    """The `size` entries that follow `before`, or precede `after`, or the newest; of one kind or all.

    Two statements: one for the rows, one for the names of who did it.
    """
    up = after is not None
    rows = _merged(org, kind, after if up else before, size=size + 1, up=up)
    more, rows = len(rows) > size, rows[:size]
    if up:
        rows.reverse()
    entries = _entries(org, rows)
    if not entries:
        return TimelinePage([], None, None)
    first, last = entries[0].place, entries[-1].place
    if up:
        return TimelinePage(entries, first if more else None, last)
    return TimelinePage(entries, first if before else None, last if more else None)


# --- merging ---------------------------------------------------------------------------


class SourceRow(NamedTuple):
    place: TimelinePosition
    facts: dict[str, Any]


def _merged(
    org: Organization, kind: str, place: TimelinePosition | None, *, size: int, up: bool
) -> list[SourceRow]:
    """The `size` rows that follow the place downwards, or upwards: the nearest first."""
    every = sources_by_name()
    ranks = {name: rank for rank, name in enumerate(every)}
    arms = [
        _arm(org, source, place, ranks, size=size, up=up)
        for source in every.values()
        if kind in {"", source.kind}
    ]
    first, *others = arms
    found = first.union(*others, all=True) if others else first
    rows = [
        SourceRow(TimelinePosition(at, name, every[name].key(key)), facts)
        for name, at, key, facts in found
    ]
    # As the sources are in order and the times are not: the later the entry, the larger.
    rows.sort(
        key=lambda row: (row.place.at, -ranks[row.place.source], row.place.key), reverse=not up
    )
    return rows[:size]


def _arm(
    org: Organization,
    source: Source,
    place: TimelinePosition | None,
    ranks: dict[str, int],
    *,
    size: int,
    up: bool,
) -> QuerySet[Any]:
    rows = source.rows(org)
    if place is not None:
        rows = _beyond(rows, source, place, ranks, up=up)
    sign = "" if up else "-"
    named: QuerySet[Any] = rows.order_by(f"{sign}{source.at}", f"{sign}id").annotate(
        source_=Value(source.name, TextField()),
        at_=F(source.at),
        key_=Cast("id", TextField()),
        facts_=JSONObject(**source.shown),
    )
    return named.values_list("source_", "at_", "key_", "facts_")[:size]


def _beyond(
    rows: QuerySet[Any],
    source: Source,
    place: TimelinePosition,
    ranks: dict[str, int],
    *,
    up: bool,
) -> QuerySet[Any]:
    """The rows of one source after the place: a range of its index, ties included."""
    if source.name == place.source:
        return beyond(rows, (source.at, "id"), (place.at, place.key), above=up)
    # Of the same moment, the sources further on are still to come; those before have been.
    to_come = (ranks[source.name] > ranks[place.source]) is not up
    lookup = ("gt" if up else "lt") + ("e" if to_come else "")
    return rows.filter(**{f"{source.at}__{lookup}": place.at})


def _entries(org: Organization, rows: list[SourceRow]) -> list[Entry]:
    every = sources_by_name()
    said = [(row, every[row.place.source], _said(every, row)) for row in rows]
    names = _names(org, [each.get("actor") or "" for _, _, each in said])
    return [
        Entry(
            place=row.place,
            kind=source.kind,
            url=reverse(f"admin:{source.page}", args=[row.place.key]),
            who=_who(each.pop("actor", None) or "", names),
            **each,
        )
        for row, source, each in said
    ]


def _said(every: dict[str, Source], row: SourceRow) -> dict[str, Any]:
    return {"actor": row.facts.get("actor"), **every[row.place.source].said(row.facts)}


# --- actors -------------------------------------------------------------------------------

_NAME = Coalesce(
    NullIf(Trim(Concat("first_name", Value(" "), "last_name")), Value("")),
    "username",
    output_field=CharField(),
)

SYSTEM = {
    "system:worker": "a worker",
    "system:sweeper": "the sweeper",
    "system:expiry": "the clock",
    "system:billing": "billing",
}


def _names(org: Organization, actors: Iterable[str]) -> dict[str, str]:
    """The names of the people and the keys among the actors, by what the rows call them."""
    parts = {actor.partition(":")[::2] for actor in actors}
    people = [int(rest) for kind, rest in parts if kind == "user" and rest.isdecimal()]
    keys = [rest for kind, rest in parts if kind == "key"]
    if not people and not keys:
        return {}
    found = (
        org_selectors.all_users()
        .filter(pk__in=people)
        .values_list(
            Concat(Value("user:"), Cast("pk", TextField()), output_field=TextField()),
            Cast(_NAME, TextField()),
        )
    )
    of_keys = (
        org_selectors.api_keys(org)
        .filter(prefix__in=keys)
        .values_list(
            Concat(Value("key:"), Cast("prefix", TextField()), output_field=TextField()),
            Cast("name", TextField()),
        )
    )
    return dict(cast("Any", found.union(cast("Any", of_keys), all=True)))


def _who(actor: str, names: dict[str, str]) -> str:
    kind, _, rest = actor.partition(":")
    if kind == "user":
        return names.get(actor, f"user {rest}") if rest else ""
    if kind == "key":
        return f"API key ‘{names[actor]}’" if actor in names else f"API key {rest}"
    if kind == "command":
        return f"manage.py {rest}"
    if kind == "stripe":
        return "Stripe"
    return SYSTEM.get(actor, actor)
