"""`POST /quotes`: prices that bind."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api.serializers import Decimals, Serializer
from clipforge.orgs.api.views import OrgView
from clipforge.orgs.models import Scope
from credits import quotes
from credits import selectors as credit_selectors
from credits.pricing import Charge
from exports.api import examples
from exports.api.serializers import BOUNDS
from exports.models import Export
from exports.pricing import export_charge
from projects.pricing import analysis_charge

# Of a source or a clip, in any tier.
LONGEST = 24 * 3600
KINDS = {"analysis_per_source_minute": "analysis", "export_per_output_minute": "export"}


class QuotedExportSerializer(Serializer):
    seconds = serializers.FloatField(min_value=0.001, max_value=LONGEST, help_text="Of the clip.")
    resolution = serializers.ChoiceField(
        choices=Export.Resolution.choices, default=Export.Resolution.FULL_HD
    )


class QuoteRequestSerializer(Serializer):
    """An analysis of so many seconds of source, the export of a range, of many, or all of these."""

    example = examples.QUOTE_REQUEST

    analysis_seconds = serializers.FloatField(
        required=False, min_value=0.001, max_value=LONGEST, help_text="Length of the source."
    )
    export_seconds = serializers.FloatField(
        required=False, min_value=0.001, max_value=LONGEST, help_text="Length of the clip."
    )
    resolution = serializers.ChoiceField(
        choices=Export.Resolution.choices,
        default=Export.Resolution.FULL_HD,
        help_text="Of the clip. Above 1080, a clip costs more.",
    )
    exports = QuotedExportSerializer(
        many=True, required=False, help_text="Clips, for a batch.", **BOUNDS
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not any(attrs.get(name) for name in ("analysis_seconds", "export_seconds", "exports")):
            raise serializers.ValidationError(
                "Give analysis_seconds, export_seconds, exports, or several of them."
            )
        return attrs


class QuoteLineSerializer(Serializer):
    example = examples.QUOTE_LINE

    kind = serializers.CharField(help_text="`analysis` or `export`.")
    seconds = Decimals(help_text="As it was asked for.")
    minutes = serializers.IntegerField(help_text="Started minutes of it, which are what is priced.")
    resolution = serializers.IntegerField(allow_null=True, help_text="Of an export.")
    credits = serializers.IntegerField(help_text="The price of this line.")


class QuoteSerializer(Serializer):
    example = examples.QUOTE

    id = serializers.UUIDField(help_text="For `quote_id`, where the work is ordered.")
    credits = serializers.IntegerField(help_text="What it would cost.")
    lines = QuoteLineSerializer(many=True, help_text="Each pays for one piece of work.")
    expires_at = serializers.DateTimeField(help_text="Until then the prices hold.")
    price_version = serializers.CharField()
    available = serializers.IntegerField(help_text="Credits that can be spent now.")
    affordable = serializers.BooleanField()


class QuoteView(OrgView):
    scope = Scope.READ
    serializer_class = QuoteSerializer
    pagination_class = None

    @extend_schema(
        operation_id="create_quote",
        summary="What work costs, for an hour",
        description="Nothing is reserved. What is ordered with the `quote_id` costs what its line says, "
        "whatever prices are then, or is refused. A line is for one piece of work of the same kind, "
        "started minutes and resolution.",
        request=QuoteRequestSerializer,
        responses=QuoteSerializer,
        examples=[
            OpenApiExample(
                "An analysis and a clip",
                {"analysis_seconds": 1800, "export_seconds": 45},
                request_only=True,
            ),
            OpenApiExample(
                "Two clips for a batch",
                {"exports": [{"seconds": 45}, {"seconds": 75.5, "resolution": 2160}]},
                request_only=True,
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        form = QuoteRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        quote = quotes.make_quote(org=self.organization, charges=_charges(form.validated_data))
        available = credit_selectors.balance(self.organization).available
        return Response(
            {
                "id": quote.pk,
                "credits": quote.credits,
                "lines": [_line(line) for line in quote.lines],
                "expires_at": quote.expires_at,
                "price_version": quote.lines[0]["price_version"],
                "available": available,
                "affordable": quote.credits <= available,
            }
        )


def _charges(data: dict[str, Any]) -> list[Charge]:
    charges = []
    if seconds := data.get("analysis_seconds"):
        charges.append(analysis_charge(seconds))
    if seconds := data.get("export_seconds"):
        charges.append(export_charge(0, seconds, data["resolution"]))
    for each in data.get("exports", ()):
        charges.append(export_charge(0, each["seconds"], each["resolution"]))
    return charges


def _line(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": KINDS[line["work"]["item"]],
        "seconds": round(line["inputs"]["seconds"], 3),
        "minutes": line["work"]["minutes"],
        "resolution": line["work"].get("resolution"),
        "credits": line["credits"],
    }
