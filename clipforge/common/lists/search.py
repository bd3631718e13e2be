"""Searching through indexes only: millions of rows are never looked through for a text.

A field to be searched is written as Django's `search_fields` are, and has an index for it:

    =id      is the text: a primary key or a unique column, also of a row that is pointed at
    ^slug    begins with the text, as it is written (an index with varchar_pattern_ops)
    ~title   begins with the text, in any case (an index on `lowered("title")`)
    %ref     is the text, whatever blanks are in either; the app that has an index for that registers how
    name     has the text somewhere, in any case; the app that has an index for that registers how
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any, cast

from django.contrib.admin.utils import get_fields_from_path
from django.db.models import (
    EmailField,
    Field,
    IntegerField,
    Model,
    QuerySet,
    SlugField,
    UUIDField,
    Value,
)
from django.db.models.functions import Collate, Lower

from clipforge.common import secret_formats

# Characters. No text that can be found is longer.
LONGEST = 200
# Rows that a search of a list finds at the most; a longer text finds fewer.
MOST_FOUND = 200
# Of PostgreSQL's bigint.
LARGEST_NUMBER = 2**63 - 1


def lowered(field: str) -> Collate:
    """In lower case, in the order of bytes, in which what begins alike stands together."""
    return Collate(Lower(field), "C")


def term_of(text: str) -> str | None:
    """The text to look for; empty when nothing was typed, None for one that no row can have."""
    term = " ".join(secret_formats.public_part(text)[0].split())
    return None if "\0" in term or len(term) > LONGEST else term


def found(rows: QuerySet[Any], fields: Sequence[str], term: str) -> list[Any]:
    """The primary keys of at most MOST_FOUND rows, in the order of `fields`.

    One query, or none where the text cannot be what the fields hold.
    """
    matches = [matching(rows.order_by(), field, term) for field in fields]
    possible = [
        match.values_list("pk", flat=True)[:MOST_FOUND]
        for match in matches
        if not match.query.is_empty()
    ]
    if not possible:
        return []
    first, *others = possible
    every = first.union(*others, all=True) if others else first
    return list(dict.fromkeys(every))[:MOST_FOUND]


def beginning(rows: QuerySet[Any], field: str, term: str) -> QuerySet[Any]:
    """Rows whose field begins with the text, in any case.

    In the order of the index, so that it is read to a LIMIT and no further.
    """
    rows = rows.alias(_lowered=lowered(field))
    return rows.filter(_lowered__startswith=Lower(Value(term))).order_by("_lowered")


def exact(rows: QuerySet[Any], field: str, term: str) -> QuerySet[Any]:
    """Rows whose field is the text."""
    value = value_for(rows.model, field, term)
    return rows.none() if value is None else rows.filter(**{field: value})


def starting(rows: QuerySet[Any], field: str, term: str) -> QuerySet[Any]:
    """Rows whose field begins with the text, as it is written."""
    value = value_for(rows.model, field, term)
    return rows.none() if value is None else rows.filter(**{f"{field}__startswith": value})


# Rows of a queryset whose field matches a text.
Match = Callable[[QuerySet[Any], str, str], QuerySet[Any]]
MATCHES: dict[str, Match] = {"=": exact, "^": starting, "~": beginning}


def register_match(sign: str, match: Match) -> None:
    """Let fields that are written with `sign` before them ("" for none) be matched so."""
    MATCHES[sign] = match


def matching(rows: QuerySet[Any], field: str, term: str) -> QuerySet[Any]:
    """Rows whose field, written with its sign, matches the text; an empty queryset if none can."""
    sign = field[0] if field[0] in "=^~%" else ""
    return MATCHES[sign](rows, field.removeprefix(sign), term)


def value_for(model: type[Model], path: str, term: str) -> Any:
    """The text as a value of the field, None when it cannot be one."""
    field: Field[Any, Any] = get_fields_from_path(model, path)[-1]
    if field.remote_field is not None:  # a primary key that points at another row
        field = cast("Field[Any, Any]", cast("Any", field).target_field)
    if isinstance(field, UUIDField):
        return uuid_of(term)
    if isinstance(field, IntegerField):
        return number_of(term)
    if isinstance(field, EmailField):
        return term.lower() if "@" in term else None
    if isinstance(field, SlugField):
        return term.lower()
    return secret_formats.without_prefix(term)


def uuid_of(term: str) -> uuid.UUID | None:
    """The id, with its dashes or without; None for any other text."""
    if not re.fullmatch(
        r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", term
    ):
        return None
    return uuid.UUID(term)


def number_of(term: str) -> int | None:
    """The number, None for any other text and what no primary key can be."""
    if not (term.isascii() and term.isdigit()) or len(term) > 19 or int(term) > LARGEST_NUMBER:
        return None
    return int(term)
