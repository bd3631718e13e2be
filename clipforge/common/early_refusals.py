"""Requests that gunicorn refuses before the application sees them, answered as all others are.

gunicorn writes a page of HTML without a request id. Here its status becomes a problem document, and
the log has the id beside what gunicorn says of the request. Imported before Django is set up.
"""

from __future__ import annotations

import http
import json
import logging
import socket
import uuid
from typing import Any

logger = logging.getLogger("clipforge.access")

# Status to code, and what to do about it.
REFUSALS = {
    400: ("malformed_request", "The request cannot be understood."),
    403: ("forbidden", "The request is not allowed."),
    414: ("uri_too_long", "The address is too long."),
    417: ("expectation_failed", "The only expectation that is met is 100-continue."),
    431: ("header_fields_too_large", "The headers are too many or too long."),
    501: ("unsupported_transfer_coding", "The transfer coding is not supported."),
}
FAILURE = (
    "internal_error",
    "Something failed on our side. Retry; if it persists, quote the request id.",
)


class ProblemSocket:
    """The socket of a client, on which an error page of gunicorn's is sent as a problem document."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def sendall(self, page: bytes) -> None:
        status = int(page.split(b" ", 2)[1])
        self._client.sendall(refusal(status))


def refusal(status: int) -> bytes:
    """The whole answer with this status, as it goes over the wire. Logs its request id."""
    code, detail = REFUSALS.get(status, FAILURE)
    title = http.HTTPStatus(status).phrase
    request_id = str(uuid.uuid4())
    logger.info(
        "refused before it was read: %s", status, extra={"request_id": request_id, "status": status}
    )
    document = {
        "type": f"urn:clipforge:error:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
    }
    body = json.dumps(document, separators=(",", ":")).encode()
    head = [
        f"HTTP/1.1 {status} {title}",
        "Connection: close",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        f"X-Request-ID: {request_id}",
        "",
        "",
    ]
    return "\r\n".join(head).encode() + body
