"""The gunicorn worker whose threads no slow reader of a long answer can occupy.

An answer may ask to be *handed over* (`clipforge.common.sending`): its status and headers are sent as ever, and its body
piece by piece. A thread makes a piece and sends as much as the client takes; while the client takes no
more, the connection is in the poller and has no thread. Afterwards it is closed.

Under any other server such an answer is sent as any other.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn

from clipforge.common.slow_clients import SEND_SECONDS, SlowClientSocket, SlowClientWorker

# After so many bytes others have the thread, however fast the client is.
TURN_BYTES = 8 << 20

# What `handle` returns for a connection that has more to be sent.
SENDING = object()


class HandedOver(BaseException):
    """Leads out of gunicorn's way of sending a body."""


@dataclass(slots=True)
class Sending:
    """The rest of an answer."""

    answer: Any
    is_chunked: bool
    pieces: Iterator[bytes]
    # Of the piece that is being sent.
    left: memoryview = field(default_factory=lambda: memoryview(b""))
    has_more: bool = True
    # Whether the client has to read before it goes on; and since when it has not.
    is_full: bool = False
    full_since: float = 0.0
    is_over: bool = False

    def push(self, client: socket.socket) -> bool:
        """Send what the client takes, for a turn at the most. False: all was sent. Raises OSError."""
        self.is_full, sent = False, 0
        while sent < TURN_BYTES:
            if not self.left and not self._make_piece():
                return False
            try:
                taken = client.send(self.left)
            except BlockingIOError:
                self.is_full, self.full_since = True, time.monotonic()
                return True
            self.left = self.left[taken:]
            sent += taken
        return True

    def _make_piece(self) -> bool:
        while self.has_more:
            piece = next(self.pieces, None)
            self.has_more = piece is not None
            if piece or (piece is None and self.is_chunked):
                self.left = memoryview(self._framed(piece or b""))
                return True
        return False

    def _framed(self, piece: bytes) -> bytes:
        """The piece as RFC 9112, 7.1 frames it; nothing is the end."""
        return b"%X\r\n%b\r\n" % (len(piece), piece) if self.is_chunked else piece


class SendingWorker(SlowClientWorker):
    """gunicorn's gthread, with slow clients kept off, and bodies that no thread waits to send."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # In the poller, until they can be written to.
        self.full: dict[TConn, Sending] = {}

    # --- in the threads --------------------------------------------------------------------

    def begin_sending(self, answer: Any, start_response: Any, client: SlowClientSocket) -> None:
        """Send the head of an answer, and leave its body to the connection. Raises HandedOver."""
        head = start_response.__self__
        head.force_close()
        try:
            head.send_headers()
        except BaseException:
            answer.close()
            raise
        client.sending = Sending(answer, head.chunked, iter(answer))
        raise HandedOver

    def handle(self, conn: TConn) -> Any:
        if conn.sock.sending is None:
            return super().handle(conn)
        return self._push(conn)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        try:
            return super().handle_request(req, conn)
        except HandedOver:
            return self._push(conn)

    def _push(self, conn: TConn) -> Any:
        sending: Sending = conn.sock.sending
        try:
            conn.sock.setblocking(False)
            if not sending.is_over and sending.push(conn.sock):
                return SENDING
        except OSError:
            self.log.debug("A reader has gone.")
        except Exception:
            # Without its last chunk the client knows that it is not whole.
            self.log.exception("Error sending an answer")
        conn.sock.sending = None
        with contextlib.suppress(Exception):
            sending.answer.close()
        return False

    def _keepalive_after(self, conn: TConn, keepalive: Any) -> Any:
        return SENDING if keepalive is SENDING else super()._keepalive_after(conn, keepalive)

    # --- in the one that polls -------------------------------------------------------------

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        sending = conn.sock.sending
        if sending is None:
            super().finish_request(conn, fs)
        elif sending.is_full:
            self.full[conn] = sending
            self.poller.register(conn.sock, selectors.EVENT_WRITE, partial(self._on_writable, conn))
        else:
            self.enqueue_req(conn)  # behind those that wait for a thread

    def _on_writable(self, conn: TConn, client: socket.socket) -> None:
        if self.full.pop(conn, None) is not None:
            self.poller.unregister(client)
            self.enqueue_req(conn)

    def murder_pending(self) -> None:
        super().murder_pending()
        limit = time.monotonic() - SEND_SECONDS
        for conn in [conn for conn, each in self.full.items() if each.full_since <= limit]:
            conn.sock.sending.is_over = True
            self._on_writable(conn, conn.sock)
