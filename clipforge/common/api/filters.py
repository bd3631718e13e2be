"""Filters that refuse what they do not know: a misspelt parameter must not widen a list."""

from __future__ import annotations

import datetime
import functools
import operator
import uuid
from typing import Any, cast

import django_filters
from django.db.models import F, Q, QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from clipforge.common.api.parsers import refuse_null_characters
from clipforge.common.errors import Invalid

# Parameters of the pagination, known to every list.
PAGING = {"cursor", "page_size"}
# Of a list of ids.
MAX_IDS = 100


class AnyOf(django_filters.MultipleChoiceFilter):
    """One or several values of the column that is named like it; the pagination knows it.

    Without DISTINCT, which is for joins, and would sort every page.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(distinct=False, **kwargs)


# What a list may be ordered by, newest first.
ORDERS = {"created_at": ("created_at", "id"), "updated_at": ("updated_at", "id")}


def order_of(request: Request) -> tuple[str, ...]:
    """The ordering of a list that has `Sort` and `UpdatedAfter`. Times of a change come in their order."""
    by_change = {"updated_after", "updated_before"} & set(request.query_params)
    asked = request.query_params.get("sort") or ("updated_at" if by_change else "created_at")
    return ORDERS.get(asked, ORDERS["created_at"])  # any other is refused by the filter


class Sort(django_filters.ChoiceFilter):
    """The time that a list is ordered by; the pagination does it."""

    def __init__(self, **kwargs: Any) -> None:
        choices = [(name, name) for name in ORDERS]
        super().__init__(choices=choices, help_text="Newest first, by this time.", **kwargs)

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return qs


class UpdatedAfter(django_filters.IsoDateTimeFilter):
    """Rows that changed at a time or later; a list of these is ordered by that time."""

    def __init__(self, **kwargs: Any) -> None:
        about = "Changed at this time or later; ordered by the time of the change, unless `sort` says else."
        super().__init__("updated_at", "gte", help_text=about, **kwargs)


class AnyId(django_filters.BaseInFilter, django_filters.UUIDFilter):
    """Rows with these ids, separated by commas: as many as a page can have."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("pk", **kwargs)

    def filter(self, qs: QuerySet[Any], value: list[uuid.UUID] | None) -> QuerySet[Any]:
        if value is not None and (None in value or len(value) > MAX_IDS):
            raise ValidationError({"ids": f"Give 1 to {MAX_IDS} ids, separated by commas."})
        filtered: QuerySet[Any] = super().filter(qs, value)
        return filtered


class CreatedAfter(django_filters.IsoDateTimeFilter):
    """Rows created at a time or later."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("created_at", "gte", help_text="Made at this time or later.", **kwargs)


class CreatedBefore(django_filters.IsoDateTimeFilter):
    """Rows created before a time, which is not included."""

    column = "created_at"

    def __init__(self, **kwargs: Any) -> None:
        options = {"help_text": "Made before this time, which is not included.", **kwargs}
        super().__init__(self.column, "lt", **options)

    def filter(self, qs: QuerySet[Any], value: datetime.datetime | None) -> QuerySet[Any]:
        filterset: django_filters.FilterSet = cast("Any", self).parent
        request = filterset.request
        filtered: QuerySet[Any] = super().filter(qs, value)
        if value is not None and request is not None and "cursor" in request.GET:
            # The cursor is where the index is entered. Of two such places PostgreSQL takes the
            # first, and reads from there to the cursor: so this one is made a plain condition.
            moment = F(self.column) + datetime.timedelta(0)
            filtered = qs.alias(_moment=moment).filter(_moment__lt=value)
        return filtered


class UpdatedBefore(CreatedBefore):
    """Rows that changed before a time; a list of these is ordered by that time, as by `UpdatedAfter`."""

    column = "updated_at"

    def __init__(self, **kwargs: Any) -> None:
        about = (
            "Changed before this time; ordered by the time of the change, unless `sort` says else."
        )
        super().__init__(help_text=about, **kwargs)


class TrueOrFalse(django_filters.ChoiceFilter):
    """Rows in which the column that is named like it is true, or is not."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=[("true", "Yes"), ("false", "No")], **kwargs)

    def filter(self, qs: QuerySet[Any], value: str) -> QuerySet[Any]:
        return qs.filter(**{str(self.field_name): value == "true"}) if value else qs


class Containing(django_filters.CharFilter):
    """Rows in one of whose columns a text is, in any case. For lists that are short by their nature: it
    reads all of them."""

    def __init__(self, *columns: str, **kwargs: Any) -> None:
        about = f"In {' or '.join(column.replace('_', ' ') for column in columns)}, in any case."
        super().__init__(max_length=200, help_text=about, **kwargs)
        self.columns = columns

    def filter(self, qs: QuerySet[Any], value: str) -> QuerySet[Any]:
        if not value:
            return qs
        anywhere = [Q(**{f"{column}__icontains": value}) for column in self.columns]
        return qs.filter(functools.reduce(operator.or_, anywhere))


def refuse_unknown_parameters(request: Request, known: set[str]) -> None:
    """Raises Invalid (`unknown_parameter`) naming what is not known here and what is."""
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        raise Invalid(
            f"Unknown query parameter: {', '.join(unknown)}. "
            f"Known here: {', '.join(sorted(known)) or 'none'}.",
            code="unknown_parameter",
        )


class StrictFilterBackend(DjangoFilterBackend):
    """Applies the view's `filterset_class`. NUL is 400; unknown names, bad and empty values are 422."""

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> Any:
        filterset_class = self.get_filterset_class(view, queryset)
        names = set(filterset_class.base_filters) if filterset_class else set()
        refuse_unknown_parameters(request, names | PAGING)
        values = {name: request.query_params.getlist(name) for name in names}
        refuse_null_characters(list(values.values()))
        _refuse_empty(values)
        if not any(values.values()):
            return queryset  # without a form made for each request, half of what a page costs
        return super().filter_queryset(request, queryset, view)


def _refuse_empty(values: dict[str, list[str]]) -> None:
    """To Django an empty value is no filter: a variable that was not set would widen the list."""
    empty = [name for name, given in values.items() if "" in given]
    if empty:
        sentence = "Give a value, or leave the parameter out."
        raise ValidationError(dict.fromkeys(sorted(empty), sentence))
