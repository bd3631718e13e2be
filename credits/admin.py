"""Read-only admin pages of the ledger. Credits move through `credits.services` alone."""

from __future__ import annotations

import datetime
from typing import Any, TypeVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Model, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from clipforge.common.admin import BigTable, plain_number
from credits.models import (
    CreditAccount,
    CreditGrant,
    CreditHold,
    CreditReversal,
    CreditTransaction,
    HoldAllocation,
)
from credits.selectors import Meaning

M = TypeVar("M", bound=Model)

# Columns that staff know by another word, and those that say nothing to them.
IN_WORDS = {"posted": "in_all", "org_seq": "number_in_ledger"}
OF_THE_CODE = frozenset({"fence", "version"})


class ReadOnlyAdmin(BigTable, admin.ModelAdmin[M]):
    """An admin page on which rows cannot be added, changed or deleted, not even by superusers."""

    list_select_related = ["org"]
    org_field = "org"
    search_fields = ["=id"]
    search_help_text = "The slug or id of an organization."

    def get_fields(self, request: HttpRequest, obj: M | None = None) -> Any:
        """Under the words that staff use, and without what only the code reads."""
        hidden = {*OF_THE_CODE, *IN_WORDS.values()}
        names = [str(name) for name in super().get_fields(request, obj)]
        return [IN_WORDS.get(name, name) for name in names if name not in hidden]

    def get_readonly_fields(self, request: HttpRequest, obj: M | None = None) -> Any:
        own = {field.name for field in self.model._meta.fields}
        return [word for name, word in IN_WORDS.items() if name in own]

    @admin.display(description="in all")
    def in_all(self, row: Any) -> str:
        return f"{row.posted:,}"

    @admin.display(description="number in the ledger of its organization")
    def number_in_ledger(self, row: Any) -> str:
        return f"{row.org_seq:,}"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False


class MeaningFilter(admin.SimpleListFilter):
    title = parameter_name = "meaning"

    def lookups(self, *_: Any) -> Any:
        return Meaning.choices

    def queryset(self, _: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return rows
        if value not in Meaning.values:
            raise IncorrectLookupParameters
        return rows.filter(Meaning(value).condition)


class EndsFilter(admin.SimpleListFilter):
    """Lots that end in a stretch of days from now."""

    title = "end"
    parameter_name = "ends"

    def lookups(self, *_: Any) -> Any:
        return [
            ("30", "Within 30 days"),
            ("90", "Within 90 days"),
            ("later", "Later"),
            ("never", "Never"),
        ]

    def queryset(self, _: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        month, quarter = (Now() + datetime.timedelta(days=days) for days in (30, 90))
        chosen: dict[str, dict[str, Any]] = {
            "30": {"expires_at__lt": month},
            "90": {"expires_at__gte": month, "expires_at__lt": quarter},
            "later": {"expires_at__gte": quarter},
            "never": {"expires_at": None},
        }
        return rows.filter(**chosen.get(self.value() or "", {}))


@admin.register(CreditAccount)
class CreditAccountAdmin(ReadOnlyAdmin[CreditAccount]):
    list_display = ["org", "available", "held", "in_all"]
    search_fields = ["=org"]
    ordering = ["-pk"]


@admin.register(CreditGrant)
class CreditGrantAdmin(ReadOnlyAdmin[CreditGrant]):
    list_display = ["id", "org", "kind", "amount", "remaining", "held", "priority", "expires_at"]
    ordering = ["-id"]
    narrow_filter = ("kind", EndsFilter)
    narrowed_by = ("remaining__gt",)
    summed = {"remaining": plain_number, "held": plain_number}


@admin.register(CreditTransaction)
class CreditTransactionAdmin(ReadOnlyAdmin[CreditTransaction]):
    list_display = ["id", "created_at", "org", "type", "amount", "balance_after", "reason", "actor"]
    search_fields = ["=id", "=reference_id"]
    search_help_text = "The slug or id of an organization, of a transaction, or of what it was for."
    # By id, which is the order of time and has an index over all organizations.
    ordering = ["-id"]
    ordering_of_org = ["-created_at", "-id"]
    sortable_by = ["id"]
    narrow_filter = ("type", MeaningFilter)
    summed = {"amount": plain_number}


class HoldAllocationInline(admin.TabularInline[HoldAllocation, CreditHold]):
    model = HoldAllocation
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: CreditHold | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: CreditHold | None = None) -> bool:
        return False


@admin.register(CreditHold)
class CreditHoldAdmin(ReadOnlyAdmin[CreditHold]):
    list_display = ["id", "created_at", "org", "status", "amount", "captured", "expires_at"]
    search_fields = ["=id", "=reference_id"]
    search_help_text = "The slug or id of an organization, of a hold, or of what it is for."
    inlines = [HoldAllocationInline]
    # By id, which is ordered by time.
    ordering = ["-id"]
    ordering_of_org = ["-created_at", "-id"]
    sortable_by = ["id"]
    narrow_filter = ("status",)
    summed = {"amount": plain_number, "captured": plain_number}


@admin.register(CreditReversal)
class CreditReversalAdmin(ReadOnlyAdmin[CreditReversal]):
    list_display = ["id", "created_at", "org", "amount", "taken", "owed", "settled", "reason"]
    ordering = ["-id"]
    summed = {"amount": plain_number, "taken": plain_number, "owed": plain_number}
