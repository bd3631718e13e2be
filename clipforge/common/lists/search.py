"""Searching through indexes only: millions of rows are never looked through for a text.

A field to be searched is written as Django's `search_fields` are, and has an index for it:

    =id      is the text: a primary key or a unique column, also of a row that is pointed at
    ^slug    begins with the text, as it is written (an index with varchar_pattern_ops)
    ~title   begins with the text, in any case (an index on `lowered("title")`)
    name     has the text somewhere, in any case (a GIN index on `Trigrams("name")`)
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, cast

from django.contrib.admin.utils import get_fields_from_path
from django.contrib.postgres.fields import ArrayField
from django.db.models import (
    EmailField,
    Field,
    Func,
    IntegerField,
    Model,
    QuerySet,
    SlugField,
    TextField,
    UUIDField,
    Value,
)
from django.db.models.functions import Collate, Lower

# Characters. Nothing that we keep to be found is longer.
LONGEST = 200
# Rows that a search of a list finds; who wants another one types more.
MOST_FOUND = 200
# Of PostgreSQL's bigint.
LARGEST_NUMBER = 2**63 - 1

KEY_PREFIX = "cf_live_"
KEY = re.compile(rf"{KEY_PREFIX}([0-9A-Za-z]{{0,8}})(\S*)")


class Trigrams(Func):
    """The groups of three letters in a text, in lower case; the text has two spaces before it.

    The function is made by a migration of `orgs`. PostgreSQL's own, pg_trgm, is an extension that
    not every server has.
    """

    function = "orgs_trigrams"
    arity = 1
    output_field = ArrayField(TextField())


class Sought(Func):
    """The groups that a text has which contains this one; of one or two letters, begins with it."""

    function = "orgs_sought"
    arity = 1
    output_field = ArrayField(TextField())


def lowered(field: str) -> Collate:
    """In lower case, in the order of bytes, in which what begins alike stands together."""
    return Collate(Lower(field), "C")


def without_secrets(text: str) -> tuple[str, bool]:
    """The text with only the public part of an API key in it, and whether there was more of one."""
    match = KEY.search(text)
    if match is None or not match[2]:
        return text, False
    return f"{KEY_PREFIX}{match[1]}", True


def term_of(text: str) -> str | None:
    """What to look for; empty when nothing was typed, None for what cannot be anywhere."""
    term = " ".join(without_secrets(text)[0].split())
    return None if "\0" in term or len(term) > LONGEST else term


def found(rows: QuerySet[Any], fields: Sequence[str], term: str) -> list[Any]:
    """The primary keys of at most MOST_FOUND rows, in the order of `fields`.

    One query, or none where the text cannot be what the fields hold.
    """
    ways = [
        way.values_list("pk", flat=True)[:MOST_FOUND]
        for field in fields
        for way in _ways(rows.order_by(), field, term)
    ]
    if not ways:
        return []
    first, *others = ways
    every = first.union(*others, all=True) if others else first
    return list(dict.fromkeys(every))[:MOST_FOUND]


def containing(rows: QuerySet[Any], field: str, term: str) -> QuerySet[Any]:
    """Rows whose field has every word of the text; of a short text, begins with it."""
    rows = rows.alias(_groups=Trigrams(field))
    if len(term) < 3:
        return rows.filter(_groups__contains=Sought(Value(term)))
    # The groups find through the index, the comparison makes sure: groups can be scattered.
    for word in [word for word in term.split() if len(word) > 2] or [term]:
        rows = rows.filter(_groups__contains=Sought(Value(word)))
    for word in term.split():
        rows = rows.filter(**{f"{field}__icontains": word})
    return rows


def beginning(rows: QuerySet[Any], field: str, term: str) -> QuerySet[Any]:
    """Rows whose field begins with the text, in any case.

    In the order of the index, so that it is read to a LIMIT and no further.
    """
    rows = rows.alias(_lowered=lowered(field))
    return rows.filter(_lowered__startswith=Lower(Value(term))).order_by("_lowered")


def _ways(rows: QuerySet[Any], field: str, term: str) -> Iterator[QuerySet[Any]]:
    kind, name = (field[0], field[1:]) if field[0] in "=^~" else ("", field)
    if kind == "=":
        value = value_for(rows.model, name, term)
        if value is not None:
            yield rows.filter(**{name: value})
    elif kind == "^":
        value = value_for(rows.model, name, term)
        if value is not None:
            yield rows.filter(**{f"{name}__startswith": value})
    elif kind == "~":
        yield beginning(rows, name, term)
    else:
        yield containing(rows, name, term)


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
    return term.removeprefix(KEY_PREFIX)


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
