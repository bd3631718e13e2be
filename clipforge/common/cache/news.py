"""News between processes: Redis's publish and subscribe, for requests that wait.

News says only that something has changed; who hears it reads again. What is published while nobody
listens is lost, and nothing depends on it: whoever begins to listen reads afterwards.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import hiredis
from django.db import connection, transaction

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.redis import RedisError

READ_BYTES = 65536
# A server that has said nothing for so long is asked whether it is there, and has so long to say so.
QUIET_SECONDS = 5.0
PATIENCE_SECONDS = 1.0


def publish_on_commit(channel: str) -> None:
    """Tell whoever waits on the channel, once the transaction has committed; at once outside of one."""
    news = _News(channel)
    if connection.in_atomic_block and any(news == each[1] for each in connection.run_on_commit):
        return
    transaction.on_commit(news, robust=True)


@dataclass(frozen=True, slots=True)
class _News:
    channel: str

    def __call__(self) -> None:
        # Where it is lost, those that wait look again by themselves in the end.
        with contextlib.suppress(RedisError):
            default_cache().redis.ask("PUBLISH", self.channel, "")


class Listener:
    """The channels that a process listens to, on one connection.

    `open` may be called by any thread; all else by the one that polls `socket`.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.socket: Any = None
        self._clock = clock
        self._connection: Any = None
        self._opening = threading.Lock()
        self._reader = hiredis.Reader()
        self._heard_at = self._asked_at = 0.0

    def open(self) -> None:
        """Connect, if it is not connected. Raises RedisError."""
        with self._opening:
            if self.socket is not None:
                return
            pool = default_cache().redis.connection_pool
            admitted = pool.breaker.admit()
            made = pool.connection_class(**pool.connection_kwargs)
            try:
                made.connect()
            except RedisError as error:
                pool.note(error, admitted)
                raise
            self._connection, self._reader = made, hiredis.Reader()
            self._heard_at = self._asked_at = self._clock()
            made._sock.setblocking(False)
            self.socket = made._sock

    def close(self) -> None:
        with self._opening:
            made, self._connection, self.socket = self._connection, None, None
        if made is not None:
            made.disconnect()

    def subscribe(self, channel: str) -> None:
        """Raises OSError."""
        self._send("SUBSCRIBE", channel)

    def unsubscribe(self, channel: str) -> None:
        """Raises OSError."""
        self._send("UNSUBSCRIBE", channel)

    def read(self) -> Iterator[tuple[str, str]]:
        """News that came: ("subscribe", channel) once it is heard, ("message", channel) for news.

        Raises OSError when the connection is no good any more.
        """
        try:
            while received := self.socket.recv(READ_BYTES):
                self._heard_at = self._clock()
                self._reader.feed(received)
                while (said := self._reader.gets()) is not False:
                    if isinstance(said, list) and said[0] in {b"subscribe", b"message"}:
                        yield said[0].decode(), said[1].decode()
            raise ConnectionError("Redis closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except hiredis.ProtocolError as error:
            raise ConnectionError(str(error)) from error

    def require_life(self) -> None:
        """Ask a server that was quiet for long whether it is there. Raises OSError if it did not answer."""
        now = self._clock()
        if now - self._heard_at < QUIET_SECONDS:
            return
        if self._asked_at <= self._heard_at:
            self._asked_at = now
            self._send("PING")
        elif now - self._asked_at >= PATIENCE_SECONDS:
            raise TimeoutError("Redis is silent")

    def _send(self, *words: str) -> None:
        packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type] # of any length
        self.socket.sendall(packed)
