"""Clients that are silent, slow or stuck keep nobody else waiting, and leave nothing behind."""

from __future__ import annotations

import http.client
import json
import select
import socket
from collections.abc import Iterator

import httpx
import pytest

from clipforge.testing.service import Service, eventually, running_service

pytestmark = [pytest.mark.slow, pytest.mark.faults]

THREADS = 2
HEAD = b"POST /api/v1/quotes HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    threads = {"WEB_PROCESSES": "1", "WEB_THREADS": str(THREADS)}
    with running_service(WEB_PATIENCE_SECONDS="1", **threads) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def key(service: Service) -> str:
    service.manage("create_org", "Slow", "--tier", "PRO", "--credits", "10")
    made: str = service.manage_json("create_api_key", "Slow")["key"]
    return made


def connect(service: Service, first: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=30)
    connection.sendall(first)
    return connection


def is_alive(service: Service) -> bool:
    return httpx.get(f"{service.url}/health/live", timeout=30).status_code == 200


def test_silent_connections_cost_no_thread(service):
    silent = [connect(service) for _ in range(10 * THREADS)]
    assert is_alive(service)
    readable, _, _ = select.select(silent, [], [], 0)
    assert readable == [], "they were closed first"
    for connection in silent:
        connection.close()


@pytest.mark.parametrize("first", [b"G", HEAD, HEAD + b"Content-Length: 5\r\n\r\n{"])
def test_half_a_request_on_every_thread_stops_the_service_for_a_second_only(service, key, first):
    stuck = [connect(service, first) for _ in range(2 * THREADS)]
    assert is_alive(service)
    for connection in stuck:
        connection.recv(65536)  # an answer or the end; it would wait for 30 seconds and fail
        connection.close()


def test_an_upload_that_trickles_in_is_408_and_leaves_no_file(service, key):
    head = (
        "POST /api/v1/projects HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="v.mp4"\r\n\r\n'
    )
    with connect(service, head.encode() + bytes(1000)) as connection:
        eventually("the upload has begun", lambda: select.select([], [connection], [], 1)[1])
        while not select.select([connection], [], [], 0.05)[0]:
            connection.sendall(b"x")
        response = http.client.HTTPResponse(connection)
        response.begin()
        problem = json.loads(response.read())
    assert (response.status, problem["code"]) == (408, "request_timeout")
    eventually("the file is gone", lambda: not service.files("*.part"))
    assert is_alive(service)


def test_a_client_that_is_slower_than_the_patience_but_fast_enough_is_served(service, key):
    body = json.dumps({"export_seconds": 60}).ljust(60_000).encode()
    head = (
        f"POST /api/v1/quotes HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with connect(service, head.encode()) as connection:
        for start in range(0, len(body), 3000):  # 60 KB a second for as long as the patience
            connection.sendall(body[start : start + 3000])
            assert select.select([connection], [], [], 0.05)[0] == [] or start > 50_000
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 200
