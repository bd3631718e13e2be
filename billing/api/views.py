from __future__ import annotations

import uuid

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.mixins import ListModelMixin
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from billing import caching, selectors, services
from billing.api import refusals
from billing.api.filters import PaymentFilter
from billing.api.serializers import (
    CheckoutRequestSerializer,
    CheckoutSerializer,
    CurrentSubscriptionSerializer,
    PaymentSerializer,
    PortalSerializer,
    PricingSerializer,
)
from billing.models import Payment
from clipforge.orgs.api.views import OrgView
from clipforge.orgs.models import Scope


class PricingView(OrgView):
    """Public: a visitor has no key yet. With a key the limit of its organization counts."""

    permission_classes = [AllowAny]
    cache_control = "public, no-cache"
    pagination_class = None
    serializer_class = PricingSerializer
    prefetch = f"={caching.KEY}"
    prefetch_life = caching.GRACE

    @extend_schema(
        operation_id="get_pricing",
        summary="Plans and credit packs, cheapest first",
        # The schema's own words, which stay as clients have them.
        description="Public: whoever wants to know what it costs has no key yet. "
        "With one its organization counts.",
    )
    def get(self, request: Request) -> Response:
        return Response(selectors.pricing(found=self.prefetched))


class CheckoutView(OrgView):
    scope = read_scope = Scope.BILLING
    codes = {"post": refusals.CHECKOUT}

    serializer_class = CheckoutSerializer
    pagination_class = None
    idempotent_methods = ("post",)

    @extend_schema(
        operation_id="create_checkout",
        summary="Open a page where a plan or a credit pack is paid",
        description="Nothing is charged and no credits come until the customer has paid there.",
        request=CheckoutRequestSerializer,
        responses={201: CheckoutSerializer},
        examples=[
            OpenApiExample("A pack", {"price": "pack-100", "currency": "usd"}, request_only=True),
        ],
    )
    def post(self, request: Request) -> HttpResponse:
        form = CheckoutRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        # Not `respond_once`: the payment has to be committed before Stripe is asked, and is what
        # a repetition finds.
        payment, repeated = services.start_checkout(
            org=self.organization,
            code=form.validated_data["price"],
            currency=form.validated_data.get("currency"),
            key=request.headers.get("Idempotency-Key"),
            actor=self.principal.actor,
        )
        return Response(
            {"payment": str(payment.pk), "url": payment.checkout_url},
            status=status.HTTP_201_CREATED,
            headers={"Idempotent-Replayed": "true"} if repeated else None,
        )


class PortalView(OrgView):
    scope = read_scope = Scope.BILLING
    codes = {"post": refusals.STRIPE}

    serializer_class = PortalSerializer
    bodyless_methods = ("post",)
    pagination_class = None

    @extend_schema(
        operation_id="create_portal_session",
        summary="Open a page where the plan is changed or cancelled",
        description="Stripe's own page. The address is good for a short time and for this customer.",
        request=None,
    )
    def post(self, request: Request) -> Response:
        return Response({"url": services.open_portal(org=self.organization)})


class PaymentList(ListModelMixin, OrgView):
    read_scope = Scope.BILLING
    serializer_class = PaymentSerializer
    filterset_class = PaymentFilter
    queryset = Payment.objects.none()  # says the model to the schema
    keyset = ("created_at", "id")

    def get_queryset(self) -> QuerySet[Payment]:
        return selectors.payments(self.organization)

    @extend_schema(
        operation_id="list_payments",
        summary="Payments, newest first",
        description="What was asked for and what was paid, by card or by transfer, with what it bought.",
    )
    def get(self, request: Request) -> Response:
        return self.list(request)


class PaymentDetail(OrgView):
    read_scope = Scope.BILLING
    serializer_class = PaymentSerializer
    pagination_class = None

    @extend_schema(
        operation_id="get_payment",
        summary="One payment",
        description="It is pending until Stripe says that it was paid, which may be minutes after the customer did.",
    )
    def get(self, request: Request, payment_id: uuid.UUID) -> Response:
        payment = selectors.get_payment(self.organization, payment_id)
        return Response(PaymentSerializer(payment).data)


class SubscriptionView(OrgView):
    read_scope = Scope.BILLING
    serializer_class = CurrentSubscriptionSerializer
    pagination_class = None

    @extend_schema(
        operation_id="get_subscription",
        summary="The paid plan that goes on, if any",
        description="Null where no plan is paid for. A plan that ends is shown until its end.",
    )
    def get(self, request: Request) -> Response:
        subscription = selectors.open_subscription(self.organization)
        return Response(CurrentSubscriptionSerializer({"subscription": subscription}).data)
