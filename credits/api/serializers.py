from __future__ import annotations

import math
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from clipforge.common.api.serializers import ModelSerializer, Serializer
from credits.api import examples
from credits.models import CreditHold, CreditTransaction

# All that an organization needs to compute its charges again. The actor is not shown: it may
# name one of our staff.
TRACE = ["reason", "reference_type", "reference_id", "unit_price", "price_version", "inputs"]


class BalanceSerializer(Serializer):
    example = examples.BALANCE

    available = serializers.IntegerField(help_text="Credits that can be spent now.")
    held = serializers.IntegerField(help_text="Credits reserved for work under way.")
    posted = serializers.IntegerField(help_text="Credits altogether: available and held.")
    debt = serializers.IntegerField(
        help_text="Credits spent whose payment went back; what comes next settles it."
    )


@extend_schema_field(
    {
        "type": "object",
        "description": "The numbers of the price: what was measured, and what is counted of it.",
        "properties": {
            "item": {"type": "string", "description": "What is priced: a key of the price list."},
            "seconds": {"type": "number", "description": "The length."},
            "minutes": {"type": "integer", "description": "Started minutes of it."},
        },
        # An object where it names grants: the credits of each.
        "additionalProperties": {"type": ["string", "number", "boolean", "object", "null"]},
    }
)
class InputsField(serializers.JSONField):
    def to_representation(self, value: Any) -> Any:
        shown: Any = super().to_representation(value)
        return {
            name: _milliseconds(each) if isinstance(each, float) else each
            for name, each in shown.items()
        }


def _milliseconds(number: float) -> float:
    """Never rounded up: fractions of a second are free, and the price is computed again from this."""
    return math.floor(number * 1000 + 1e-6) / 1000


class TransactionSerializer(ModelSerializer):
    example = examples.TRANSACTION

    inputs = InputsField(read_only=True)

    class Meta:
        model = CreditTransaction
        fields = ["id", "type", "amount", "balance_after", "hold_id", *TRACE, "created_at"]
        read_only_fields = fields


class HoldSerializer(ModelSerializer):
    example = examples.HOLD

    inputs = InputsField(read_only=True)

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
