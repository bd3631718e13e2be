from __future__ import annotations

from typing import Any

from rest_framework import serializers

AMOUNT = "In minor units of the currency: 1900 is 19.00 usd."


class PlanSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()
    tier = serializers.CharField()
    credits_per_month = serializers.IntegerField()
    amount = serializers.IntegerField(help_text=AMOUNT + " Each month.")
    currency = serializers.CharField()


class PackSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()
    credits = serializers.IntegerField()
    validity_days = serializers.IntegerField(
        allow_null=True, help_text="How long the credits last; null: for ever."
    )
    amount = serializers.IntegerField(help_text=AMOUNT)
    currency = serializers.CharField()


class PricingSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(help_text="Grows with every change of the list.")
    plans = PlanSerializer(many=True)
    packs = PackSerializer(many=True)
