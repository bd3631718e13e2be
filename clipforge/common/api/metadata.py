"""The answer to OPTIONS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse
from rest_framework.metadata import BaseMetadata
from rest_framework.request import Request

if TYPE_CHECKING:  # importing it imports the classes that the settings name, which are here
    from rest_framework.views import APIView


class Methods(BaseMetadata):
    """The methods of the route, and where the schema is.

    DRF's own describes the serializer of the view, which need not be that of each method: the schema
    alone says what a body has.
    """

    def determine_metadata(self, request: Request, view: APIView) -> dict[str, Any]:
        schema = request.build_absolute_uri(reverse("schema"))
        return {"methods": view.allowed_methods, "schema": schema}
