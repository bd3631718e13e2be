"""The HTTP side of `clipforge.orgs.idempotency`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from clipforge.orgs.idempotency import Answer, once
from clipforge.orgs.models import Organization

__all__ = ["Answer", "answer", "respond_once"]


def answer(status: int, data: Any, *, location: str = "") -> Answer:
    """An answer with `data` rendered now, inside the transaction of its effect."""
    return Answer(status, JSONRenderer().render(data).decode(), location)


def respond_once(
    request: Request,
    organization: Organization,
    effect: Callable[[], Answer],
    *,
    content: bytes | None = None,
) -> HttpResponse:
    """Run `effect` at most once per Idempotency-Key and answer, or replay the first answer.

    `content` is what makes two requests the same; the raw body unless given (an upload gives
    the digest of its file, because its body was streamed to disk).
    """
    body = request._request.body if content is None else content
    identity = b"\n".join([str(request.method).encode(), request.path.encode(), body])
    result = once(
        org=organization,
        key=request.headers.get("Idempotency-Key"),
        fingerprint=hashlib.sha256(identity).hexdigest(),
        effect=effect,
    )
    response = HttpResponse(result.body, status=result.status, content_type="application/json")
    if result.location:
        response["Location"] = result.location
    if result.replayed:
        response["Idempotent-Replayed"] = "true"
    return response
