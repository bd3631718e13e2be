"""Silent, slow and stuck clients delay no other client, and leave nothing behind."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import select
import socket
import zipfile
from collections.abc import Iterator

import httpx
import pytest
from gunicorn.http.body import Body
from gunicorn.http.unreader import SocketUnreader

from clipforge.common.slow_clients import PlainReader
from clipforge.devtools.testing.service import TLS, Service, eventually, running_service

pytestmark = [pytest.mark.slow, pytest.mark.faults]

THREADS = 2
# For an answer, on however busy a machine. Seconds.
PATIENCE = 120
HEAD = b"POST /api/v1/quotes HTTP/1.1\r\nHost: localhost\r\n"
# How a file begins in the body of an upload.
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="v.mp4"\r\n\r\n'


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
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE)
    connection.sendall(first)
    return connection


def upload_head(key: str, length: int) -> bytes:
    return (
        f"POST /api/v1/projects HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
    ).encode()


def is_alive(service: Service) -> bool:
    return httpx.get(f"{service.url}/health/live", timeout=PATIENCE, verify=TLS).status_code == 200


def test_silent_connections_cost_no_thread(service):
    silent = [connect(service) for _ in range(10 * THREADS)]
    assert is_alive(service)
    readable, _, _ = select.select(silent, [], [], 0)
    assert readable == [], "they were closed first"
    for connection in silent:
        connection.close()


def test_clients_that_do_not_close_what_we_have_closed_delay_nobody(service):
    """Each has two seconds for it: one after the other, thirty would take a minute."""
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    stuck = [connect(service, request) for _ in range(30)]
    for connection in stuck:
        connection.settimeout(40)
        while connection.recv(65536):
            pass
    assert is_alive(service)
    for connection in stuck:
        connection.close()


@pytest.mark.parametrize("first", [b"G", HEAD, HEAD + b"Content-Length: 5\r\n\r\n{"])
def test_half_a_request_on_every_thread_stops_the_service_for_a_second_only(service, key, first):
    stuck = [connect(service, first) for _ in range(2 * THREADS)]
    assert is_alive(service)
    for connection in stuck:
        connection.recv(65536)  # an answer or the end; else it would wait for PATIENCE and fail
        connection.close()


def test_an_upload_that_trickles_in_is_408_and_leaves_no_file(service, key):
    with connect(service, upload_head(key, 1_000_000) + PART + bytes(1000)) as connection:
        eventually("the upload has begun", lambda: select.select([], [connection], [], 1)[1])
        # It may hang up while a byte is on its way to it.
        with contextlib.suppress(ConnectionError):
            while not select.select([connection], [], [], 0.05)[0]:
                connection.sendall(b"x")
        response = http.client.HTTPResponse(connection)
        response.begin()
        problem = json.loads(response.read())
    assert (response.status, problem["code"]) == (408, "request_timeout")
    eventually("the file is gone", lambda: not service.files("*.part"))
    assert is_alive(service)


def test_a_client_that_is_slower_than_the_patience_but_fast_enough_is_served(service, key):
    # It begins as a video does: what does not is refused by its beginning.
    body = PART + b"\0\0\0\x18ftyp".ljust(50_000) * 30 + b"\r\n--b--\r\n"
    with connect(service, upload_head(key, len(body))) as connection:
        # For longer than the patience, and so much that a busy machine may take its time.
        for start in range(0, len(body), 50_000):
            assert select.select([connection], [], [], 0.05)[0] == []
            connection.sendall(body[start : start + 50_000])
        response = http.client.HTTPResponse(connection)
        response.begin()
        problem = json.loads(response.read())
    assert (response.status, problem["code"]) == (415, "not_a_video")  # it was read to its end


LARGE = """
from clipforge.devtools.testing.factories import make_api_key, make_export, make_organization, make_project
project = make_project(make_organization(tier="PRO"))
make_export(project, content=bytes(24 << 20), download_name="large")
print(make_api_key(project.org).secret, project.pk)
"""


def test_slow_readers_of_archives_hold_no_thread_and_get_them_whole(service):
    """More of them than there are threads, each with more to read than its connection takes at once."""
    secret, pk = service.manage("shell", "-c", LARGE).split()[-2:]
    asked = httpx.get(
        f"{service.url}/api/v1/projects/{pk}/exports.zip",
        headers={"Authorization": f"Bearer {secret}"},
        timeout=PATIENCE,
        verify=TLS,
    )
    path = httpx.URL(asked.headers["Location"]).raw_path
    requests = [
        b"GET %b HTTP/1.%d\r\nHost: localhost\r\n\r\n" % (path, minor)
        for minor in (1, 0, *[1] * 2 * THREADS)
    ]
    slow = [connect(service, request) for request in requests]
    for connection in slow:
        assert connection.recv(12, socket.MSG_PEEK) in {b"HTTP/1.1 200", b"HTTP/1.0 200"}
        assert is_alive(service)
    for connection in slow[2:]:
        connection.close()
    for connection in slow[:2]:
        with connection:
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert response.getheader("Connection") == "close"
            archive = zipfile.ZipFile(io.BytesIO(response.read()))
        assert (archive.namelist(), archive.testzip()) == (["large.mp4"], None)
    assert is_alive(service)


# --- how a body is read ----------------------------------------------------------------


def test_a_body_is_read_as_it_comes_and_what_follows_it_is_left_for_the_next_request():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        unreader = SocketUnreader(ours)
        unreader.unread(b"held")  # came with the head of the request
        reader = PlainReader(unreader, 4 + 20_000)
        theirs.sendall(b"a" * 20_000 + b"NEXT")
        assert reader.read(3) == b"hel"
        assert reader.read(100) == b"d"
        assert reader.read(15_000) == b"a" * 15_000
        assert reader.read(0) == b""
        # Fewer than 8 KiB are left, and gunicorn asks for no fewer: of what came too nothing is lost.
        assert reader.read(1_000_000) == b"a" * 5_000
        assert reader.read(1_000_000) == b""
        assert unreader.take_buffered() == b"NEXT"


def test_a_body_that_breaks_off_ends_there():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        body = Body(PlainReader(SocketUnreader(ours), 1000))
        theirs.sendall(b"a" * 300)
        theirs.shutdown(socket.SHUT_WR)
        assert (body.read(1000), body.read(1000)) == (b"a" * 300, b"")


def test_two_requests_that_come_at_once_are_answered_one_after_the_other(service: Service):
    body = HEAD + b"Content-Type: application/json\r\nContent-Length: 8\r\n%s\r\n" + b'{"a": 1}'
    with connect(service, body % b"" + body % b"Connection: close\r\n") as connection:
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answers.count(b"HTTP/1.1 401 ") == 2
