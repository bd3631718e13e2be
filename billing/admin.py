"""Admin pages of prices and payments. Everything changes through the services.

Who may record a payment by hand has the permission to add payments: the group "finance" does.
"""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.db.transaction import atomic
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from billing import services
from billing.models import (
    Alert,
    BillingAccount,
    Payment,
    PaymentMethod,
    PaymentStatus,
    PlanPeriod,
    Price,
    StripeEvent,
    Subscription,
)
from billing.selectors import payment_of_transfer
from billing.subscriptions import month_after
from clipforge.audit.actor import Actor
from clipforge.audit.admin import AuditedAdmin
from clipforge.audit.forms import REASON
from clipforge.common.admin import BigTable, MovedByServices, NotDeleted, NotMadeByHand
from clipforge.common.admin_filters import between
from clipforge.common.money import major_units, minor_units, money

# Of those past, in a filter.
MONTHS_OFFERED = 24


def money_column(field: str, title: str) -> Any:
    """A column of an amount of minor units, with the currency of its row."""

    @admin.display(description=title, empty_value="–")
    def column(row: Price | Payment) -> str:
        return money(getattr(row, field), row.currency)

    return column


class PriceForm(forms.ModelForm[Price]):
    """The amount is typed as people write it: 9.00, and not 900."""

    amount = forms.DecimalField(
        label="Amount", min_value=0, help_text="In the currency itself: 9.00 for nine dollars."
    )

    class Meta:
        model = Price
        fields = "__all__"  # noqa: DJ007 - PriceAdmin.fields chooses

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "amount" in self.fields:
            self.initial["amount"] = major_units(self.instance.amount, self.instance.currency)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        currency = str(cleaned.get("currency", ""))
        if cleaned.get("amount") is not None and currency:
            try:
                cleaned["amount"] = minor_units(cleaned["amount"], currency)
            except ValueError as error:
                self.add_error("amount", str(error))
        return cleaned


@admin.register(Price)
class PriceAdmin(NotMadeByHand, AuditedAdmin[Price]):
    """Saving a price that was ever sold makes its next version, and leaves this one as it is."""

    form = PriceForm
    list_display = ["code", "version", "kind", "credits", "costs", "is_active"]
    costs = staticmethod(money_column("amount", "Amount"))
    list_filter = ["is_active", "kind"]
    ordering = ["code", "-version"]
    readonly_fields = ["code", "version", "kind", "is_active", "frozen_at"]
    actions = ["withdraw"]
    written_by_service = frozenset({"change"})

    def get_fields(self, request: HttpRequest, obj: Price | None = None) -> Any:
        terms = sorted(services.TERMS)
        if not self.has_change_permission(request, obj):
            terms = ["costs" if name == "amount" else name for name in terms]
        return ["code", "version", "kind", *terms, "is_active", "frozen_at"]

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.is_active)

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:
        terms = {name: form.cleaned_data[name] for name in services.TERMS}
        kept = services.revise_price(
            price=obj,
            reason=form.cleaned_data[REASON],
            actor=Actor.of_request(request),
            **terms,
        )
        form.instance = kept  # the log of the admin speaks of the version that is sold from now on
        self.message_user(request, f"{kept} is sold from now on.")

    @admin.action(description="Stop selling", permissions=["change"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Price]) -> HttpResponse | None:
        reason = self.ask_first(
            request,
            queryset,
            action="withdraw",
            title="Stop selling",
            says="Nobody can buy these any more. What was sold stays as it is, and plans go on.",
        )
        if isinstance(reason, HttpResponse):
            return reason
        with atomic():
            actor = Actor.of_request(request)
            ended = [
                price
                for price in queryset
                if services.withdraw_price(price=price, reason=reason, actor=actor)
            ]
        self.message_user(request, f"{len(ended)} withdrawn.")
        return None


