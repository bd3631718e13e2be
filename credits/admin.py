"""Read-only admin pages of the ledger. Credits move through `credits.services` alone."""

from __future__ import annotations

from typing import TypeVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from clipforge.common.admin import BigTable
from credits.models import (
    CreditAccount,
    CreditGrant,
    CreditHold,
    CreditReversal,
    CreditTransaction,
    HoldAllocation,
)

M = TypeVar("M", bound=Model)


class ReadOnlyAdmin(BigTable, admin.ModelAdmin[M]):
    """An admin page on which rows cannot be added, changed or deleted, not even by superusers."""

    list_select_related = ["org"]
    org_field = "org"
    search_fields = ["=id"]
    search_help_text = "The slug or id of an organization."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False


@admin.register(CreditAccount)
class CreditAccountAdmin(ReadOnlyAdmin[CreditAccount]):
    list_display = ["org", "available", "held", "posted", "version"]
    search_fields = ["=org"]
    ordering = ["-pk"]


@admin.register(CreditGrant)
class CreditGrantAdmin(ReadOnlyAdmin[CreditGrant]):
    list_display = ["id", "org", "kind", "amount", "remaining", "held", "priority", "expires_at"]
    ordering = ["-id"]


@admin.register(CreditTransaction)
class CreditTransactionAdmin(ReadOnlyAdmin[CreditTransaction]):
    list_display = ["id", "created_at", "org", "type", "amount", "balance_after", "reason", "actor"]
    search_fields = ["=id", "=reference_id"]
    search_help_text = "The slug or id of an organization, of a transaction, or of what it was for."
    # By id, which is the order of time and has an index over all organizations.
    ordering = ["-id"]
    ordering_of_org = ["-created_at", "-id"]
    sortable_by = ["id"]


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


@admin.register(CreditReversal)
class CreditReversalAdmin(ReadOnlyAdmin[CreditReversal]):
    list_display = ["id", "created_at", "org", "amount", "taken", "owed", "settled", "reason"]
    ordering = ["-id"]
