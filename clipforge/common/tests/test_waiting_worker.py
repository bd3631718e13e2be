"""The worker that keeps requests waiting, where its poller sees several things at once.

It is driven by hand, through what the service has too: a real client, threads, and Redis.
"""

from __future__ import annotations

import os
import select
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from clipforge.common.cache.backend import default_cache
from clipforge.common.waiting import KEY
from clipforge.common.waiting_worker import WaitingWorker

CHANNEL = "test:news"


class Answer(list[bytes]):
    """Nothing new."""

    def close(self) -> None: ...


class InOrder(selectors.DefaultSelector):
    """Tells of what it saw at once in an order that a test chooses."""

    first: socket.socket | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return sorted(super().select(timeout), key=lambda seen: seen[0].fileobj is not self.first)


class Driven:
    """A worker with one thread, whose application waits for news that never come."""

    def __init__(self) -> None:
        self.runs = 0
        self.may_run = threading.Event()
        self.may_run.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        config = Config()
        config.set("threads", 1)
        app = SimpleNamespace(wsgi=lambda: self.application)
        self.worker = WaitingWorker(
            1, os.getppid(), [self.listener], app, 30, config, Logger(config)
        )
        self.worker.tpool = self.worker.get_thread_pool()
        self.poller = self.worker.poller = InOrder()
        self.worker.method_queue.init()
        self.poller.register(
            self.worker.method_queue.fileno(),
            selectors.EVENT_READ,
            self.worker.method_queue.run_callbacks,
        )
        self.worker.load_wsgi()

    def application(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.may_run.wait()
        self.runs += 1
        answer, wait = Answer(), environ[KEY]
        if wait.park(answer, owner="one", channel=CHANNEL, seconds=30, look_every=30):
            return answer
        start_response("304 Not Modified", [])
        return []

    def parked(self) -> tuple[socket.socket, Any]:
        """A client whose request waits and is listened for; and its connection here."""
        client = socket.create_connection(self.listener.getsockname())
        client.sendall(b"GET /?wait=30 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.worker.accept(self.listener)
        self.until(lambda: self.runs == 2 and self.guests != [] and self.guests[0].is_parked)
        return client, self.guests[0].conn

    @property
    def guests(self) -> list[Any]:
        return list(self.worker.lobby._guests.values())

    @property
    def redis(self) -> socket.socket:
        polled = self.worker.lobby._polled
        assert polled is not None
        return polled

    def turn(self) -> None:
        self.worker.wait_for_and_dispatch_events(1)

    def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(100):
            if holds():
                return
            self.turn()
        raise AssertionError("it never held")

    def close(self) -> None:
        self.may_run.set()
        self.worker.tpool.shutdown()
        self.worker.lobby._listener.close()
        self.worker.method_queue.close()
        self.worker.tmp.close()
        self.poller.close()
        self.listener.close()


@pytest.fixture
def driven() -> Iterator[Driven]:
    made = Driven()
    yield made
    made.close()


def both_are_readable(*sockets: socket.socket) -> None:
    for each in sockets:
        assert select.select([each], [], [], 30)[0]


def test_who_goes_as_its_news_come_is_left_to_the_thread_that_looks(driven):
    client, conn = driven.parked()
    driven.may_run.clear()
    default_cache().redis.ask("PUBLISH", CHANNEL, "")
    client.close()
    both_are_readable(driven.redis, conn.sock)
    driven.poller.first = driven.redis
    driven.turn()
    assert (conn.sock.fileno() != -1, driven.worker.nr_conns) == (True, 1)
    driven.may_run.set()
    driven.until(lambda: driven.worker.nr_conns == 0)
    assert (driven.guests, driven.worker.room._taken) == ([], {})
    assert (driven.runs, conn.sock.fileno()) == (3, -1)


def test_the_last_that_listened_goes_as_redis_does(driven):
    client, conn = driven.parked()
    client.close()
    driven.redis.shutdown(socket.SHUT_RDWR)
    both_are_readable(driven.redis, conn.sock)
    driven.poller.first = conn.sock
    driven.turn()
    assert (driven.guests, driven.worker.room._taken, driven.worker.nr_conns) == ([], {}, 0)
    assert driven.worker.lobby._polled is None
