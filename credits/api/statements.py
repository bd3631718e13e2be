"""`GET /credits/statement`: a month of the ledger, as JSON, or as CSV of any length."""

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
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api.serializers import Serializer
from clipforge.common.errors import Conflict, Invalid
from clipforge.common.lists.csvs import attachment
from clipforge.orgs.api.views import OrgView
from credits import selectors
from credits.api import examples
from credits.api.serializers import TransactionSerializer
from credits.models import CreditTransaction
from credits.selectors import Statement

# A month with more rows is not put into one JSON document; it can be streamed as CSV.
MAX_JSON_ROWS = 10_000
# Rows of a CSV that are in memory at once.
CHUNK_ROWS = 2000
COLUMNS = ["date", "type", "amount", "balance", "reason", "reference_type", "reference_id"]


class StatementSerializer(Serializer):
    example = examples.STATEMENT

    month = serializers.CharField(help_text="As it was asked for: 2026-11.")
    opening = serializers.IntegerField(help_text="Credits when the month began.")
    rows = TransactionSerializer(many=True)
    closing = serializers.IntegerField(help_text="The opening plus the amounts of the rows.")


class CSVRenderer(BaseRenderer):
    """Content negotiation only: the view streams the rows itself."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, *args: Any, **options: Any) -> Any:
        return data


class StatementView(OrgView):
    """The statement as JSON, or, with `Accept: text/csv` or `format=csv`, as CSV."""

    serializer_class = StatementSerializer
    pagination_class = None
    renderer_classes = [JSONRenderer, CSVRenderer]
    problems = {"get": (404, 409)}  # 404: another format
    query_parameters = {"get": frozenset({"month", "format"})}
    codes = {
        "get": {
            409: {"statement_too_long": "The month has more rows than JSON shows. Ask for CSV."},
            422: {"invalid_month": "A month is written like 2026-11."},
        }
    }

    @extend_schema(
        operation_id="get_statement",
        summary="A month of the ledger: opening, movements, closing",
        description="The oldest first. Months are of UTC. As JSON up to 10,000 movements.",
        parameters=[
            OpenApiParameter(
                "month",
                str,
                required=True,
                description="Of a year.",
                examples=[OpenApiExample("November", "2026-11")],
            ),
            OpenApiParameter("format", str, enum=["json", "csv"], description="Or by `Accept`."),
        ],
        responses={
            (200, "application/json"): StatementSerializer,
            (200, "text/csv"): OpenApiResponse(
                OpenApiTypes.STR,
                description="A header, rows.",
                examples=[OpenApiExample("A row", examples.STATEMENT_CSV, media_type="text/csv")],
            ),
        },
    )
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        month = _month(request.query_params.get("month", ""))
        statement = selectors.statement(self.organization, month)
        if isinstance(request.accepted_renderer, CSVRenderer):
            return _as_csv(statement)
        return Response(_as_document(statement))


def _as_document(statement: Statement) -> dict[str, Any]:
    rows = list(statement.rows[: MAX_JSON_ROWS + 1])
    if len(rows) > MAX_JSON_ROWS:
        raise Conflict(
            f"The month has more than {MAX_JSON_ROWS} movements. Ask for it as CSV.",
            code="statement_too_long",
        )
    return {
        "month": f"{statement.month:%Y-%m}",
        "opening": statement.opening,
        "rows": TransactionSerializer(rows, many=True).data,
        "closing": statement.opening + sum(row.amount for row in rows),
    }


def _as_csv(statement: Statement) -> StreamingHttpResponse:
    # A server-side cursor: the month is never in memory as a whole.
    rows = statement.rows.iterator(chunk_size=CHUNK_ROWS)
    return attachment(_lines(statement, rows), name=f"statement-{statement.month:%Y-%m}.csv")


def _lines(statement: Statement, rows: Iterable[CreditTransaction]) -> Iterator[list[object]]:
    balance = statement.opening
    yield [*COLUMNS]
    yield [statement.month, "OPENING", "", balance, "", "", ""]
    for row in rows:
        balance += row.amount
        texts = [row.reason, row.reference_type, row.reference_id]
        yield [row.created_at, row.type, row.amount, balance, *texts]
    yield ["", "CLOSING", "", balance, "", "", ""]


def _month(text: str) -> datetime.date:
    try:
        month = datetime.date.fromisoformat(f"{text}-01")
    except ValueError:
        month = None
    if month is None or len(text) != 7 or month.year < 2000 or month.year > 9998:
        raise Invalid("month must be a month like 2026-11.", code="invalid_month")
    return month
