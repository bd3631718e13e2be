"""A real S3 server for tests: moto's, as a process, and a proxy in front of it that can fail."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from clipforge.common.storage.s3 import S3Storage
from clipforge.common.storage.stores import at

# What moto takes from anybody.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing-secret"}
START_SECONDS = 60
# What the client has of an answer that is torn off.
TORN_AT = 1000

# Of a request: its method and path. Says which fault it meets, if any.
Plan = Callable[[str, str], str | None]


class Bucket(NamedTuple):
    """A bucket that nobody else uses."""

    name: str
    url: str
    endpoint: str
    store: S3Storage

    def names(self) -> list[str]:
        found = self.store.client.list_objects_v2(Bucket=self.name).get("Contents", ())
        return [each["Key"] for each in found]

    def unfinished(self) -> int:
        """Uploads in parts that are neither complete nor given up."""
        return len(self.store.client.list_multipart_uploads(Bucket=self.name).get("Uploads", ()))


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server that runs while the block does."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_listens(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def new_bucket(endpoint: str) -> Bucket:
    os.environ |= CREDENTIALS
    name = f"clips-{uuid.uuid4().hex[:12]}"
    url = f"s3://{name}?endpoint={endpoint}&addressing=path"
    store = at(url)
    assert isinstance(store, S3Storage)
    store.client.create_bucket(Bucket=name)
    return Bucket(name, url, endpoint, store)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("the S3 server does not listen")


class FaultyProxy:
    """Stands before a server. Its `plan` gives some requests a fault:

    `500`   an answer of its own, and the server hears nothing
    `torn`  the server's answer, broken off in its body
    `hung`  no answer at all until the client goes, or the proxy ends
    """

    def __init__(self, endpoint: str, plan: Plan) -> None:
        self.plan = plan
        # Each request, with the fault that it met.
        self.seen: list[tuple[str, str, str | None]] = []
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, endpoint))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(proxy: FaultyProxy, endpoint: str) -> type[BaseHTTPRequestHandler]:
    host = endpoint.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            fault = proxy.plan(self.command, self.path)
            proxy.seen.append((self.command, self.path, fault))
            if self.headers.get("Expect"):
                self.send_response_only(100)
                self.end_headers()
            body = self._body()
            if fault == "hung":
                proxy.ended.wait(30)
                self.close_connection = True
            elif fault == "500":
                self._answer(500, {}, b"")
            else:
                self._forward(body, is_torn=fault == "torn")

        do_GET = do_PUT = do_POST = do_PATCH = handle_one  # noqa: N815 - names of the base
        do_HEAD = do_DELETE = handle_one  # noqa: N815 - names of the base

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                chunks = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    chunks += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return chunks
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _forward(self, body: bytes, *, is_torn: bool) -> None:
            connection = http.client.HTTPConnection(host, timeout=30)
            left_out = {"transfer-encoding", "content-length", "expect", "connection"}
            headers = {k: v for k, v in self.headers.items() if k.lower() not in left_out}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in left_out}
            length = answer.getheader("Content-Length") or str(len(content))
            connection.close()
            self._answer(answer.status, kept, content[:TORN_AT] if is_torn else content, length)
            if is_torn:
                self.wfile.flush()
                self.close_connection = True

        def _answer(
            self, status: int, headers: dict[str, str], content: bytes, length: str = "0"
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """The tests say what was asked."""

    return Handler