class PaymentForm(forms.ModelForm[Payment]):
    """A payment by hand, as `record_payment` takes it."""

    paid_on = forms.DateField(initial=datetime.date.today, help_text="When the money arrived.")

    class Meta:
        model = Payment
        fields = ["org", "price", "reference"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["price"].queryset = Price.objects.filter(is_active=True, amount__gt=0)  # type: ignore[attr-defined]
        self.fields["reference"].required = True

    def _post_clean(self) -> None:
        """Only fill the instance: the service decides. The same reference again is no mistake."""
        forms.models.construct_instance(self, self.instance)


@admin.register(Payment)
class PaymentAdmin(BigTable, NotDeleted, AuditedAdmin[Payment]):
    """Payments are read, recorded by hand, and reversed; none is ever edited or deleted."""

    list_display = [
        "created_at",
        "org",
        "price",
        "method",
        "status",
        "paid",
        "went_back",
        "paid_at",
    ]
    paid = staticmethod(money_column("amount", "Amount"))
    went_back = staticmethod(money_column("reversed_amount", "Went back"))
    was_disputed = staticmethod(money_column("disputed_amount", "Of that disputed"))
    list_filter = ["status", "method"]
    narrow_filter = ("price__kind", "price__tier")
    other_days = (
        between(
            "paid_at",
            also={"status": PaymentStatus.PAID},
            order=["-paid_at", "-id"],
        ),
    )
    summed = {"amount": money, "reversed_amount": money, "disputed_amount": money}
    summed_by = "currency"
    list_select_related = ["org", "price"]
    org_field = "org"
    search_fields = ["=id", "%reference", "=checkout_id", "=invoice_id", "=payment_intent_id"]
    search_help_text = "The reference of a transfer, an id of ours or Stripe's, or the slug or id of an organization."
    autocomplete_fields = ["org"]
    ordering = ["-id"]
    ordering_of_org = ["-created_at", "-id"]
    sortable_by = ["created_at"]
    actions = ["reverse"]
    written_by_service = frozenset({"add"})

    def has_change_permission(self, request: HttpRequest, obj: Payment | None = None) -> bool:
        return False

    def get_form(
        self, request: HttpRequest, obj: Payment | None = None, change: bool = False, **options: Any
    ) -> Any:
        if obj is None:
            options["form"] = PaymentForm
            options["fields"] = [*PaymentForm.Meta.fields, "paid_on"]
        return super().get_form(request, obj, change, **options)

    def get_fields(self, request: HttpRequest, obj: Payment | None = None) -> Any:
        if obj is None:
            return [*PaymentForm.Meta.fields, "paid_on"]
        written = {
            "amount": "paid",
            "reversed_amount": "went_back",
            "disputed_amount": "was_disputed",
        }
        return [written.get(str(name), name) for name in super().get_fields(request, obj)]

    def save_model(self, request: HttpRequest, obj: Payment, form: Any, change: bool) -> None:
        if payment_of_transfer(obj.reference) is not None:
            self.message_user(
                request, "It was recorded before, and nothing was changed.", messages.WARNING
            )
        recorded = services.record_payment(
            org=obj.org,
            code=obj.price.code,
            reference=obj.reference,
            paid_on=form.cleaned_data["paid_on"],
            reason=form.cleaned_data[REASON],
            actor=Actor.of_request(request),
        )
        # What follows, the log of the admin included, is about the payment as it was recorded.
        obj.pk = recorded.pk
        obj.refresh_from_db()

    @admin.action(description="The money went back", permissions=["add"])
    def reverse(self, request: HttpRequest, queryset: QuerySet[Payment]) -> HttpResponse | None:
        if queryset.filter(method=PaymentMethod.STRIPE).exists():
            raise services.paid_through_stripe()
        reason = self.ask_first(
            request,
            queryset,
            action="reverse",
            title="The money went back",
            says=(
                "The whole of these transfers bounced, or was recorded by mistake: their unused "
                "credits go back, spent ones are owed, and plans whose month went back end. A part of "
                "one is given back on its own page."
            ),
        )
        if isinstance(reason, HttpResponse):
            return reason
        with atomic():
            # In the order in which every other writer locks several organizations.
            actor = Actor.of_request(request)
            reversed_ = [
                payment
                for payment in queryset.order_by("org", "pk")
                if services.reverse_payment(payment=payment, reason=reason, actor=actor)
            ]
        self.message_user(request, f"{len(reversed_)} of {len(queryset)} went back now.")
        return None


class GoesOnFilter(admin.SimpleListFilter):
    """Plans that had not ended at the end of a month (UTC)."""

    title = "month at whose end it went on"
    parameter_name = "goes_on"

    def lookups(self, *_: Any) -> Any:
        this = timezone.now().astimezone(datetime.UTC).replace(day=1)
        months = [this.year * 12 + this.month - 1 - back for back in range(MONTHS_OFFERED)]
        days = [datetime.date(each // 12, each % 12 + 1, 1) for each in months]
        return [(f"{day:%Y-%m}", f"{day:%b %Y}") for day in days]

    def queryset(self, _: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return rows
        if self.value() not in {month for month, _ in self.lookup_choices}:
            raise IncorrectLookupParameters
        month = datetime.datetime.fromisoformat(f"{self.value()}-01T00:00:00+00:00")
        ends = month_after(month)
        return rows.filter(Q(ended_at=None) | Q(ended_at__gte=ends), created_at__lt=ends)


@admin.register(Subscription)
class SubscriptionAdmin(BigTable, MovedByServices, admin.ModelAdmin[Subscription]):
    list_display = [
        "created_at",
        "org",
        "price",
        "method",
        "status",
        "period_end",
        "cancel_at_period_end",
        "ended_at",
    ]
    list_filter = ["status", "method"]
    narrow_filter = ("price__currency", GoesOnFilter)
    other_days = (between("ended_at"),)
    narrowed_by = ("goes_on",)
    summed = {"price__amount": money}
    summed_by = "price__currency"
    list_select_related = ["org", "price"]
    org_field = "org"
    search_fields = ["=id", "=stripe_id"]
    search_help_text = "An id of ours or Stripe's, or the slug or id of an organization."


@admin.register(PlanPeriod)
class PlanPeriodAdmin(BigTable, MovedByServices, admin.ModelAdmin[PlanPeriod]):
    list_display = ["org", "price", "starts_at", "ends_at", "credits", "granted_at"]
    list_select_related = ["org", "price"]
    org_field = "org"
    search_fields = ["=id"]
    search_help_text = "The slug or id of an organization."
    ordering = ["-id"]


@admin.register(StripeEvent)
class StripeEventAdmin(BigTable, MovedByServices, AuditedAdmin[StripeEvent]):
    """Events are read; one that can never be applied is set aside, so that no sweep reports it."""

    list_display = ["id", "type", "status", "org", "received_at", "error"]
    made_at = "received_at"
    list_filter = ["status"]
    list_select_related = ["org"]
    org_field = "org"
    search_fields = ["=id"]
    search_help_text = "The id of an event, or the slug or id of an organization."
    ordering = ["-received_at", "-id"]
    sortable_by = ["received_at"]
    actions = ["set_aside"]

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.add_payment")

    @admin.action(description="Set aside", permissions=["settle"])
    def set_aside(
        self, request: HttpRequest, queryset: QuerySet[StripeEvent]
    ) -> HttpResponse | None:
        reason = self.ask_first(
            request,
            queryset,
            action="set_aside",
            title="Set aside for good",
            says=(
                "Those of these that failed are never tried or reported again. What they are about "
                "stays as it is: first see to the money, by a payment or a refund."
            ),
        )
        if isinstance(reason, HttpResponse):
            return reason
        with atomic():
            actor = Actor.of_request(request)
            done = [
                each
                for each in queryset.order_by("pk")
                if services.set_aside(event=each, reason=reason, actor=actor)
            ]
        self.message_user(request, f"{len(done)} of {len(queryset)} were set aside now.")
        return None


@admin.register(BillingAccount)
class BillingAccountAdmin(BigTable, NotMadeByHand, AuditedAdmin[BillingAccount]):
    """Only the threshold of the alert can be set."""

    list_display = ["org", "plan_tier", "low_balance_threshold", "is_low", "stripe_customer_id"]
    list_select_related = ["org"]
    org_field = "org"
    search_fields = ["=org", "=stripe_customer_id"]
    search_help_text = "A customer id of Stripe, or the slug or id of an organization."
    ordering = ["-pk"]
    written_by_service = frozenset({"change"})
    readonly_fields = [
        "org",
        "plan_tier",
        "is_low",
        "crossings",
        "stripe_customer_id",
        "sync_version",
    ]

    def save_model(
        self, request: HttpRequest, obj: BillingAccount, form: Any, change: bool
    ) -> None:
        services.set_low_balance_threshold(
            org=obj.org,
            threshold=form.cleaned_data["low_balance_threshold"],
            reason=form.cleaned_data[REASON],
            actor=Actor.of_request(request),
        )


@admin.register(Alert)
class AlertAdmin(BigTable, MovedByServices, admin.ModelAdmin[Alert]):
    list_display = ["created_at", "org", "kind", "subject", "status", "error"]
    list_filter = ["status", "kind"]
    list_select_related = ["org"]
    org_field = "org"
    search_fields = ["=id"]
    search_help_text = "The slug or id of an organization."
    ordering = ["-id"]
