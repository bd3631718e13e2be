"""Filters that refuse what they do not know: a misspelt parameter must not widen a list."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request

from clipforge.common.api.parsers import refuse_null_characters
from clipforge.common.errors import BadRequest

# Parameters of the pagination, known to every list.
PAGING = {"cursor", "page_size"}


def refuse_unknown_parameters(request: Request, known: set[str]) -> None:
    """Raises BadRequest naming what was not understood and what would be."""
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        raise BadRequest(
            f"Unknown query parameter: {', '.join(unknown)}. "
            f"Known here: {', '.join(sorted(known)) or 'none'}.",
            code="unknown_parameter",
        )


class StrictFilterBackend(DjangoFilterBackend):
    """Applies the view's `filterset_class`. Unknown names and NUL are 400, bad values 422."""

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> Any:
        filterset_class = self.get_filterset_class(view, queryset)
        names = set(filterset_class.base_filters) if filterset_class else set()
        refuse_unknown_parameters(request, names | PAGING)
        refuse_null_characters([request.query_params.getlist(name) for name in names])
        return super().filter_queryset(request, queryset, view)
