"""What the admin classes of several apps share."""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

from django.core.paginator import Paginator
from django.db.models import F, QuerySet
from django.http import HttpRequest

# The order of the index on created_at over all organizations.
NEWEST_FIRST: Any = [F("created_at").desc(nulls_last=True), F("id").desc(nulls_last=True)]


class BoundedPaginator(Paginator[Any]):
    """Counts no further than anybody pages: a COUNT of millions of rows takes seconds."""

    MOST = 10_000

    @cached_property
    def count(self) -> int:
        # In no order: else all rows would be sorted to count the first of them.
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[: self.MOST].count()


class BigTable:
    """A list of a table that grows for ever: nothing is counted to its end."""

    paginator: Any = BoundedPaginator
    show_full_result_count = False


class OfOneOrganization:
    """A list of rows by organization: `?org__id__exact=` shows one's, in the order of its index.

    The order of all rows has an index of its own, through which those of one would be searched for.
    """

    ORG_FILTERS = ("org__id__exact", "organization__id__exact")

    def get_ordering(self, request: HttpRequest) -> Any:
        if any(name in request.GET for name in self.ORG_FILTERS):
            return ["-created_at", "-id"]
        return super().get_ordering(request)  # type: ignore[misc]


class NotDeleted:
    """Rows that the ledger or the audit speaks of for ever: nobody deletes them."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NotMadeByHand(NotDeleted):
    """Rows that only a service makes and ends: nobody adds or deletes them, superusers included."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False


class MovedByServices(NotMadeByHand):
    """Rows whose every change moves credits or work too: they can only be looked at."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
