"""Bases of admin classes: lists of big tables, search through indexes, rows that only services change."""

from __future__ import annotations

import json
from typing import Any, ClassVar, cast

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR, ChangeList
from django.core.exceptions import EmptyResultSet
from django.core.paginator import Page, Paginator
from django.db import connection
from django.db.models import F, Model, QuerySet, prefetch_related_objects
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from clipforge.common import secret_formats
from clipforge.common.admin_columns import columns_of, name_of
from clipforge.common.admin_filters import BetweenDays, Whose, between
from clipforge.common.lists import search
from clipforge.common.lists.keyset import beyond, place_of, values_at

# The order of the index on created_at over all organizations.
NEWEST_FIRST: Any = [F("created_at").desc(nulls_last=True), F("id").desc(nulls_last=True)]

# Of a list that is added up: the days that may be chosen, and the rows that are read.
MOST_DAYS, MOST_SUMMED = 100, 100_000

# Parameters of a list: its rows after, or before, a place.
OLDER, NEWER = "older", "newer"


class UncountedPaginator(Paginator[Any]):
    """A paginator for the choices of a field: never counts, and knows whether a page has a next one."""

    # More than a person scrolls through; no page is further away.
    num_pages = 100

    def page(self, number: int | str) -> Page[Any]:
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        rows = list(self.object_list[start : start + self.per_page + 1])
        page = Page(rows[: self.per_page], number, self)
        page.has_next = lambda: len(rows) > self.per_page  # type: ignore[method-assign]
        return page


class KeysetChangeList(ChangeList):
    """A list with "older" and "newer" for page numbers: nothing is counted, and no page is far away.

    In the order of `model_admin.ordering`, or of `ordering_of_org` where the rows are those of one
    organization; a column in `sortable_by` turns the order around.
    """

    keyset = True
    older: str | None = None
    newer: str | None = None
    newest: str | None = None
    # Whose rows are shown, when a search named an organization.
    found_org: Any = None
    # How many a search finds at most, when it found that many.
    found_most: int | None = None
    # The sums of the rows that are shown on all pages, in words.
    sums: ClassVar[Any] = ()

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        self.older_than = self._taken(OLDER)
        self.newer_than = self._taken(NEWER)
        rows = super().get_queryset(request, exclude_parameters)
        self.found_org = getattr(request, "found_org", None)
        self.found_most = search.MOST_FOUND if getattr(request, "found_most", False) else None
        return rows.order_by(*self._order(self.oldest_first))

    def apply_select_related(self, qs: QuerySet[Any]) -> QuerySet[Any]:
        """Join nothing: the related rows of a page are fetched by their keys, once it is known.

        Joined, PostgreSQL reads thousands of names for a hundred rows, or the list from its top.
        """
        return qs

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """The order of the index; only its direction can be chosen."""
        chosen = self.params.get(ORDER_VAR, "")
        index = chosen.removeprefix("-")
        column = name_of(self.list_display[int(index)]) if self._is_column(index) else None
        self.oldest_first = column in (self.sortable_by or ()) and not chosen.startswith("-")
        if column not in (self.sortable_by or ()):
            self.params.pop(ORDER_VAR, None)
        return self._order(self.oldest_first)

    def get_results(self, request: HttpRequest) -> None:
        rows, more, began = self._page()
        prefetch_related_objects(rows, *cast("list[str]", self.list_select_related or []))
        self.result_list = rows
        # Of what is shown: neither does "select all" reach further.
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count = True
        self.show_admin_actions = bool(rows)
        self.can_show_all, self.multi_page = True, False
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
        if more:
            self.older = self._link(OLDER, rows[-1])
        if began and rows:
            self.newer = self._link(NEWER, rows[0])
            self.newest = self.get_query_string()
        self.sums = sums_of(self, cast("BigTable", self.model_admin))  # type: ignore[misc]

    def _page(self) -> tuple[list[Any], bool, bool]:
        """The rows of the page, and whether there are rows after and before them."""
        size = self.list_per_page
        if self.newer_than:
            found = self._rows(self.newer_than, before=True)
            if len(found) > size:
                return found[:size][::-1], True, True
            # What is newer fills no page: that is the first one.
            self.older_than = None
        found = self._rows(self.older_than)
        return found[:size], len(found) > size, self.older_than is not None

    def _rows(self, place: str | None, *, before: bool = False) -> list[Any]:
        rows = self.queryset
        if place:
            above = before is not self.oldest_first
            rows = beyond(rows, self.fields, self._values(place), above=above)
        if before:
            rows = rows.order_by(*self._order(not self.oldest_first))
        return list(rows[: self.list_per_page + 1])

    @property
    def org_asked(self) -> str | None:
        return cast("BigTable", self.model_admin).org_asked(self)

    @property
    def fields(self) -> list[str]:
        return [_name_of(part) for part in self._ordering()]

    @property
    def between(self) -> list[BetweenDays]:
        """The filters by days that are set."""
        specs = getattr(self, "filter_specs", ())
        return [spec for spec in specs if isinstance(spec, BetweenDays) and spec.is_set]

    def _ordering(self) -> Any:
        model_admin = cast("BigTable", self.model_admin)
        for spec in self.between:
            if spec.order:
                return spec.order
        if model_admin.ordering_of_org and self.org_asked:
            return model_admin.ordering_of_org
        return model_admin.ordering

    def _order(self, oldest_first: bool) -> list[Any]:
        return [_reversed(part) if oldest_first else part for part in self._ordering()]

    def _is_column(self, index: str) -> bool:
        return index.isascii() and index.isdigit() and int(index[:6]) < len(self.list_display)

    def _values(self, place: str) -> list[Any]:
        try:
            texts = json.loads(place)
            if "\0" in place or not isinstance(texts, list):
                raise ValueError(place)
            return values_at(self.model, self.fields, [str(text) for text in texts])
        except (ValueError, OverflowError, RecursionError):
            raise IncorrectLookupParameters from None

    def place_text(self, row: Model) -> str:
        """The place of the row, as OLDER and NEWER carry it."""
        return json.dumps(place_of(row, self.fields), separators=(",", ":"))

    def _link(self, name: str, row: Model) -> str:
        return self.get_query_string({name: self.place_text(row)})

    def _taken(self, name: str) -> str | None:
        """The parameter, which is no filter."""
        self.filter_params.pop(name, None)
        return cast("str | None", self.params.pop(name, None))


