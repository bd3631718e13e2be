"""What is sold, as staff see it. Terms change by the service, which never rewrites what was sold."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from billing import services
from billing.models import Price
from clipforge.common.admin import NotMadeByHand


@admin.register(Price)
class PriceAdmin(NotMadeByHand, admin.ModelAdmin[Price]):
    """Saving a price that was ever sold makes its next version, and leaves this one as it is."""

    list_display = ["code", "version", "kind", "credits", "amount", "currency", "is_active"]
    list_filter = ["is_active", "kind"]
    ordering = ["code", "-version"]
    fields = ["code", "version", "kind", *sorted(services.TERMS), "is_active", "frozen_at"]
    readonly_fields = ["code", "version", "kind", "is_active", "frozen_at"]
    actions = ["withdraw"]

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.is_active)

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:
        terms = {name: form.cleaned_data[name] for name in services.TERMS}
        kept = services.revise_price(price=obj, actor=f"user:{request.user.pk}", **terms)
        self.message_user(request, f"{kept} is sold from now on.")

    @admin.action(description="Stop selling", permissions=["change"])
    def withdraw(self, request: HttpRequest, queryset: Any) -> None:
        actor = f"user:{request.user.pk}"
        ended = sum(services.withdraw_price(price=price, actor=actor) for price in queryset)
        self.message_user(request, f"{ended} withdrawn.")
