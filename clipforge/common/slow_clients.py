"""A gunicorn worker whose threads no slow client can occupy.

gunicorn's own gives a connection a thread for as long as it takes: as many clients that send half a
request as there are threads stop the service. Here a client that says nothing costs no thread, and
one that has begun may keep its thread waiting for `patience` seconds, and for one more with each
`MINIMUM_RATE` bytes that it has sent. One budget covers the head of a request and its body.

Not covered: a client that keeps opening connections and sends half a request on each keeps as many
threads waiting, `patience` seconds each; and a reader that is slow but reads is not cut off (an archive
is sent without a thread that waits: `sending_worker`). Against both, the proxy in front buffers.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from functools import partial
from typing import Any

from gunicorn.http.body import LengthReader
from gunicorn.workers.gthread import TConn, ThreadWorker

from clipforge.common.early_refusals import ProblemSocket
from clipforge.common.errors import ClientTooSlow
from clipforge.common.waiting import Wait

# Bytes a second. Far below any connection that a video is sent over.
MINIMUM_RATE = 16 * 1024
# Of silence on the side of a client that should read. Seconds.
SEND_SECONDS = 60.0
# That a client has for closing a connection which we have closed, as gunicorn gives it. Seconds.
LINGER_SECONDS = 2.0
DRAINED_BYTES = 65536

# Set by gunicorn.conf.py before workers are forked. Seconds.
patience = 10.0


class SlowClientSocket(socket.socket):
    """A socket that waits for its client within a budget, a new one for each request.

    gunicorn makes it blocking when a request begins, and not blocking between two.
    """

    # Of its request, if that waits for news; see `waiting_worker`.
    wait: Wait | None = None
    # The rest of its answer, if that is handed over; see `sending_worker`.
    sending: Any = None

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


class Connection(TConn):  # type: ignore[misc] # no type information is published
    """gunicorn's, which at its end waits for the client in the poller and not in the thread that polls."""

    def __init__(self, worker: SlowClientWorker, *args: Any) -> None:
        super().__init__(worker.cfg, *args)
        self._worker = worker

    def close(self, graceful: bool = False) -> None:
        if graceful:
            self._worker.linger(self.sock)
        else:
            super().close()


class PlainReader(LengthReader):  # type: ignore[misc] # no type information is published
    """Reads the body of a request as it comes: gunicorn's reads ahead, and copies what it has again with every read.

    That took three quarters of what it costs to receive a file. Fewer bytes may come than are asked for.
    """

    def read(self, size: int) -> bytes:
        size = min(self.length, size)
        if size == 0:
            return b""
        data: bytes = self.unreader.take_buffered() or self.unreader.chunk(size)
        if len(data) > size:  # of the next request, or for the next read
            self.unreader.unread(data[size:])
            data = data[:size]
        self.length -= len(data)
        return data


class SlowClientWorker(ThreadWorker):  # type: ignore[misc] # no type information is published
    """gunicorn's gthread, with sockets that a slow client cannot keep waiting for ever."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Sockets whose client has its answer and is to close, and until when; the oldest first.
        self.lingering: dict[socket.socket, float] = {}

    def linger(self, client: socket.socket) -> None:
        """Say that this was all, and wait for the client to say so too. RFC 9112, 9.6.

        A close that comes first would take from it what it has not read yet.
        """
        try:
            client.shutdown(socket.SHUT_WR)
            client.setblocking(False)
        except OSError:
            client.close()
            return
        self.nr_conns += 1  # it is one still
        self.lingering[client] = time.monotonic() + LINGER_SECONDS
        self.poller.register(client, selectors.EVENT_READ, self.on_lingering_readable)

    def on_lingering_readable(self, client: socket.socket) -> None:
        try:
            is_over = not client.recv(DRAINED_BYTES)
        except BlockingIOError:
            return
        except OSError:
            is_over = True
        if is_over:
            self.end_lingering(client)

    def end_lingering(self, client: socket.socket) -> None:
        del self.lingering[client]
        self.poller.unregister(client)
        self.nr_conns -= 1
        client.close()

    def murder_pending(self) -> None:
        super().murder_pending()
        now = time.monotonic()
        for client in [each for each, until in self.lingering.items() if until <= now]:
            self.end_lingering(client)

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        """Read what is left of a body also where the connection is closed then.

        A close with unread bytes resets the connection, and a client that is still sending never
        sees its answer. gunicorn reads on for some seconds where it keeps the connection, and 64 KiB where not.
        """
        return super()._keepalive_after(conn, True) and keepalive

    def handle_request(self, req: Any, conn: TConn) -> Any:
        reader: Any = getattr(req.body, "reader", None)
        if type(reader) is LengthReader:
            req.body.reader = PlainReader(reader.unreader, reader.length)
        return super().handle_request(req, conn)

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
        conn = Connection(self, client, address, listener.getsockname())
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(
            client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn)
        )
