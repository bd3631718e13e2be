"""A request id and a policy on every answer, and one log line a request that gives nothing away."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.factories import make_api_key, make_export, make_project

SCRIPT = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css"


@pytest.fixture
def client() -> APIClient:
    return APIClient(raise_request_exception=False)


@pytest.fixture
def access_line(caplog):
    """A function: the one line about the one request since the test began."""
    caplog.set_level(logging.INFO, "clipforge.access")

    def line() -> Any:
        (record,) = [each for each in caplog.records if each.name == "clipforge.access"]
        return record

    return line


@pytest.mark.parametrize("offered", ["a" * 8, "a" * 64, "01a20694-1ba3-7533", "ABC-def-123"])
def test_a_request_id_of_the_client_is_kept(client, offered):
    assert client.get("/health/live", headers={"X-Request-ID": offered})["X-Request-ID"] == offered


@pytest.mark.parametrize(
    "offered",
    [
        *["", "a" * 7, "a" * 65, "has space", "new\nline", "a_b_c_d_e", "é" * 8],
        *["12345678\n", "\0" * 8, "{" * 8, "a,b,c,d,e"],
    ],
    ids=repr,
)
def test_anything_else_is_replaced_by_an_id_of_ours(client, offered):
    response = client.get("/health/live", headers={"X-Request-ID": offered})
    assert uuid.UUID(response["X-Request-ID"]).version == 7


def test_staff_do_not_choose_the_id_that_the_audit_keeps(client):
    response = client.get("/admin/login/", headers={"X-Request-ID": "a" * 8})
    assert uuid.UUID(response["X-Request-ID"]).version == 7


def test_two_requests_have_two_ids(client):
    first, second = (client.get("/health/live")["X-Request-ID"] for _ in range(2))
    assert first < second


every_kind_of_answer = pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", SCRIPT, 200),
        ("GET", "/static/none.css", 404),
        ("GET", "/api/v1/docs", 200),
        ("GET", "/api/v1/me", 401),
        ("POST", "/health", 405),
        ("GET", "/nonsense", 404),
        ("GET", "/admin/", 302),
        ("GET", "/files/forged/x.mp4", 403),
        ("OPTIONS", "/api/v1/me", 401),
        ("POST", "/admin/login/", 403),
    ],
)


@every_kind_of_answer
def test_every_answer_carries_the_id_of_its_request(method, address, status):
    client = APIClient(enforce_csrf_checks=True)
    headers = {"X-Request-ID": "0-request-0", "Accept": "*/*"}
    response: Any = client.generic(method, address, headers=headers)
    assert response.status_code == status
    is_ours = address.startswith("/admin/")
    assert len(response["X-Request-ID"]) == (36 if is_ours else len("0-request-0"))
    if response.streaming:
        assert b"".join(response.streaming_content)


def policy(response: Any) -> dict[str, str]:
    directives = response["Content-Security-Policy"].split("; ")
    return {name: value for name, _, value in (each.partition(" ") for each in directives)}


@every_kind_of_answer
def test_no_answer_lets_a_browser_run_what_does_not_come_from_here(method, address, status):
    client = APIClient(enforce_csrf_checks=True)
    response: Any = client.generic(method, address, headers={"Accept": "*/*"})
    assert response.status_code == status
    found = policy(response)
    assert (found["default-src"], found["frame-ancestors"]) == ("'none'", "'none'")
    allowed = set(" ".join(found.values()).split())
    assert allowed <= {"'none'", "'self'", "data:"}
    if response.streaming:
        assert b"".join(response.streaming_content)
    if allowed != {"'none'"}:  # a page
        assert response["Content-Type"].startswith("text/html")
        assert (found["script-src"], found["style-src"]) == ("'self'", "'self'")
        assert (found["object-src"], found["base-uri"]) == ("'none'", "'none'")


def test_a_refused_host_has_a_request_id_too(client):
    response = client.get("/health", HTTP_HOST="evil.example")
    assert (response.status_code, len(response["X-Request-ID"])) == (400, 36)


@pytest.mark.django_db
def test_the_log_line_has_the_route_the_status_the_time_and_the_key_in_use(
    organization, access_line
):
    new = make_api_key(organization)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {new.secret}")
    client.get("/api/v1/me", headers={"X-Request-ID": "0-request-0"})
    line = access_line()
    assert line.getMessage() == "GET 200"
    assert (line.route, line.status) == ("me", 200)
    assert line.ms >= 0


def test_a_route_that_is_none_is_logged_as_none(client, access_line):
    client.get("/nonsense/cf_live_secret")
    line = access_line()
    assert (line.getMessage(), line.route) == ("GET 404", None)
    assert "nonsense" not in str(vars(line))


@pytest.mark.django_db
def test_a_log_line_never_has_a_key_a_token_or_a_parameter(organization, caplog):
    new = make_api_key(organization)
    client: Any = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {new.secret}")
    export = make_export(make_project(organization))
    url = client.get(f"/api/v1/exports/{export.pk}/download")["Location"]
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    for key in (new.secret, new.secret[:-1]):
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
        client.get("/api/v1/me")
        client.get("/api/v1/projects", {"title": new.secret})
        assert b"".join(client.get(url).streaming_content) == b"a finished file"
        client.get(url.replace("/files/", "/files/x"))
    lines = [str(vars(each)) for each in caplog.records if not each.name.startswith("django.db")]
    assert len([line for line in lines if "clipforge.access" in line]) == 8
    logged = "\n".join(lines)
    assert new.secret[17:] not in logged
    assert url.split("/files/")[1].split("/")[0] not in logged
    assert "title=" not in logged
