"""Answers that lead to a signed link."""

from __future__ import annotations

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response


def to_link(request: Request, path: str) -> Response:
    """A redirect to a link, which nobody may keep longer than it is good."""
    return Response(
        status=status.HTTP_302_FOUND,
        headers={"Location": request.build_absolute_uri(path), "Cache-Control": "no-store"},
    )
