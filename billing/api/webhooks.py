"""`POST /webhooks/stripe`: the endpoint of Stripe's events, trusted for their signature alone."""

from __future__ import annotations

import json
import time
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from billing import gateway, services
from clipforge.common.api.address_limits import limit_by_address
from clipforge.common.api.problems import problem_response
from clipforge.common.errors import BadRequest, Conflict, DomainError, TooLarge, Unavailable

# Bytes. Stripe's events have some kilobytes.
MAX_BODY = 256 * 1024
# Seconds between Stripe's clock and ours, either way.
TOLERANCE = 300


class LengthRequired(DomainError):
    status, code = 411, "length_required"


class MethodNotAllowed(DomainError):
    status, code = 405, "method_not_allowed"


@csrf_exempt
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """200 once the event is stored and applied, or will never need to be; 503 asks for it again."""
    try:
        if request.method != "POST":
            raise MethodNotAllowed("Events are sent with POST.")
        limit_by_address(
            request,
            scope="webhooks",
            per_minute=settings.WEBHOOKS_PER_MINUTE_OF_ADDRESS,
            what="events",
        )
        with gateway.mode(is_test=_is_of_test_mode(request)):
            status = _take(_document(request))
        return JsonResponse({"status": status}, headers={"Cache-Control": "no-store"})
    except (OperationalError, InterfaceError):
        return _problem(Unavailable("The database cannot be reached right now."))
    except DomainError as error:
        return _problem(error)


def _take(document: dict[str, Any]) -> str:
    event = services.receive_event(document)
    try:
        return services.apply_event(event)
    except Conflict as error:
        raise Unavailable(error.message) from error


def _is_of_test_mode(request: HttpRequest) -> bool:
    """Whose secret signed it decides: both modes send to this address."""
    if not settings.STRIPE_TEST_WEBHOOK_SECRET or _length(request) > MAX_BODY:
        return False
    with gateway.mode(is_test=True):
        return _is_signed(request)


def _document(request: HttpRequest) -> dict[str, Any]:
    """The parsed body, after its signature, time and length were checked."""
    gateway.require_configured()
    if _length(request) > MAX_BODY:
        raise TooLarge(f"An event has at most {MAX_BODY} bytes.", limit=MAX_BODY)
    if not _is_signed(request):
        raise BadRequest(
            "The signature is missing, wrong, or not of now.", code="invalid_signature"
        )
    try:
        document = json.loads(request.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise BadRequest("The event is no JSON object.", code="malformed_request")
    return document


def _length(request: HttpRequest) -> int:
    """Of the body, in bytes, as it was announced. Raises LengthRequired."""
    length = request.headers.get("Content-Length", "")
    if "Transfer-Encoding" in request.headers or not (length.isascii() and length.isdigit()):
        raise LengthRequired("Send the event with a Content-Length.")
    return int(length[:20])


def _is_signed(request: HttpRequest) -> bool:
    header = request.headers.get("Stripe-Signature", "")
    return gateway.signature_holds(request.body, header, now=time.time(), tolerance=TOLERANCE)


def _problem(error: DomainError) -> HttpResponse:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    # Whatever is wrong with an event is wrong with the request: Stripe knows no 422.
    status = 400 if error.status == 422 else error.status
    return problem_response(status, error.error_code, error.message, headers=headers)
