"""Connections for the one round trip of a request, without the layers of redis-py.

redis-py makes the connection: address, password, TLS and timeouts are its own. Asking through it
costs three times what hiredis needs to pack a command and read an answer: pool, locks, metrics,
callbacks and retries, of which there are none here. The breaker is asked by the caller, as for any
other command.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
from typing import Any

import hiredis
from redis._parsers.base import BaseParser
from redis.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as RedisTimeoutError

READ_BYTES = 65536


class Line:
    """A connection of one thread, opened when it is first asked and again whenever it broke."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection: Any = connection
        self._socket: socket.socket | None = None
        self._poller = select.poll()
        self._reader = _new_reader()
        self._pid = 0

    def ask(self, words: tuple[Any, ...]) -> Any:
        """The answer to one command. Raises RedisError: what redis-py raises for the same."""
        asked = self._open()
        try:
            self.send(asked, hiredis.pack_command(words))
            answer = self._reader.gets()
            while answer is False:
                received = asked.recv(READ_BYTES)
                if not received:
                    raise RedisConnectionError("Connection closed by server.")
                self._reader.feed(received)
                answer = self._reader.gets()
        # What is half sent or half read is nobody's answer: the next command has a new connection.
        except (BlockingIOError, TimeoutError) as error:
            self.close()
            raise RedisTimeoutError("Timeout reading from socket") from error
        except OSError as error:
            self.close()
            raise RedisConnectionError(f"Error while asking: {error}") from error
        except BaseException:
            self.close()
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    def send(self, asked: socket.socket, packed: bytes) -> None:
        """Send a packed command. Tests see here what is sent."""
        asked.sendall(packed)

    def close(self) -> None:
        self._socket = None
        self._connection.disconnect()

    def _open(self) -> socket.socket:
        """The socket, of a new connection if this is the first command or the server closed the old.

        Between two commands nothing is to be read; what is readable then is the end.
        """
        if self._socket is not None and self._pid == os.getpid() and not self._poller.poll(0):
            return self._socket
        self._connection.disconnect()
        self._connection.connect()
        opened: socket.socket = self._connection._sock
        self._reader = _new_reader()
        if not isinstance(opened, ssl.SSLSocket):
            _let_kernel_time_out(opened)
        self._poller = select.poll()
        self._poller.register(opened, select.POLLIN)
        self._socket, self._pid = opened, os.getpid()
        return opened


def _new_reader() -> Any:
    return hiredis.Reader(protocolError=InvalidResponse, replyError=BaseParser.parse_error)


def _let_kernel_time_out(opened: socket.socket) -> None:
    """Python asks before each read and write whether it may; the kernel limits them all the same.

    Each of these questions lets another thread take the interpreter.
    """
    seconds = opened.gettimeout() or 0.0
    whole = int(seconds)
    limit = struct.pack("ll", whole, int((seconds - whole) * 1_000_000))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    opened.setblocking(True)
