"""Every error as RFC 9457 `application/problem+json` with a stable `code`."""

from __future__ import annotations

import functools
import http.client
import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from procrastinate.exceptions import ConnectorException
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.views import set_rollback

from clipforge.common import logs
from clipforge.common.errors import (
    BadRequest,
    ClientTooSlow,
    DomainError,
    Invalid,
    NotFound,
    RequestTimeout,
    TooLarge,
    Unavailable,
    UnsupportedCoding,
)
from clipforge.common.pages import is_page

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"

# DRF's own exceptions, under the codes that this API documents.
CODES: dict[type[exceptions.APIException], str] = {
    exceptions.ParseError: "malformed_request",
    exceptions.NotAuthenticated: "not_authenticated",
    exceptions.AuthenticationFailed: "invalid_api_key",
    exceptions.PermissionDenied: "forbidden",
    exceptions.NotFound: "not_found",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.NotAcceptable: "not_acceptable",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.Throttled: "rate_limited",
}


def problem(
    status: int, code: str, detail: str, *, title: str | None = None, **extra: Any
) -> dict[str, Any]:
    """The members of a problem document, in reading order."""
    return {
        "type": f"urn:clipforge:error:{code}",
        "title": title or phrase_of(status),
        "status": status,
        "code": code,
        "detail": detail,
        **extra,
        "request_id": logs.context().get("request_id"),
    }


def phrase_of(status: int) -> str:
    """The reason phrase of a status; of one that is none of HTTP's own, that of its class."""
    return http.client.responses.get(status) or http.HTTPStatus(status // 100 * 100).phrase


def exception_handler(exc: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's hook. Any other exception goes on to Django, which answers 500."""
    document, headers = _document(exc)
    if document is None:
        return None
    set_rollback()
    return Problem(document, headers)


def document_of(exc: Exception) -> dict[str, Any]:
    """The problem document of a refusal. Raises it again if it is none."""
    document, _ = _document(exc)
    if document is None:
        raise exc
    return document


def problem_response(
    status: int, code: str, detail: str, *, headers: dict[str, str] | None = None
) -> HttpResponse:
    """A problem outside DRF: middleware, the 404 and 500 handlers."""
    return Problem(problem(status, code, detail), headers or {})


def refusal(error: DomainError) -> HttpResponse:
    """As `problem_response`, of what a service refuses."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return problem_response(error.status, error.error_code, error.message, headers=headers)


def safe_only(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """For a view outside DRF: GET and HEAD, and a problem for any other method."""

    @csrf_exempt  # so that a POST is told 405, not that its cookie is missing
    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method in {"GET", "HEAD"}:
            return view(request, *args, **kwargs)
        return problem_response(
            405,
            "method_not_allowed",
            f'Method "{request.method}" not allowed.',
            headers={"Allow": "GET, HEAD"},
        )

    return answer


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_page(request):
        return defaults.page_not_found(request, exception)
    return problem_response(404, "not_found", "There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    if is_page(request):
        return defaults.server_error(request)
    return problem_response(
        500,
        "internal_error",
        "Something failed on our side. Retry; if it persists, quote the request id.",
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem_response(400, "malformed_request", "The request cannot be understood.")


class Problem(HttpResponse):
    """An answer that says why a request was refused: `document`."""

    # Not DRF's Response, which would render it as whatever the view renders: the docs are HTML.

    def __init__(self, document: dict[str, Any], headers: dict[str, str]) -> None:
        super().__init__(
            JSONRenderer().render(document),
            status=document["status"],
            headers={"Cache-Control": "no-store", **headers},
            content_type=CONTENT_TYPE,
        )
        self.document = document


def _document(exc: Exception) -> tuple[dict[str, Any] | None, dict[str, str]]:
    exc = _as_ours(exc)
    if isinstance(exc, DomainError):
        headers = {} if exc.retry_after is None else {"Retry-After": str(exc.retry_after)}
        if isinstance(exc, UnsupportedCoding):
            headers["Accept-Encoding"] = "identity"  # RFC 9110, 12.5.3: it was the coding
        return problem(
            exc.status, exc.error_code, exc.message, title=exc.title, **exc.extra
        ), headers
    if isinstance(exc, exceptions.ValidationError):
        fields = list(_field_errors(exc.get_full_details()))
        detail = "; ".join(
            f"{field['pointer'].lstrip('/') or 'body'}: {field['detail']}" for field in fields[:3]
        )
        return problem(422, "invalid", detail, title="Invalid value", errors=fields), {}
    if isinstance(exc, exceptions.APIException):
        return _from_api_exception(exc)
    return None, {}


def _as_ours(exc: Exception) -> Exception:
    """The exception of this API for one of Django's; any other as it is."""
    match exc:
        case Http404():
            return NotFound()
        case PermissionDenied():
            return exceptions.PermissionDenied()
        case RequestDataTooBig():
            limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
            return TooLarge(
                f"The body is larger than the {limit} bytes that are accepted.", limit=limit
            )
        case SuspiciousOperation():
            return BadRequest("The request cannot be understood.", code="malformed_request")
        case UnreadablePostError(__cause__=ClientTooSlow()):
            return RequestTimeout(
                "The body came too slowly. Nothing was stored or charged; send it again."
            )
        case UnreadablePostError():
            return BadRequest(
                "The body broke off before its end. Send it again.", code="request_interrupted"
            )
        case DataError():  # well-formed, but nothing that PostgreSQL can hold or compare with
            logger.warning("value refused by the database", exc_info=exc)
            return Invalid("A value is out of range.")
        # The last is what the queue makes of the same when it happens in a statement of its own.
        case OperationalError() | InterfaceError() | ConnectorException():
            logger.error("database unavailable", exc_info=exc)
            return Unavailable(
                "The database cannot be reached right now. Send the request again, "
                "under the same Idempotency-Key if it had one."
            )
    return exc


def _from_api_exception(exc: exceptions.APIException) -> tuple[dict[str, Any], dict[str, str]]:
    headers = {}
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(int(wait))
    code = CODES.get(type(exc), "error")
    return problem(exc.status_code, code, str(exc.detail)), headers


def _field_errors(details: Any, pointer: str = "") -> Any:
    """Flatten DRF's nested details to `{pointer, code, detail}`, pointers as in RFC 6901."""
    if isinstance(details, dict) and {"message", "code"} == set(details):
        yield {"pointer": pointer, "code": details["code"], "detail": str(details["message"])}
    elif isinstance(details, dict):
        for name, value in details.items():
            here = pointer if name == "non_field_errors" else f"{pointer}/{name}"
            yield from _field_errors(value, here)
    elif isinstance(details, list):
        for value in details:
            yield from _field_errors(value, pointer)
