"""`GET /usage`: what was used, by day, by key or by kind of work, as JSON or CSV."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
)
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.audit.actor import ActorKind
from clipforge.common.api.serializers import Serializer
from clipforge.common.errors import Conflict, Invalid
from clipforge.common.lists.csvs import attachment
from clipforge.orgs.api.views import OrgView
from credits import selectors
from credits.api.statements import CSVRenderer

# Of the range that is asked for: a leap year.
MAX_DAYS = 366
# Keys that one JSON document shows: tokens of pages are many. As CSV there is no bound.
MAX_JSON_ROWS = 1000
COLUMNS = ["group", "charges", "spent", "refunded", "credits"]
KEY = f"{ActorKind.API_KEY}:"


class UsageRowSerializer(Serializer):
    group = serializers.CharField(
        allow_null=True,
        help_text="The day; the prefix of the key, null for what no key ordered; or `project` for "
        "analyses and `export` for exports.",
    )
    charges = serializers.IntegerField(help_text="Pieces of work that were charged.")
    spent = serializers.IntegerField(help_text="Credits that they took.")
    refunded = serializers.IntegerField(help_text="Credits that were given back.")
    credits = serializers.IntegerField(help_text="The difference.")


class UsageSerializer(Serializer):
    group_by = serializers.ChoiceField(choices=[*selectors.USAGE_GROUPS])
    rows = UsageRowSerializer(many=True, help_text="In their order; without those of nothing.")
    charges = serializers.IntegerField(help_text="Of all rows.")
    spent = serializers.IntegerField(help_text="Of all rows.")
    refunded = serializers.IntegerField(help_text="Of all rows.")
    credits = serializers.IntegerField(help_text="Of all rows.")

    def get_fields(self) -> dict[str, Any]:
        days = {
            name: serializers.DateField(help_text="As it was asked for.") for name in ("from", "to")
        }
        return {**days, **super().get_fields()}


class UsageView(OrgView):
    """The usage as JSON, or, with `Accept: text/csv` or `format=csv`, as CSV."""

    serializer_class = UsageSerializer
    pagination_class = None
    renderer_classes = [JSONRenderer, CSVRenderer]
    problems = {"get": (404, 409)}  # 404: another format
    codes = {
        "get": {
            409: {"usage_too_long": "There are more rows than JSON shows. Ask for CSV."},
            422: {
                "invalid_day": "A day is written like 2026-11-30.",
                "invalid_range": "The range ends before it begins, or is too long.",
                "invalid_group": "It is grouped by day, key or kind.",
            },
        }
    }
    query_parameters = {"get": frozenset({"from", "to", "group_by", "format"})}

    @extend_schema(
        operation_id="get_usage",
        summary="Credits that work used, by day, by key or by kind",
        description="Summed up from the ledger, and exact: a charge counts on the day on which its "
        "work was finished, a refund on the day on which it was made. Days are of UTC, and both are "
        "included; at most 366 of them. What was reserved and given back is not in it.",
        parameters=[
            OpenApiParameter(
                "from",
                datetime.date,
                required=True,
                description="The first day.",
                examples=[OpenApiExample("The first of November", "2026-11-01")],
            ),
            OpenApiParameter(
                "to",
                datetime.date,
                required=True,
                description="The last day.",
                examples=[OpenApiExample("The last of November", "2026-11-30")],
            ),
            OpenApiParameter(
                "group_by", str, enum=[*selectors.USAGE_GROUPS], default="day", description="Sums."
            ),
            OpenApiParameter("format", str, enum=["json", "csv"], description="Or by `Accept`."),
        ],
        responses={
            (200, "application/json"): UsageSerializer,
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="A header, rows."),
        },
        examples=[
            OpenApiExample(
                "A day",
                "group,charges,spent,refunded,credits\r\n2026-11-30,4,34,1,33\r\n",
                response_only=True,
                media_type="text/csv",
            ),
            OpenApiExample(
                "A week by kind",
                {
                    "from": "2026-11-23",
                    "to": "2026-11-29",
                    "group_by": "kind",
                    "rows": [
                        {
                            "group": "export",
                            "charges": 12,
                            "spent": 14,
                            "refunded": 1,
                            "credits": 13,
                        },
                        {
                            "group": "project",
                            "charges": 2,
                            "spent": 61,
                            "refunded": 0,
                            "credits": 61,
                        },
                    ],
                    "charges": 14,
                    "spent": 75,
                    "refunded": 1,
                    "credits": 74,
                },
                response_only=True,
                media_type="application/json",
            ),
        ],
    )
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        first, last = _range(request)
        group_by = request.query_params.get("group_by", "day")
        if group_by not in selectors.USAGE_GROUPS:
            raise Invalid(
                f"group_by is one of {', '.join(selectors.USAGE_GROUPS)}.", code="invalid_group"
            )
        found = selectors.usage(self.organization, first, last, group_by=group_by)
        if isinstance(request.accepted_renderer, CSVRenderer):
            rows = _rows(found.iterator(chunk_size=MAX_JSON_ROWS), group_by)
            return attachment(_lines(rows), name=f"usage-{first}-{last}-by-{group_by}.csv")
        shown = list(_rows(found[: MAX_JSON_ROWS + 1], group_by))
        if len(shown) > MAX_JSON_ROWS:
            raise Conflict(
                f"There are more than {MAX_JSON_ROWS} groups. Ask for them as CSV.",
                code="usage_too_long",
            )
        sums = {name: sum(row[name] for row in shown) for name in COLUMNS[1:]}
        asked = {"from": first, "to": last, "group_by": group_by}
        return Response({**asked, "rows": shown, **sums})


def _rows(found: Iterable[dict[str, Any]], group_by: str) -> Iterator[dict[str, Any]]:
    """The rows as they are shown. Of what no key ordered there may be several, by whom; they are one."""
    nobodys: dict[str, Any] | None = None
    for row in found:
        row = {**row, "credits": row["spent"] - row["refunded"]}
        if group_by != "key":
            yield row
        elif row["group"].startswith(KEY):
            yield {**row, "group": row["group"].removeprefix(KEY)}
        elif nobodys is None:
            nobodys = {**row, "group": None}
        else:
            nobodys.update({name: nobodys[name] + row[name] for name in COLUMNS[1:]})
    if nobodys is not None:
        yield nobodys


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[list[object]]:
    yield [*COLUMNS]
    for row in rows:
        yield ["" if row[name] is None else row[name] for name in COLUMNS]


def _range(request: Request) -> tuple[datetime.date, datetime.date]:
    first, last = (_day(request, name) for name in ("from", "to"))
    if not first <= last < first + datetime.timedelta(days=MAX_DAYS):
        raise Invalid(
            f"`to` is the day of `from` or a later one, and the range has {MAX_DAYS} days at most.",
            code="invalid_range",
        )
    return first, last


def _day(request: Request, name: str) -> datetime.date:
    text = request.query_params.get(name, "")
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or len(text) != 10 or not 2000 <= day.year <= 9998:
        raise Invalid(f"{name} must be a day like 2026-11-30.", code="invalid_day")
    return day
