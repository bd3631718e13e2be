"""Real HTTP servers on loopback, as a customer has them: they keep what they get, and answer as told."""

from __future__ import annotations

import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Received(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


# Writes a whole answer, or something else. `got` of the handler is what it answers to.
Reply = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, body: bytes = b"ok", **headers: str) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


class Receiver:
    """Keeps all that arrives, in order; `replies` says how a path is answered, with 200 unless told."""

    def __init__(self, server: ThreadingHTTPServer, scheme: str) -> None:
        self.received: list[Received] = []
        self.replies: dict[str, Reply] = defaultdict(lambda: status(200))
        self.arrived = threading.Condition()
        self.port: int = server.server_address[1]
        self.scheme = scheme

    def url(self, path: str = "/", *, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def at(self, path: str) -> list[Received]:
        return [each for each in self.received if each.path == path]

    def wait_for(self, count: int, path: str = "/", seconds: float = 60) -> list[Received]:
        """The first `count` that arrived at the path."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.at(path)) >= count, seconds)
        return self.at(path)[:count]

    def keep(self, received: Received) -> None:
        with self.arrived:
            self.received.append(received)
            self.arrived.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A hundred senders connect at once.
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that hangs up is what some tests are about."""


@contextmanager
def receiving(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a port of its own; with a `context`, over TLS."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.got = Received(self.path, dict(self.headers), body)
            receiver.keep(self.got)
            receiver.replies[self.path](self)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver = Receiver(server, "http" if context is None else "https")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
