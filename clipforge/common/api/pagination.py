"""Keyset pagination: the same cost on every page, exact when thousands of rows share a value.

A cursor holds the place after the last row seen: the values of the ordering, ending in
the primary key, which makes it unique. It is signed together with the organization and
the path that it was made for. DRF's own CursorPagination compares only the first field
and steps through ties by offset, so its cost grows with the ties.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from django.core import signing
from django.db.models import Model, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from clipforge.common.api.filters import AnyOf
from clipforge.common.errors import Invalid, NotFound
from clipforge.common.lists.keyset import beyond, place_of, values_at
from clipforge.common.prepared import Prepared

M = TypeVar("M", bound=Model)

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 100


class KeysetPagination(BasePagination):
    """Pages a queryset whose view declares `keyset = ("created_at", "id")`: newest first.

    Every field is ordered descending. The answer is `{results, next, next_cursor}`; both
    are null on the last page.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        fields: tuple[str, ...] = view.keyset
        self.scope = _scope(request, fields)
        size = _page_size(request)
        cursor = request.query_params.get("cursor")
        after = None if cursor is None else self._decode(cursor, queryset.model, fields)
        rows = list(keyset_page(queryset, fields, size, after=after, any_of=_any_of(request, view)))
        return self._page(request, rows, fields, size)

    def first_page(self, rows: list[Any], request: Request, view: Any) -> list[Any]:
        """As `paginate_queryset`, of the rows that `first_rows` found."""
        self.request = request
        return self._page(request, rows, view.keyset, DEFAULT_PAGE_SIZE)

    def _page(
        self, request: Request, rows: list[Any], fields: tuple[str, ...], size: int
    ) -> list[Any]:
        page = rows[:size]
        self.next_cursor = cursor_at(request, page[-1], fields) if len(rows) > size else None
        return page

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {
                "results": data,
                "next": self.next_cursor
                and replace_query_param(
                    self.request.build_absolute_uri(), "cursor", self.next_cursor
                ),
                "next_cursor": self.next_cursor,
            }
        )

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["results", "next", "next_cursor"],
            "properties": {
                "results": schema,
                "next": {"type": ["string", "null"], "format": "uri"},
                "next_cursor": {
                    "type": ["string", "null"],
                    "description": "Pass as `cursor` to get the next page; null on the last one.",
                },
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": "cursor",
                "in": "query",
                "description": "`next_cursor` of the page before.",
                "schema": {"type": "string"},
            },
            {
                "name": "page_size",
                "in": "query",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MAX_PAGE_SIZE,
                    "default": DEFAULT_PAGE_SIZE,
                },
            },
        ]

    def _decode(self, cursor: str, model: type[Model], fields: tuple[str, ...]) -> list[Any]:
        malformed = Invalid(
            "The cursor is malformed. Use next_cursor of the page before, unchanged.",
            code="invalid_cursor",
        )
        try:
            org, path, *texts = signing.loads(cursor, salt="cursor")
        except (signing.BadSignature, ValueError):
            raise malformed from None
        if org != self.scope[0]:
            raise NotFound
        if path != self.scope[1]:
            raise Invalid("The cursor belongs to another list.", code="invalid_cursor")
        try:
            return values_at(model, fields, texts)
        except ValueError:  # of a release that ordered the list by something else
            raise malformed from None


def first_rows(listed: Callable[[uuid.UUID], QuerySet[M]], fields: tuple[str, ...]) -> Prepared[M]:
    """The first page of a list of what belongs to something, by its id, that no parameter narrows."""
    return Prepared(lambda pk: keyset_page(listed(pk), fields, DEFAULT_PAGE_SIZE))


def keyset_page(
    queryset: QuerySet[Any],
    fields: tuple[str, ...],
    size: int,
    *,
    after: list[Any] | None = None,
    any_of: dict[str, list[str]] | None = None,
) -> QuerySet[Any]:
    """The `size` rows that follow the values `after`, and one more if there is one.

    `any_of` repeats a filter by several values of one column. Each value has its range of the
    index, in order; a page is merged from a page of each. Left to itself PostgreSQL would read
    all rows of these values and sort them, or read the list from the top until it found enough.
    """
    order = [f"-{field}" for field in fields]
    if after is not None:
        queryset = beyond(queryset, fields, after)
    if any_of is None:
        return queryset.order_by(*order)[: size + 1]
    ((name, values),) = any_of.items()
    first, *others = (
        queryset.filter(**{name: value}).order_by(*order)[: size + 1] for value in values
    )
    return first.union(*others, all=True).order_by(*order)[: size + 1]


def cursor_at(
    request: Request, row: Model, fields: tuple[str, ...], *, path: str | None = None
) -> str:
    """The cursor that `request` would be given after `row`; with `path`, one for the list there."""
    scope = _scope(request, fields, path)
    return signing.dumps([*scope, *place_of(row, fields)], salt="cursor")


def _scope(request: Request, fields: tuple[str, ...], path: str | None = None) -> list[str]:
    """Whose cursor it is, and of which list in which order."""
    organization = getattr(request.user, "organization", None)
    order = "?sort=updated_at" if fields[0] == "updated_at" else ""
    return [str(organization.pk) if organization else "", (path or request.path) + order]


def _any_of(request: Request, view: Any) -> dict[str, list[str]] | None:
    """The column that has to be one of several values, if there is one, and these values."""
    filterset_class = getattr(view, "filterset_class", None)
    for name, filter_ in filterset_class.base_filters.items() if filterset_class else ():
        values = sorted(set(request.query_params.getlist(name)))
        if isinstance(filter_, AnyOf) and len(values) > 1:
            return {name: values}
    return None


def _page_size(request: Request) -> int:
    text = request.query_params.get("page_size", str(DEFAULT_PAGE_SIZE))
    digits = len(str(MAX_PAGE_SIZE))
    plain = text.isascii() and text.isdigit() and len(text) <= digits
    if not plain or not 1 <= int(text) <= MAX_PAGE_SIZE:
        raise Invalid(
            f"page_size must be a whole number from 1 to {MAX_PAGE_SIZE}.", code="invalid_page_size"
        )
    return int(text)
