"""`?expand=`: the first page of lists that belong to an object, in the answer about the object.

The app of the list registers it for the model of the object, and no app knows of those above it. The
rest of a list is read where it is listed, from `next` on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from django.db.models import Model, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from clipforge.common.api.pagination import DEFAULT_PAGE_SIZE, cursor_at, keyset_page
from clipforge.common.api.serializers import Serializer
from clipforge.common.errors import Invalid

PARAMETER = "expand"


class Expansion(NamedTuple):
    """A list below an object."""

    serializer: type[serializers.BaseSerializer[Any]]
    keyset: tuple[str, ...]
    rows: Callable[[Any], QuerySet[Any]]
    # The address of the list of that object, which may have parameters.
    address: Callable[[Any], str]


_expansions: dict[type[Model], dict[str, Expansion]] = {}


def register(model: type[Model], name: str, expansion: Expansion) -> None:
    """Let answers about objects of the model be asked for with this list."""
    _expansions.setdefault(model, {})[name] = expansion


def asked(request: Request, model: type[Model]) -> list[str]:
    """The lists that the request asks for. Raises Invalid (`unknown_expansion`) for others."""
    if PARAMETER not in request.query_params:
        return []
    names = ",".join(request.query_params.getlist(PARAMETER)).split(",")
    known = sorted(_expansions.get(model, {}))
    if unknown := sorted(set(names) - set(known)):
        raise Invalid(
            f"Cannot expand: {', '.join(unknown) or 'nothing'}. Known here: {', '.join(known)}.",
            code="unknown_expansion",
        )
    return sorted(set(names))


def expanded(request: Request, owner: Model, names: list[str]) -> dict[str, Any]:
    """The first page of each list, by its name: one query for each."""
    return {name: _page(request, owner, _expansions[type(owner)][name]) for name in names}


def _page(request: Request, owner: Model, expansion: Expansion) -> dict[str, Any]:
    rows = list(keyset_page(expansion.rows(owner), expansion.keyset, DEFAULT_PAGE_SIZE))
    page = rows[:DEFAULT_PAGE_SIZE]
    context = {"request": request, "list": True}
    address, cursor = expansion.address(owner), None
    if len(rows) > len(page):
        path = address.partition("?")[0]
        cursor = cursor_at(request, page[-1], expansion.keyset, path=path)
    return {
        "results": expansion.serializer(page, many=True, context=context).data,
        "next": cursor
        and replace_query_param(request.build_absolute_uri(address), "cursor", cursor),
        "next_cursor": cursor,
    }


@functools.cache
def expanded_serializer(
    model: type[Model], base: type[serializers.ModelSerializer[Any]]
) -> type[serializers.ModelSerializer[Any]]:
    """For the schema: `base` with the lists, each of which may be absent."""
    pages = {
        name: _page_serializer(name, each.serializer)(
            required=False, help_text=f"The first {DEFAULT_PAGE_SIZE}, with `expand={name}`."
        )
        for name, each in sorted(_expansions.get(model, {}).items())
    }
    meta = type("Meta", (base.Meta,), {"fields": [*base.Meta.fields, *pages]})
    return type(f"{model.__name__}DetailSerializer", (base,), {**pages, "Meta": meta})


def _page_serializer(name: str, serializer: Any) -> type[Serializer]:
    fields = {
        "results": serializer(many=True),
        "next": serializers.URLField(allow_null=True),
        "next_cursor": serializers.CharField(
            allow_null=True, help_text="For the list; null where there are no more."
        ),
    }
    return type(f"First{name.capitalize()}Serializer", (Serializer,), fields)
