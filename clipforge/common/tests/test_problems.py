"""Every way of saying no is a problem document with a stable code, and never a trace."""

from __future__ import annotations

import gzip
import io
import logging
import uuid
from typing import Any

import psycopg
import pytest
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.db import DataError, InterfaceError, OperationalError, connection, transaction
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.urls import path
from procrastinate.exceptions import ConnectorException
from rest_framework import exceptions, serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from clipforge.common import errors
from clipforge.common.api.parsers import LengthRequired, LimitedJSONParser, require_readable
from clipforge.devtools.testing.factories import make_moment, make_project
from clipforge.devtools.testing.state import nothing_changes
from clipforge.jobs import errors as job_errors
from clipforge.urls import handler400, handler404, handler500
from clipforge.urls import urlpatterns as real_urlpatterns
from credits import errors as credit_errors

ME, PROJECTS, EXPORTS = "/api/v1/me", "/api/v1/projects", "/api/v1/exports"


class Rectangle(serializers.Serializer[Any]):
    width = serializers.IntegerField(min_value=1)
    names = serializers.ListField(child=serializers.CharField(max_length=3), required=False)


class Refusing(APIView):
    """Raises what the test put here, or reads the body as rectangles."""

    permission_classes = [AllowAny]
    authentication_classes: list[Any] = []
    parser_classes = [LimitedJSONParser]
    error: Exception | None = None

    def get(self, _: Request) -> Response:
        assert self.error is not None
        raise self.error

    def post(self, request: Request) -> Response:
        require_readable(request)
        form = Rectangle(data=request.data, many=isinstance(request.data, list))
        form.is_valid(raise_exception=True)
        return Response(form.validated_data)


def broken(_: HttpRequest) -> HttpResponse:
    raise RuntimeError("the secret of the trace")


urlpatterns = [
    path("refuse", Refusing.as_view()),
    path("broken", broken),
    *real_urlpatterns,
]
__all__ = ["handler400", "handler404", "handler500", "urlpatterns"]

pytestmark = pytest.mark.urls(__name__)


@pytest.fixture
def client() -> APIClient:
    return APIClient(raise_request_exception=False)


@pytest.fixture
def refuse(client, monkeypatch):
    """A function: an exception in, the answer of a view that raises it out."""

    def ask(error: Exception) -> Any:
        monkeypatch.setattr(Refusing, "error", error)
        return client.get("/refuse")

    return ask


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The document, which must be whole and of this status and code."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert list(document)[:5] == ["type", "title", "status", "code", "detail"]
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"urn:clipforge:error:{code}"
    assert document["request_id"] == response["X-Request-ID"]
    assert document["title"]
    assert document["detail"]
    return document


# --- what the code raises --------------------------------------------------------------

