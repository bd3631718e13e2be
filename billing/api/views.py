from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from billing import selectors
from billing.api.serializers import PricingSerializer
from clipforge.common.api.filters import refuse_unknown_parameters


class PricingView(GenericAPIView[Any]):
    """Public: whoever wants to know what it costs has no key yet. A key is not looked at."""

    authentication_classes = []
    permission_classes = [AllowAny]
    pagination_class = None
    serializer_class = PricingSerializer
    problems = {"get": (400,)}

    @extend_schema(operation_id="pricing", summary="Plans and credit packs, cheapest first")
    def get(self, request: Request) -> Response:
        refuse_unknown_parameters(request, set())
        return Response(selectors.pricing())
