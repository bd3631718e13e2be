from __future__ import annotations

from rest_framework import serializers

from billing.api import examples
from billing.models import Payment, Subscription
from clipforge.common.api.serializers import ModelSerializer, Serializer

AMOUNT = "In minor units of the currency: 1900 is 19.00 usd."


class PlanSerializer(Serializer):
    example = examples.PLAN

    code = serializers.CharField()
    name = serializers.CharField()
    tier = serializers.CharField()
    credits_per_month = serializers.IntegerField()
    amount = serializers.IntegerField(help_text=AMOUNT + " Each month.")
    currency = serializers.CharField()


class PackSerializer(Serializer):
    example = examples.PACK

    code = serializers.CharField()
    name = serializers.CharField()
    credits = serializers.IntegerField()
    validity_days = serializers.IntegerField(
        allow_null=True, help_text="How long the credits last; null: for ever."
    )
    amount = serializers.IntegerField(help_text=AMOUNT)
    currency = serializers.CharField()


class PricingSerializer(Serializer):
    version = serializers.IntegerField(help_text="Grows with every change of the list.")
    plans = PlanSerializer(many=True)
    packs = PackSerializer(many=True)


class CheckoutRequestSerializer(Serializer):
    example = examples.CHECKOUT_REQUEST

    price = serializers.CharField(max_length=50, help_text="The `code` of a plan or pack.")
    currency = serializers.CharField(
        max_length=3, required=False, help_text="Refused unless the price is in it."
    )


class CheckoutSerializer(Serializer):
    example = examples.CHECKOUT

    payment = serializers.UUIDField(help_text="Pending until Stripe says that it was paid.")
    url = serializers.CharField(help_text="Where the customer pays.")


class PortalSerializer(Serializer):
    example = examples.PORTAL

    url = serializers.CharField(help_text="Where the customer changes or cancels its plan.")


class PaymentSerializer(ModelSerializer):
    example = examples.PAYMENT

    price = serializers.CharField(source="price.code", read_only=True)

    class Meta:
        model = Payment
        fields = [
            "id",
            "status",
            "method",
            "price",
            "amount",
            "currency",
            "credits",
            "reversed_amount",
            "reference",
            "created_at",
            "paid_at",
        ]
        read_only_fields = fields


class LowBalanceSerializer(Serializer):
    """The balance of an organization, as `GET /credits/balance` answers."""

    available = serializers.IntegerField()
    held = serializers.IntegerField()
    posted = serializers.IntegerField()
    debt = serializers.IntegerField()


class SubscriptionSerializer(ModelSerializer):
    example = examples.SUBSCRIPTION

    plan = serializers.CharField(source="price.code", read_only=True)
    tier = serializers.CharField(source="price.tier", read_only=True)

    class Meta:
        model = Subscription
        fields = [
            "id",
            "status",
            "method",
            "plan",
            "tier",
            "period_start",
            "period_end",
            "cancel_at_period_end",
        ]
        read_only_fields = fields


class CurrentSubscriptionSerializer(Serializer):
    subscription = SubscriptionSerializer(allow_null=True, help_text="Null without a paid plan.")