RAISED: list[tuple[Exception, int, str]] = [
    (errors.BadRequest("Sentence."), 400, "bad_request"),
    (errors.Invalid("Sentence.", code="unknown_parameter"), 422, "unknown_parameter"),
    (credit_errors.InsufficientCredits(needed=5, available=3), 402, "insufficient_credits"),
    (
        credit_errors.KeyCapReached(
            needed=5, available=3, cap=10, resets_at="2026-12-01T00:00:00Z"
        ),
        402,
        "key_cap_reached",
    ),
    (errors.Forbidden("Sentence."), 403, "forbidden"),
    (errors.NotFound(), 404, "not_found"),
    (errors.Conflict("Sentence."), 409, "wrong_state"),
    (credit_errors.MaxCreditsExceeded(needed=5, max_credits=3), 409, "max_credits_exceeded"),
    (LengthRequired("Sentence."), 411, "length_required"),
    (errors.Gone("Sentence."), 410, "gone"),
    (errors.RequestTimeout("Sentence."), 408, "request_timeout"),
    (errors.TooLarge("Sentence."), 413, "too_large"),
    (errors.UnsupportedMedia("Sentence."), 415, "not_a_video"),
    (errors.UnsupportedCoding("Sentence."), 415, "unsupported_content_encoding"),
    (errors.Invalid("Sentence."), 422, "invalid"),
    (errors.RateLimited("Sentence."), 429, "rate_limited"),
    (job_errors.TooManyAtOnce(running=4, quota=4), 429, "concurrent_jobs"),
    (errors.Unavailable("Sentence."), 503, "unavailable"),
    (errors.StorageUnavailable("Sentence."), 503, "storage_unavailable"),
    (errors.StorageFull("Sentence."), 507, "storage_full"),
    (errors.StorageLimitReached("Sentence.", limit=5), 507, "storage_limit_reached"),
    (exceptions.ParseError(), 400, "malformed_request"),
    (exceptions.NotAuthenticated(), 403, "not_authenticated"),
    (exceptions.AuthenticationFailed(), 403, "invalid_api_key"),
    (exceptions.PermissionDenied(), 403, "forbidden"),
    (exceptions.NotFound(), 404, "not_found"),
    (exceptions.MethodNotAllowed("GET"), 405, "method_not_allowed"),
    (exceptions.NotAcceptable(), 406, "not_acceptable"),
    (exceptions.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type"),
    (exceptions.ValidationError({"width": "wrong"}), 422, "invalid"),
    (exceptions.Throttled(wait=3), 429, "rate_limited"),
    (Http404("no"), 404, "not_found"),
    (PermissionDenied("no"), 403, "forbidden"),
    (RequestDataTooBig("no"), 413, "too_large"),
    (TooManyFieldsSent("no"), 400, "malformed_request"),
    (SuspiciousOperation("no"), 400, "malformed_request"),
    (UnreadablePostError("no"), 400, "request_interrupted"),
    (DataError("no"), 422, "invalid"),
    (OperationalError("no"), 503, "unavailable"),
    (InterfaceError("no"), 503, "unavailable"),
    (ConnectorException("no"), 503, "unavailable"),
]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    RAISED,
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else None,
)
def test_each_exception_has_its_status_and_its_code(refuse, error, status, code):
    problem(refuse(error), status, code)


def test_every_domain_error_is_in_the_list_above():
    def below(kind: type[errors.DomainError]) -> set[type[errors.DomainError]]:
        return {kind}.union(*(below(each) for each in kind.__subclasses__()))

    modules = ("clipforge.common", job_errors.__name__, credit_errors.__name__)
    ours = {each for each in below(errors.DomainError) if each.__module__.startswith(modules)}
    # The last is translated into TooManyAtOnce, which has the words of jobs.
    assert ours - {errors.DomainError, credit_errors.TooManyOpenHolds} == {
        type(error) for error, _, _ in RAISED if isinstance(error, errors.DomainError)
    }


def test_members_that_an_error_adds_are_in_the_document(refuse):
    document = problem(
        refuse(credit_errors.InsufficientCredits(needed=5, available=3)),
        402,
        "insufficient_credits",
    )
    assert (document["needed"], document["available"]) == (5, 3)
    assert document["title"] == "Not enough credits"
    assert document["detail"].startswith("This needs 5 credits and 3 are available.")


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (errors.Unavailable("Sentence."), "5"),
        (errors.Unavailable("Sentence.", retry_after=60), "60"),
        (errors.StorageFull("Sentence.", retry_after=300), "300"),
        (errors.Conflict("Sentence.", code="request_in_progress", retry_after=1), "1"),
        (exceptions.Throttled(wait=3), "3"),
        (OperationalError("no"), "5"),
        (errors.Conflict("Sentence."), None),
    ],
)
def test_retry_after_says_when_the_same_request_may_succeed(refuse, error, seconds):
    assert refuse(error).get("Retry-After") == seconds


