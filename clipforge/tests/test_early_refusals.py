"""Requests that are refused before they are read, or before they are read to their end."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from clipforge.devtools.testing.service import Service, running_service

pytestmark = pytest.mark.slow

PATIENCE = 120
PREPARE = """
from clipforge.devtools.testing.factories import make_api_key, make_organization
print(make_api_key(make_organization(tier="ENTERPRISE")).secret)
"""


class Live(NamedTuple):
    service: Service
    key: str


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with running_service(LOG_FORMAT="json") as service:
        yield Live(service, service.manage("shell", "-c", PREPARE).splitlines()[-1])


def raw(live: Live, data: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    with socket.create_connection(("127.0.0.1", live.service.port), timeout=PATIENCE) as client:
        client.sendall(data)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, json.loads(answer.read())


HEAD = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, "malformed_request"),
        (b"GET /health/live HTTP/9.9\r\n\r\n", 400, "malformed_request"),
        (HEAD + b"no colon\r\n\r\n", 400, "malformed_request"),
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 414, "uri_too_long"),
        (HEAD + b"Expect: tea\r\n\r\n", 417, "expectation_failed"),
        (HEAD + b"X: y\r\n" * 100 + b"\r\n", 431, "header_fields_too_large"),
        (HEAD + b"Transfer-Encoding: tea\r\n\r\n", 501, "unsupported_transfer_coding"),
    ],
    ids=lambda part: str(part)[:30],
)
def test_what_the_server_refuses_is_a_problem_with_a_request_id_that_is_in_the_log(
    live, data, status, code
):
    answered, headers, document = raw(live, data)
    assert (answered, document["status"], document["code"]) == (status, status, code)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-request-id"] == document["request_id"]
    assert document["request_id"] in live.service.log.read_text()


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/files/x/y.mp4"])
def test_a_wrong_method_outside_the_api_is_a_problem_too(live, path):
    answer = httpx.post(f"{live.service.url}{path}", timeout=PATIENCE)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


def form_of(title: bytes) -> tuple[bytes, str]:
    part = b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\n' + title + b"\r\n--b--\r\n"
    return part, "multipart/form-data; boundary=b"


MANY = json.dumps({f"member {number}": number for number in range(100_000)}).encode()


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/api/v1/projects", form_of(b"x" * 20_000_000), 413, "too_large"),
        ("/api/v1/exports", (b'{"x":"' + b"x" * 20_000_000, "application/json"), 413, "too_large"),
        ("/api/v1/exports", (MANY, "application/json"), 413, "too_large"),
        ("/api/v1/me", (b"x" * 20_000_000, "application/json"), 405, "method_not_allowed"),
        ("/nowhere", (b"x" * 20_000_000, "application/json"), 404, "not_found"),
    ],
    ids=["title", "json", "members", "method", "address"],
)
def test_a_client_that_sends_all_of_a_refused_body_is_told_why(live, path, body, status, code):
    content, kind = body
    headers = {"Authorization": f"Bearer {live.key}", "Content-Type": kind}
    for connection in ("keep-alive", "close") * 3:
        headers["Connection"] = connection
        answer = httpx.post(
            f"{live.service.url}{path}", content=content, headers=headers, timeout=PATIENCE
        )
        assert (answer.status_code, answer.json()["code"]) == (status, code)