def _name_of(part: Any) -> str:
    return str(part).lstrip("-") if isinstance(part, str) else str(part.expression.name)


def _reversed(part: Any) -> Any:
    if isinstance(part, str):
        return part.removeprefix("-") if part.startswith("-") else f"-{part}"
    turned = part.copy()
    turned.reverse_ordering()
    return turned


class Searched:
    """`search_fields` as `clipforge.common.lists.search` reads them: through indexes only.

    The slug or id of an organization shows all that is its own, in lists of rows that belong to one.
    """

    # The relation that names whose a row is; a text is tried as an organization first.
    org_field: ClassVar[str | None] = None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search.term_of(search_term)
        if term == "":
            return queryset, False
        if term is None:
            return queryset.none(), False
        this = cast("Any", self)
        if self.org_field and (org := self._organization(term)):
            cast("Any", request).found_org = org
            return queryset.filter(**{f"{self.org_field}": org}), False
        found = search.found(this.model._default_manager.all(), this.search_fields, term)
        cast("Any", request).found_most = len(found) >= search.MOST_FOUND
        return queryset.filter(pk__in=found), False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """A secret does not stay in the address, which a browser remembers."""
        text, warning = secret_formats.public_part(request.GET.get(SEARCH_VAR, ""))
        if warning:
            messages.warning(request, warning)
            query = request.GET.copy()
            query[SEARCH_VAR] = text
            return HttpResponseRedirect(f"{request.path}?{query.urlencode()}")
        response: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        return response

    def _organization(self, term: str) -> Any:
        field = cast("Any", self).model._meta.get_field(self.org_field)
        owners = field.related_model._default_manager
        if pk := search.uuid_of(term):
            return owners.filter(pk=pk).first()
        return owners.filter(slug=term.lower()).first()