@pytest.mark.parametrize("address", ["/refuse", "/broken"])
def test_an_unexpected_exception_is_a_500_without_a_trace_and_is_logged_with_one(
    client, refuse, caplog, address
):
    refuse(RuntimeError("the secret of the trace"))
    caplog.clear()
    response = client.get(address)
    document = problem(response, 500, "internal_error")
    assert "secret" not in response.content.decode()
    assert document["detail"] == (
        "Something failed on our side. Retry; if it persists, quote the request id."
    )
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert "the secret of the trace" in str(record.exc_info)


def test_a_refusal_of_the_database_says_nothing_of_its_words(refuse, caplog):
    response = refuse(OperationalError("password of user clipforge at 10.0.0.1 is wrong"))
    assert "10.0.0.1" not in response.content.decode()
    assert "10.0.0.1" in caplog.text


# --- fields ----------------------------------------------------------------------------


def test_each_wrong_field_has_a_pointer_a_code_and_a_sentence(client):
    response = client.post("/refuse", {"width": 0, "names": ["abc", "abcd", ""]})
    document = problem(response, 422, "invalid")
    assert document["errors"] == [
        {
            "pointer": "/width",
            "code": "min_value",
            "detail": "Ensure this value is greater than or equal to 1.",
        },
        {
            "pointer": "/names/1",
            "code": "max_length",
            "detail": "Ensure this field has no more than 3 characters.",
        },
        {"pointer": "/names/2", "code": "blank", "detail": "This field may not be blank."},
    ]
    assert document["detail"].startswith("width: Ensure this value")


def test_a_wrong_item_of_a_list_is_pointed_at_by_its_number(client):
    document = problem(
        client.post("/refuse", [{"width": 1}, {"width": "x"}], format="json"), 422, "invalid"
    )
    assert [each["pointer"] for each in document["errors"]] == ["/1/width"]


# --- bodies ----------------------------------------------------------------------------


def post(client: Any, body: bytes, content_type: str = "application/json", **extra: Any) -> Any:
    return client.generic("POST", "/refuse", body, content_type=content_type, **extra)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"width": 1,}',
        b"{'width': 1}",
        b'{"width": NaN}',
        b'{"width": -Infinity}',
        b'{"width": ' + b"1" * 5000 + b"}",
        b"\xff\xfe",
        b'{"names": ["\xff"]}',
        '{"width": 1}'.encode("utf-16"),
        b'{"width": 1} {"width": 2}',
        b"\0",
        b'{"names": ["\\ud800"]}',
        b'{"names": ["\\udc00\\ud800"]}',
        b'{"\\ud800": 1}',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        b"[" + b"[]," * 200 + b"1]",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_body_that_is_no_json_is_400(client, body):
    problem(post(client, body), 400, "malformed_request")


@pytest.mark.parametrize(
    "body", [b"null", b"true", b"1", b'"x"', b"", b"{}", b"[" * 150 + b"]" * 150]
)
def test_json_that_is_no_rectangle_is_422(client, body):
    problem(post(client, body), 422, "invalid")


def test_an_emoji_may_be_escaped_as_a_pair_of_surrogates(client):
    response = post(client, b'{"width": 1, "names": ["\\ud83d\\ude00"]}')
    assert response.json() == {"width": 1, "names": ["😀"]}


@pytest.mark.parametrize("charset", ["utf-8", "rot13", "utf-16", "hex", "nonsense", '"'])
def test_json_is_utf_8_whatever_the_client_calls_it(client, charset):
    response = post(client, b'{"width": 1}', f"application/json; charset={charset}")
    assert response.json() == {"width": 1}


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/xml", "multipart/form-data; boundary=x", ";"]
)
def test_a_body_of_another_type_is_415(client, content_type):
    problem(post(client, b'{"width": 1}', content_type), 415, "unsupported_media_type")


def test_a_json_body_of_a_mebibyte_is_read_and_one_byte_more_is_413(client):
    body = b'{"width": 1}'
    assert post(client, body.ljust(1024**2)).status_code == 200
    document = problem(post(client, body.ljust(1024**2 + 1)), 413, "too_large")
    assert document["limit"] == 1048576
    assert document["detail"] == "The body is larger than the 1048576 bytes that are accepted."


