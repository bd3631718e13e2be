from __future__ import annotations

from rest_framework import serializers

from clipforge.common.api.serializers import ModelSerializer, Serializer
from credits.models import CreditHold, CreditTransaction

# All that an organization needs to compute its charges again. The actor is not shown: it may
# name one of our staff.
TRACE = ["reason", "reference_type", "reference_id", "unit_price", "price_version", "inputs"]


class BalanceSerializer(Serializer):
    available = serializers.IntegerField(help_text="Credits that can be spent now.")
    held = serializers.IntegerField(help_text="Credits reserved for work under way.")
    posted = serializers.IntegerField(help_text="Credits altogether: available and held.")
    debt = serializers.IntegerField(
        help_text="Credits spent whose payment went back; what comes next settles it."
    )


class TransactionSerializer(ModelSerializer):
    class Meta:
        model = CreditTransaction
        fields = ["id", "type", "amount", "balance_after", "hold_id", *TRACE, "created_at"]
        read_only_fields = fields


class HoldSerializer(ModelSerializer):
    class Meta:
        model = CreditHold
        fields = [
            "id",
            "status",
            "amount",
            "captured",
            *TRACE,
            "created_at",
            "expires_at",
            "resolved_at",
        ]
        read_only_fields = fields
