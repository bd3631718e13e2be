"""A gunicorn worker whose threads no slow client can occupy.

gunicorn's own gives a connection a thread for as long as it takes: as many clients that send half a
request as there are threads stop the service. Here a client that says nothing costs no thread, and
one that has begun may keep its thread waiting for `patience` seconds, and for one more with each
`MINIMUM_RATE` bytes that it has sent. One budget covers the head of a request and its body.

Not covered: a client that keeps opening connections and sends half a request on each keeps as many
threads waiting, `patience` seconds each; and a reader that is slow but reads is not cut off. Against
both, the proxy in front buffers.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from clipforge.common.early_refusals import ProblemSocket
from clipforge.common.errors import ClientTooSlow

# Bytes a second. Far below any connection that a video is sent over.
MINIMUM_RATE = 16 * 1024
# Of silence on the side of a client that should read. Seconds.
SEND_SECONDS = 60.0

# Set by gunicorn.conf.py before workers are forked. Seconds.
patience = 10.0


class SlowClientSocket(socket.socket):
    """A socket that waits for its client within a budget, a new one for each request.

    gunicorn makes it blocking when a request begins, and not blocking between two.
    """

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(fileno=accepted.detach())
        self._begin()

    def _begin(self) -> None:
        self._left = patience

    def setblocking(self, flag: bool) -> None:
        if flag:
            self.settimeout(SEND_SECONDS)
        else:
            self._begin()
            super().setblocking(False)

    def recv(self, *args: Any) -> bytes:
        if self.gettimeout() == 0:
            return super().recv(*args)
        if self._left <= 0:
            raise ClientTooSlow
        began = time.monotonic()
        self.settimeout(self._left)
        try:
            data = super().recv(*args)
        except TimeoutError:
            self._left = 0
            raise ClientTooSlow from None
        finally:
            self.settimeout(SEND_SECONDS)
        self._left += len(data) / MINIMUM_RATE - (time.monotonic() - began)
        return data


class SlowClientWorker(ThreadWorker):  # type: ignore[misc] # no type information is published
    """gunicorn's gthread, with sockets that a slow client cannot keep waiting for ever."""

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        """Read what is left of a body also where the connection is closed then.

        A close with unread bytes resets the connection, and a client that is still sending never
        sees its answer. gunicorn reads on for some seconds where it keeps the connection, and 64 KiB where not.
        """
        return super()._keepalive_after(conn, True) and keepalive

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        super().handle_error(req, ProblemSocket(client), addr, exc)

    def accept(self, listener: socket.socket) -> None:
        """Wait for the first bytes among all the others that wait, not in a thread."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK}:
                return
            raise
        self.nr_conns += 1
        client = SlowClientSocket(accepted)
        conn = TConn(self.cfg, client, address, listener.getsockname())
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(
            client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn)
        )
