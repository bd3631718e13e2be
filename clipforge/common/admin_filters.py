"""The filters beside the big lists of the admin: whose rows, and between which days.

Both work without a script, keep the other filters, and read an index.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from typing import Any, ClassVar, cast

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import BigAutoField, Model, QuerySet, UUIDField
from django.http import HttpRequest
from django.utils import timezone

from clipforge.common.lists import search
from clipforge.common.lists.by_time import LONGEST_TRANSACTION, first_number_since

DAY = datetime.timedelta(days=1)
# Organizations that a text may mean, to choose from.
MOST_OFFERED = 10
# Stretches of days, ending today, that one click chooses.
STRETCHES = {"Today": 1, "7 days": 7, "30 days": 30}


class Form:
    """The other parameters of a list, which a filter with boxes keeps."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str]] = []

    def keep(self, changelist: Any, own: list[str]) -> None:
        self.kept = [(name, value) for name, value in changelist.params.items() if name not in own]


class BetweenDays(admin.ListFilter):
    """Rows whose time is on these days (UTC), both included: `<field>_from` and `<field>_to`."""

    template = "admin/between_days.html"
    field: ClassVar[str]
    # What rows with that time are besides, and the order of the index that has them; None: the list's.
    also: ClassVar[dict[str, Any]] = {}
    order: ClassVar[list[str] | None] = None

    def __init__(
        self, request: HttpRequest, params: Any, model: type[Model], model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.form = Form()
        self.model, self.model_admin = model, model_admin
        self.first = self._taken(params, "from")
        self.last = self._taken(params, "to")
        # The rows of one organization are in the order of time already.
        names = (model_admin.org_field or "", Whose.parameter)
        self._of_one = any(name.split("__")[0] in names for name in request.GET)

    @property
    def is_set(self) -> bool:
        return self.first is not None or self.last is not None

    @property
    def days(self) -> int | None:
        """How many they are; None: without end."""
        if self.first is None:
            return None
        return ((self.last or timezone.now().date()) - self.first).days + 1

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return [*self.parameters()]

    @classmethod
    def parameters(cls) -> list[str]:
        return [f"{cls.field}_from", f"{cls.field}_to"]

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        start, end = self.parameters()
        self.form.keep(changelist, [start, end])
        yield {
            "selected": not self.is_set,
            "query_string": changelist.get_query_string(remove=[start, end]),
            "display": "Any day",
        }
        today = timezone.now().date()
        for name, count in STRETCHES.items():
            days = {start: today - (count - 1) * DAY, end: today}
            yield {
                "selected": (self.first, self.last) == tuple(days.values()),
                "query_string": changelist.get_query_string(
                    {key: day.isoformat() for key, day in days.items()}
                ),
                "display": name,
            }

    def queryset(self, _: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.is_set:
            return queryset
        bounds: dict[str, Any] = dict(self.also)
        if self.first:
            bounds[f"{self.field}__gte"] = midnight(self.first)
        if self.last:
            bounds[f"{self.field}__lt"] = midnight(self.last) + DAY
        is_by_number = self.model_admin.ordering[0] in ("-id", "-pk")
        if is_by_number and self.field == self.model_admin.made_at and not self._of_one:
            bounds |= self._numbers()
        return queryset.filter(**bounds)

    def _numbers(self) -> dict[str, Any]:
        """Of a list in the order of ids: the ids between which the rows of those days are."""
        bounds: dict[str, Any] = {}
        late = DAY + 2 * LONGEST_TRANSACTION
        pk = self.model._meta.pk
        if isinstance(pk, UUIDField):
            if self.first:
                bounds["pk__gte"] = first_uuid7(midnight(self.first) - LONGEST_TRANSACTION)
            if self.last:
                bounds["pk__lt"] = first_uuid7(midnight(self.last) + late)
        elif isinstance(pk, BigAutoField):
            if self.first:
                bounds["pk__gte"] = first_number_since(self.model, midnight(self.first))
            if self.last:
                bounds["pk__lt"] = first_number_since(self.model, midnight(self.last) + late)
        return bounds

    def _taken(self, params: Any, end: str) -> datetime.date | None:
        value = params.pop(f"{self.field}_{end}", [""])[-1]
        if not value:
            return None
        try:
            day = datetime.date.fromisoformat(value)
            midnight(day) + 2 * DAY, midnight(day) - 2 * DAY
        except (ValueError, OverflowError):
            raise IncorrectLookupParameters from None
        return day


def between(name: str, title: str = "", **options: Any) -> type[BetweenDays]:
    """The filter of this field."""
    words = {"field": name, "title": title or name.removesuffix("_at"), **options}
    return type(f"Between_{name}", (BetweenDays,), words)


class Whose(admin.ListFilter):
    """Rows of one organization, of customers, or of sandboxes: `of`.

    An organization is named by its slug, its id, or a part of its name; where several have that, they are
    offered. What links say by `<org_field>__id__exact` is taken too.
    """

    title = "organization"
    template = "admin/whose.html"
    parameter = "of"
    KINDS: ClassVar[dict[str, str]] = {"customers": "Customers only", "sandboxes": "Sandboxes only"}

    def __init__(
        self, request: HttpRequest, params: Any, model: type[Model], model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.form = Form()
        self.org_field = str(model_admin.org_field)
        self._site = model_admin.admin_site
        self._owners: Any = cast("Any", model._meta.get_field(self.org_field)).related_model
        self._linked = f"{self.org_field}__id__exact"
        self.text = str(params.pop(self.parameter, [""])[-1]).strip()
        linked = params.pop(self._linked, [""])[-1]
        self.org: Any = None
        self.offered: list[Any] = []
        if linked:
            if (pk := search.uuid_of(linked)) is None:
                raise IncorrectLookupParameters
            self.org = self._owners._default_manager.filter(pk=pk).first()
            self.text = self.text or (self.org.slug if self.org else linked)
        elif self.text and self.text not in self.KINDS:
            self._look_up()

    @property
    def is_kind(self) -> bool:
        return self.text in self.KINDS

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter, self._linked]

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        own = [self.parameter, self._linked]
        self.form.keep(changelist, own)
        options = {"": "All", **self.KINDS, **{org.slug: org.name for org in self.offered}}
        for value, name in options.items():
            new = {self.parameter: value} if value else {}
            yield {
                "selected": self.text == value,
                "query_string": changelist.get_query_string(new, remove=own),
                "display": name,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.text:
            return queryset
        if self.is_kind:
            is_customer = self.text == "customers"
            return queryset.filter(**{f"{self.org_field}__sandbox_of__isnull": is_customer})
        if self.org is None:
            return queryset.none()
        request.found_org = self.org  # type: ignore[attr-defined]
        return queryset.filter(**{self.org_field: self.org})

    def _look_up(self) -> None:
        """By what the list of organizations is searched by."""
        term = search.term_of(self.text)
        if not term:
            return
        owners = self._owners._default_manager
        named = {"pk": pk} if (pk := search.uuid_of(term)) else {"slug": term.lower()}
        self.org = owners.filter(**named).first()
        if self.org is None:
            fields = ["^slug", "name"]
            found = search.found(owners.all(), fields, term)[:MOST_OFFERED]
            rows = owners.in_bulk(found)
            self.offered = [rows[pk] for pk in found if pk in rows]
            if len(self.offered) == 1:
                (self.org,) = self.offered


def midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC)


def first_uuid7(at: datetime.datetime) -> uuid.UUID:
    """Not above any UUID of version 7 that was made since."""
    return uuid.UUID(int=max(0, int(at.timestamp() * 1000)) << 80)
