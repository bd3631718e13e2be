"""The balance, transactions and holds of the caller's organization. Read only."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.orgs.api.views import OrgView
from credits import caching, selectors
from credits.api.filters import HoldFilter, TransactionFilter
from credits.api.serializers import BalanceSerializer, HoldSerializer, TransactionSerializer
from credits.models import CreditHold, CreditTransaction


class BalanceView(OrgView):
    serializer_class = BalanceSerializer
    pagination_class = None
    prefetch = caching.FAMILY

    @extend_schema(
        operation_id="get_balance",
        summary="Credits available, held and posted",
        description="Never older than the last change. What is available can be spent now.",
    )
    def get(self, request: Request) -> Response:
        # The fields are the serializer's; running it would take as long as reading the cache.
        return Response(selectors.balance(self.organization, found=self.prefetched)._asdict())


class TransactionListView(ListModelMixin, OrgView):
    serializer_class = TransactionSerializer
    filterset_class = TransactionFilter
    queryset = CreditTransaction.objects.none()  # says the model to the schema
    keyset = ("created_at", "id")

    def get_queryset(self) -> QuerySet[CreditTransaction]:
        return selectors.transactions(self.organization)

    @extend_schema(
        operation_id="list_transactions",
        summary="The ledger, newest first",
        description="Every movement of credits, with all that its amount was computed from. Rows never change.",
    )
    def get(self, request: Request) -> Response:
        return self.list(request)


class HoldListView(ListModelMixin, OrgView):
    serializer_class = HoldSerializer
    filterset_class = HoldFilter
    queryset = CreditHold.objects.none()  # says the model to the schema
    keyset = ("created_at", "id")

    def get_queryset(self) -> QuerySet[CreditHold]:
        return selectors.holds(self.organization)

    @extend_schema(
        operation_id="list_holds",
        summary="Reservations, newest first",
        description="What work that waits or runs has reserved, and how it ended.",
    )
    def get(self, request: Request) -> Response:
        return self.list(request)