def test_a_body_over_the_limit_is_not_read(client):
    class Unread(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise AssertionError("the body was read")

    body: dict[str, Any] = {"wsgi.input": Unread(), "CONTENT_LENGTH": str(1024**2 + 1)}
    response = post(client, b"", **body)
    problem(response, 413, "too_large")


def test_a_client_that_hung_up_is_400_and_no_error_of_ours(client, caplog):
    class HungUp(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise ConnectionResetError

    body: dict[str, Any] = {"wsgi.input": HungUp()}
    problem(post(client, b"{}", **body), 400, "request_interrupted")
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


def test_a_chunked_body_is_411(client):
    problem(post(client, b"{}", HTTP_TRANSFER_ENCODING="chunked"), 411, "length_required")


@pytest.mark.django_db
def test_a_body_that_is_refused_starts_and_reserves_nothing(client_of):
    project = make_project()
    moment = make_moment(project)
    api = client_of(project.org)
    start = f'{{"moment": "{moment.pk}", "aspect": "'
    bodies = {
        start + "\\u0000": 400,
        start + "\\ud800": 400,
        start + "x" * 1024**2: 413,
        start + '"' + "[" * 1000: 400,
    }
    with nothing_changes():
        for body, status in bodies.items():
            response = api.generic("POST", EXPORTS, f'{body}"}}', content_type="application/json")
            assert response.status_code == status
        response = api.post(EXPORTS, {"moment": str(moment.pk)}, HTTP_TRANSFER_ENCODING="chunked")
        assert response.status_code == 411


# --- addresses, methods, headers -------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *["/", "/nonsense", "/api/v1", "/api/v1/", "/api/v1/projects/", "/api/v2/me", "/static/no"],
        *["/api/v1/%00", "/api/v1/projects/%00", "/api/v1/%ff", "/%F0%9F%94%91", "/api/v1/../x"],
    ],
)
def test_an_address_that_is_none_is_404(client, address):
    document = problem(client.get(address), 404, "not_found")
    assert document["detail"] == "There is nothing at this address."


@pytest.mark.django_db
def test_an_id_of_no_object_is_404_with_another_sentence(api):
    for pk in (uuid.uuid4(), uuid.UUID(int=0)):
        document = problem(api.get(f"/api/v1/projects/{pk}"), 404, "not_found")
        assert document["detail"] == "There is no such object in this organization."


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "NONSENSE"])
def test_a_method_that_a_route_has_not_is_405_and_says_which_it_has(api, method):
    response = api.generic(method, ME)
    problem(response, 405, "method_not_allowed")
    assert response["Allow"] == "GET, HEAD, OPTIONS"


def test_the_docs_too_refuse_in_json(client):
    problem(client.post("/api/v1/docs"), 405, "method_not_allowed")
    problem(client.get("/api/v1/docs", headers={"Accept": "image/png"}), 406, "not_acceptable")
    problem(client.get("/api/v1/schema?format=nonsense"), 404, "not_found")


@pytest.mark.django_db
@pytest.mark.parametrize("coding", ["gzip", "br", "GZIP", "identity, gzip", "nonsense"])
def test_a_compressed_body_is_refused_with_the_coding_that_would_be_read(api, coding):
    body = gzip.compress(b'{"export_seconds": 60}')
    response = api.generic(
        "POST", "/api/v1/quotes", body, "application/json", HTTP_CONTENT_ENCODING=coding
    )
    problem(response, 415, "unsupported_content_encoding")
    assert response["Accept-Encoding"] == "identity"
    plain = api.post("/api/v1/quotes", {"export_seconds": 60}, HTTP_CONTENT_ENCODING="identity")
    assert plain.status_code == 200


