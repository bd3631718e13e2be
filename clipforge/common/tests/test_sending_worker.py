"""Answers that are handed over to the server: sent piece by piece, as their client reads."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from clipforge.common import sending_worker, slow_clients
from clipforge.common.sending import KEY, Handover, handed_over
from clipforge.common.sending_worker import SENDING, Sending, SendingWorker
from clipforge.common.slow_clients import SlowClientSocket

PIECE = bytes(range(256)) * 1024
MANY = 64


class Answer:
    def __init__(self, pieces: list[Any]) -> None:
        self.pieces, self.closed = pieces, 0

    def __iter__(self) -> Iterator[bytes]:
        for each in self.pieces:
            yield each() if callable(each) else each

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def pair() -> Iterator[tuple[SlowClientSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    server = SlowClientSocket(ours)
    server.setblocking(False)
    with server, theirs:
        yield server, theirs


@pytest.fixture
def worker() -> Iterator[SendingWorker]:
    config = Config()
    made = SendingWorker(1, os.getppid(), [], None, 30, config, Logger(config))
    yield made
    made.tmp.close()


class Conn:
    def __init__(self, sock: SlowClientSocket) -> None:
        self.sock = sock


def sending(answer: Answer, *, is_chunked: bool = True) -> Sending:
    return Sending(answer, is_chunked, iter(answer))


def drained(client: socket.socket) -> bytes:
    client.setblocking(False)
    got = b""
    while True:
        try:
            more = client.recv(1 << 20)
        except BlockingIOError:
            return got
        if not more:
            return got
        got += more


def all_of(each: Sending, server: socket.socket, client: socket.socket) -> bytes:
    got = b""
    while each.push(server):
        assert each.is_full
        got += drained(client)
    return got + drained(client)


def test_a_client_that_reads_slowly_gets_all_of_it(pair):
    server, client = pair
    each = sending(Answer([PIECE, b"", *[PIECE] * (MANY - 1)]), is_chunked=False)
    assert all_of(each, server, client) == PIECE * MANY


def test_pieces_are_chunks_with_an_end_and_an_empty_one_is_none(pair):
    server, client = pair
    each = sending(Answer([b"first", b"", b"second!"]))
    assert each.push(server) is False
    assert drained(client) == b"5\r\nfirst\r\n7\r\nsecond!\r\n0\r\n\r\n"


def test_others_have_the_thread_after_a_turn(pair, monkeypatch: pytest.MonkeyPatch):
    server, client = pair
    monkeypatch.setattr(sending_worker, "TURN_BYTES", 3)
    each = sending(Answer([b"abc", b"def"]), is_chunked=False)
    turns = [(each.push(server), each.is_full) for _ in range(3)]
    assert turns == [(True, False), (True, False), (False, False)]
    assert drained(client) == b"abcdef"


def broken() -> bytes:
    raise OSError("the disk")


def wrong() -> bytes:
    raise ValueError("a fault")


@pytest.mark.parametrize("fault", [broken, wrong])
def test_an_answer_that_breaks_off_has_no_last_chunk_and_is_closed_once(
    worker, pair, fault: Callable[[], bytes]
):
    server, client = pair
    answer = Answer([b"first", fault])
    server.sending = sending(answer)
    assert worker.handle(Conn(server)) is False
    assert (answer.closed, server.sending) == (1, None)
    assert drained(client) == b"5\r\nfirst\r\n"


def test_who_hangs_up_ends_it(worker, pair):
    server, client = pair
    answer = Answer([PIECE] * MANY)
    server.sending, conn = sending(answer), Conn(server)
    assert worker.handle(conn) is SENDING
    client.close()
    assert worker.handle(conn) is False
    assert (answer.closed, server.sending) == (1, None)


def test_who_reads_nothing_for_a_minute_is_cut_off(worker, pair, monkeypatch: pytest.MonkeyPatch):
    server, _ = pair
    answer = Answer([PIECE] * MANY)
    server.sending, conn = sending(answer), Conn(server)
    asked: list[Any] = []
    worker.poller = SimpleNamespace(register=lambda *_: None, unregister=lambda _: None)
    monkeypatch.setattr(worker, "enqueue_req", asked.append)
    assert worker.handle(conn) is SENDING
    worker.finish_request(conn, SimpleNamespace())
    now = server.sending.full_since + slow_clients.SEND_SECONDS
    for moment, cut_off in ((now - 0.001, []), (now, [conn])):
        monkeypatch.setattr("time.monotonic", lambda moment=moment: moment)
        worker.murder_pending()
        assert asked == cut_off
    assert worker.handle(conn) is False
    assert (answer.closed, worker.full) == (1, {})


def test_a_view_learns_whether_its_answer_will_be_handed_over():
    assert handed_over({}) is False
    environ = {KEY: Handover()}
    assert environ[KEY].is_wanted is False
    assert handed_over(environ) is True
    assert environ[KEY].is_wanted is True