class BigTable(Searched):
    """A list of a table that grows for ever: nothing is counted to its end, or read from there."""

    paginator: ClassVar[Any] = UncountedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    ordering: ClassVar[Any] = ["-id"]
    # Where the rows of one organization are in order. None: there are few of them.
    ordering_of_org: ClassVar[Any] = None
    # What is in order by an index: nothing else can be sorted by.
    sortable_by: ClassVar[Any] = ()
    # The time by which rows are made, which days are chosen of; empty: there is none.
    made_at: ClassVar[str] = "created_at"
    # Columns that are added up where few enough rows are chosen, and the field that tells apart what
    # cannot be added to each other. Each with how its sum is written.
    summed: ClassVar[dict[str, Any]] = {}
    summed_by: ClassVar[str] = ""
    # Filters that no index over all organizations serves: they are there once an organization or days
    # are chosen.
    narrow_filter: ClassVar[tuple[Any, ...]] = ()
    # Days of another time than that by which rows are made: `between(…)`.
    other_days: ClassVar[tuple[type[BetweenDays], ...]] = ()
    # Parameters that choose few enough rows, as an organization or some days do.
    narrowed_by: ClassVar[tuple[str, ...]] = ()

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Whose rows, and of which days, before what the list has of its own."""
        this = cast("Any", self)
        own: list[Any] = list(super().get_list_filter(request))  # type: ignore[misc]
        whose = [Whose] if self.org_field else []
        fields = {field.name for field in this.model._meta.concrete_fields}
        days = [between(self.made_at)] if self.made_at in fields else []
        days += self.other_days
        is_narrow = any(name.startswith(tuple(self._narrow_names())) for name in request.GET)
        return [*whose, *days, *own, *(self.narrow_filter if is_narrow else ())]

    def _narrow_names(self) -> list[str]:
        days = [self.made_at, *(each.field for each in self.other_days)]
        own = [self.org_field, Whose.parameter] if self.org_field else []
        filters = [getattr(each, "parameter_name", each) for each in self.narrow_filter]
        return [*own, *(f"{name}_{end}" for name in days for end in ("from", "to")), *filters]

    def get_list_display(self, request: HttpRequest) -> Any:
        return columns_of(cast("Any", self).model, super().get_list_display(request))  # type: ignore[misc]

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return KeysetChangeList

    def org_asked(self, changelist: Any) -> str | None:
        """The id of the organization whose rows alone are shown, None for those of all."""
        if changelist.found_org is not None:
            return str(changelist.found_org.pk)
        endings = ("__id__exact", "__exact", "", "_id", "__id", "__pk", "__pk__exact", "_id__exact")
        asked = (changelist.params.get(f"{self.org_field}{ending}") for ending in endings)
        return next((value for value in asked if value), None)


def sums_of(changelist: Any, model_admin: BigTable) -> list[str]:
    """`12 rows: amount +1,200`, one for each value of `summed_by`; what to choose where too many are.

    Nothing where no sum means anything. At most MOST_SUMMED rows are read.
    """
    if not model_admin.summed:
        return []
    days = [spec.days for spec in changelist.between]
    is_narrow = (
        bool(changelist.org_asked)
        or any(count is not None and count <= MOST_DAYS for count in days)
        or any(name in changelist.params for name in model_admin.narrowed_by)
    )
    if not is_narrow:
        return [f"For sums choose an organization, or {MOST_DAYS} days at most."]
    by = model_admin.summed_by
    named: dict[str, Any] = {
        f"sum_{place}": F(name) for place, name in enumerate(model_admin.summed)
    }
    added = ", ".join(f"SUM({name})" for name in named)
    group = "sum_of" if by else "''"
    if by:
        named["sum_of"] = F(by)
    rows = changelist.queryset.order_by().values(**named)[: MOST_SUMMED + 1]
    try:
        sql, params = rows.query.sql_with_params()
    except EmptyResultSet:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {group}, COUNT(*), {added} FROM ({sql}) AS chosen GROUP BY 1 ORDER BY 1",  # noqa: S608 - of the ORM
            params,
        )
        found = cursor.fetchall()
    if sum(row[1] for row in found) > MOST_SUMMED:
        return [f"More than {MOST_SUMMED:,} rows: choose fewer for sums."]
    return [_in_words(row, model_admin.summed) for row in found]


def _in_words(row: Any, summed: dict[str, Any]) -> str:
    group, count, *values = row
    said = ", ".join(
        f"{name.replace('__', ' ').replace('_', ' ')} {write(int(value or 0), group)}"
        for (name, write), value in zip(summed.items(), values, strict=True)
    )
    return f"{count:,} {'row' if count == 1 else 'rows'}: {said}"


def plain_number(value: int, _: str) -> str:
    return f"{value:,}"


class NotDeleted:
    """Rows that other records refer to for ever: they cannot be deleted."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NotMadeByHand(NotDeleted):
    """Rows that only a service makes and ends: not even a superuser adds or deletes them."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False


class MovedByServices(NotMadeByHand):
    """Rows that only a service changes, because other rows change with them: read only."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