@pytest.mark.django_db
def test_answers_say_whether_they_may_be_kept(api, client):
    shown = {"private, no-cache": [ME, PROJECTS, "/api/v1/credits/balance"]}
    shown["public, no-cache"] = ["/api/v1/pricing"]
    for directive, addresses in shown.items():
        for address in addresses:
            assert api.get(address)["Cache-Control"] == directive, address
    quote = api.post("/api/v1/quotes", {"export_seconds": 60})
    for response in [quote, api.post("/api/v1/quotes", {}), client.get(ME), client.get("/no")]:
        assert response["Cache-Control"] == "no-store"


@pytest.mark.django_db
def test_options_tells_the_methods_and_leaves_the_rest_to_the_schema(api):
    with nothing_changes():
        response = api.options("/api/v1/projects")
    assert response.status_code == 200
    assert response.json() == {
        "methods": ["GET", "POST", "HEAD", "OPTIONS"],
        "schema": "http://testserver/api/v1/schema",
    }
    assert response["Allow"] == "GET, POST, HEAD, OPTIONS"


@pytest.mark.django_db
def test_head_is_get_without_a_body(api):
    response = api.head(ME)
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["text/html", "image/*", "application/xml", "nonsense"])
def test_a_client_that_wants_no_json_is_406(api, accept):
    problem(api.get(ME, headers={"Accept": accept}), 406, "not_acceptable")


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["*/*", "application/*", "text/html, */*;q=0.1", "a;q=x,*/*"])
def test_a_client_that_wants_anything_gets_json(api, accept):
    assert api.get(ME, headers={"Accept": accept})["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "", "a b", "[::1", "\0"]
)
def test_a_host_that_is_not_ours_is_400(client, host):
    problem(client.get(ME, HTTP_HOST=host, SERVER_NAME=host), 400, "malformed_request")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "query",
    [
        *["status=%00", "status=%ED%A0%80", "created_after=%00", "created_after=nope", "%00=1"],
        *["status[]=READY", "page_size=%00", "Status=READY", "created_after=2026-13-01"],
    ],
)
def test_a_strange_parameter_is_refused_and_never_a_500(api, query):
    response = api.get(f"/api/v1/projects?{query}")
    assert response.status_code in {400, 422}
    problem(response, response.status_code, response.json()["code"])


@pytest.mark.django_db
@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"])
def test_a_time_that_the_database_cannot_hold_is_422(api, time):
    with transaction.atomic():
        response = api.get("/api/v1/projects", {"created_after": time})
        transaction.set_rollback(True)  # the statement failed; a test has a transaction around it
    assert problem(response, 422, "invalid")["detail"] == "A value is out of range."


@pytest.mark.django_db
def test_an_unknown_parameter_is_named_with_those_that_are_known(api):
    for method, address, known in [
        (
            "GET",
            "/api/v1/projects",
            "created_after, created_before, cursor, external_id, ids, page_size, q, sort, status, updated_after, "
            "updated_before",
        ),
        ("POST", "/api/v1/exports", "none"),
        ("POST", "/api/v1/projects", "none"),
    ]:
        response = api.generic(method, f"{address}?order=size&b=1&b=2")
        document = problem(response, 422, "unknown_parameter")
        assert document["detail"] == f"Unknown query parameter: b, order. Known here: {known}."


# --- the database ----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_without_a_database_the_api_is_503_and_says_when_to_come_back(api, tmp_path, monkeypatch):
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "HOST", str(tmp_path))
        response = api.get(PROJECTS)
        connection.close()
    problem(response, 503, "unavailable")
    assert response["Retry-After"] == "5"
    assert api.get(PROJECTS).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_statement_that_waits_too_long_for_a_lock_is_503_and_changes_nothing(api, organization):
    def locked_out(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        return run("SET lock_timeout = 1; " + sql, params, many, context)

    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("LOCK TABLE orgs_apikey")
        with connection.execute_wrapper(locked_out):
            response = api.get(PROJECTS)
    connection.close()
    problem(response, 503, "unavailable")
    assert api.get(PROJECTS).status_code == 200
