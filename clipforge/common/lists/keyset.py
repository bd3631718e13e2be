"""The arithmetic of keyset pages: the place after a row, as text, and the rows beyond it.

A list is in descending order of some fields, the last of which is unique. The values of a row in
these fields are its place, and a page is entered there through the index: the same cost at any depth.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from django.core.exceptions import ValidationError
from django.db.models import F, Field, Model, QuerySet
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan

M = TypeVar("M", bound=Model)


def beyond(
    queryset: QuerySet[M], fields: Sequence[str], values: Sequence[Any], *, above: bool = False
) -> QuerySet[M]:
    """Rows that follow `values` in descending order; with `above`, those before them.

    One comparison of rows, which PostgreSQL takes for the start of an index range. Spelt out as
    `a < x OR (a = x AND b < y)` it would read the list, or all rows that share `a`, from the top.
    """
    if len(fields) == 1:
        return queryset.filter(**{f"{fields[0]}__{'gt' if above else 'lt'}": values[0]})
    row = Tuple(*(F(field) for field in fields))
    compared = TupleGreaterThan if above else TupleLessThan
    return queryset.filter(compared(row, tuple(values)))


def place_of(row: Model, fields: Sequence[str]) -> list[str]:
    """Where the row is, as text that `values_at` reads again."""
    return [_to_text(getattr(row, _attname(type(row), field))) for field in fields]


def values_at(model: type[Model], fields: Sequence[str], place: Sequence[str]) -> list[Any]:
    """The values of a place. Raises ValueError for texts that are none in these fields."""
    try:
        return [
            field.to_python(text)
            for field, text in zip((_field(model, name) for name in fields), place, strict=True)
        ]
    except ValidationError as error:
        raise ValueError(str(error)) from error


def _field(model: type[Model], name: str) -> Field[Any, Any]:
    if name == "pk":
        return model._meta.pk
    return cast("Field[Any, Any]", model._meta.get_field(name))


def _attname(model: type[Model], name: str) -> str:
    return str(_field(model, name).attname)


def _to_text(value: object) -> str:
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, str | uuid.UUID | int | float):
        return str(value)
    raise TypeError(f"A keyset cannot hold a {type(value).__name__}.")
