"""The gunicorn worker that keeps requests waiting without a thread each.

The connection of a parked request goes back to the poller, where those are that wait for their next
request. It comes out of it, and its request is run once more in a thread, when its channel has news,
when its time is up, when this process ends or the connection to Redis does. A client that goes away
is seen by the poller, and its place is free.

All of this happens in the thread that polls, the connection to Redis included; only the
runs are in others.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import socket
import time
from collections import defaultdict
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.workers.gthread import TConn

from clipforge.common.sending import KEY as HANDOVER
from clipforge.common.sending import Handover
from clipforge.common.sending_worker import SendingWorker
from clipforge.common.slow_clients import SlowClientSocket
from clipforge.common.waiting import KEY, Room, Wait, is_parked

if TYPE_CHECKING:  # needs Django, which is set up after this is imported
    from clipforge.common.cache.news import Listener

# Set by gunicorn.conf.py before workers are forked.
most_waiting = 500
most_waiting_of_one = 100

# What `handle` returns for a request that is parked.
PARKED = object()


class Parked(BaseException):
    """Leads out of gunicorn's way of answering a request: nothing is sent yet."""


class Repeated:
    """A parser whose next request is one that it has parsed before."""

    def __init__(self, parser: Any, request: Any) -> None:
        self._parser, self._request = parser, request

    def __next__(self) -> Any:
        return self._request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


class WaitingWorker(SendingWorker):
    """gunicorn's gthread, with slow clients kept off, and requests that wait."""

    def load_wsgi(self) -> None:
        super().load_wsgi()
        from clipforge.common.cache.news import Listener  # Django is set up now

        self.lobby = Lobby(self, Listener())
        self.room = Room(
            most=most_waiting, most_of_one=most_waiting_of_one, hears=self.lobby.connect
        )
        self.application: Any = self.wsgi
        self.wsgi: Any = self.serve

    # --- in the threads --------------------------------------------------------------------

    def handle(self, conn: TConn) -> Any:
        wait = conn.sock.wait
        if wait is None:
            return super().handle(conn)
        parser, conn.parser = conn.parser, Repeated(conn.parser, wait.request)
        try:
            return super().handle(conn)
        finally:
            conn.parser = parser

    def handle_request(self, req: Any, conn: TConn) -> Any:
        try:
            return super().handle_request(req, conn)
        except Parked:
            conn.sock.wait.request = req
            return PARKED

    def serve(self, environ: dict[str, Any], start_response: Any) -> Any:
        """The application; a request may wait that asks for it. Raises Parked for one that does."""
        client: SlowClientSocket = environ["gunicorn.socket"]
        if client.wait is None and "wait=" not in environ["QUERY_STRING"]:
            handover = environ[HANDOVER] = Handover()
            answer = self.application(environ, start_response)
            if handover.is_wanted:
                self.begin_sending(answer, start_response, client)
            return answer
        wait = environ[KEY] = client.wait or Wait(self.room)
        client.wait = None
        try:
            answer = self.application(environ, start_response)
            if is_parked(answer):
                answer.close()
                client.wait = wait
        finally:
            if client.wait is None:
                wait.end()
        if client.wait is not None:
            raise Parked
        return answer

    def _keepalive_after(self, conn: TConn, keepalive: Any) -> Any:
        return PARKED if keepalive is PARKED else super()._keepalive_after(conn, keepalive)

    # --- in the one that polls -------------------------------------------------------------

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        if conn.sock.wait is not None:
            self.lobby.park(conn)
        else:
            self.lobby.forget(conn)
            super().finish_request(conn, fs)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        super().wait_for_and_dispatch_events(min(timeout, self.lobby.seconds_until_due()))
        self.room.is_closed = not self.alive
        self.lobby.look_at_what_is_due()


@dataclass(eq=False, slots=True)
class Guest:
    """A connection with a request that waits, whether it is parked now or being looked at."""

    conn: TConn
    wait: Wait
    is_parked: bool = False
    # Came while it was being looked at.
    has_news: bool = False


class Lobby:
    """The guests of a worker, and the channels that they listen to.

    All of it belongs to the thread that polls, but `connect`.
    """

    def __init__(self, worker: WaitingWorker, listener: Listener) -> None:
        self._worker, self._listener = worker, listener
        self._polled: socket.socket | None = None
        self._guests: dict[TConn, Guest] = {}
        self._on: defaultdict[str, set[Guest]] = defaultdict(set)
        # Channels that were asked for, and those of them that are heard.
        self._asked: set[str] = set()
        self._heard: set[str] = set()
        # When to look at whom: an entry is of no use any more where its guest has another time.
        self._due: list[tuple[float, int, Guest]] = []
        self._number = itertools.count()

    def connect(self) -> bool:
        """Whether news is heard. Called by the threads."""
        from redis.exceptions import RedisError

        try:
            self._listener.open()
        except RedisError:
            return False
        return True

    def park(self, conn: TConn) -> None:
        """Keep a connection whose request was run and found nothing new."""
        guest = self._guests.get(conn) or self._receive(conn)
        for channel in guest.wait.channels:
            self._listen(channel)
        has_sent_more = conn.parser.unreader.buf.getvalue()
        if has_sent_more or not self._worker.alive:
            guest.wait.is_over = True
        if guest.has_news or guest.wait.is_over:
            self._look(guest)
            return
        conn.sock.setblocking(False)
        self._worker.poller.register(
            conn.sock, selectors.EVENT_READ, partial(self._on_readable, guest)
        )
        guest.is_parked = True
        heapq.heappush(self._due, (guest.wait.look_at, next(self._number), guest))

    def forget(self, conn: TConn) -> None:
        """Keep nothing of a connection. One that is not known changes nothing."""
        guest = self._guests.pop(conn, None)
        if guest is None:
            return
        self._unpark(guest)
        for channel in guest.wait.channels:
            self._on[channel].discard(guest)
            if not self._on[channel]:
                del self._on[channel]
                self._stop_listening(channel)

    def seconds_until_due(self) -> float:
        return max(0.0, self._due[0][0] - time.monotonic()) if self._due else float("inf")

    def look_at_what_is_due(self) -> None:
        """Look at those whose time has come, and at all once this process ends."""
        if not self._worker.alive:
            for guest in list(self._guests.values()):
                guest.wait.is_over = True
                self._wake(guest)
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            at, _, guest = heapq.heappop(self._due)
            if guest.is_parked and guest.wait.look_at == at:
                self._wake(guest)
        if self._polled is not None:
            try:
                self._listener.require_life()
            except OSError:
                self._lose()

    # --- guests ----------------------------------------------------------------------------

    def _receive(self, conn: TConn) -> Guest:
        wait = conn.sock.wait
        guest = self._guests[conn] = Guest(conn, wait)
        for channel in wait.channels:
            self._on[channel].add(guest)
        # It was read before anybody listened for it. Where nobody listens yet, it is looked at
        # once that is confirmed.
        guest.has_news = self._hears_all(guest)
        return guest

    def _wake(self, guest: Guest) -> None:
        """Run the request again, now or as soon as the run that is under way is done."""
        if guest.is_parked:
            self._unpark(guest)
            self._look(guest)
        else:
            guest.has_news = True

    def _look(self, guest: Guest) -> None:
        guest.has_news = False
        self._worker.enqueue_req(guest.conn)

    def _unpark(self, guest: Guest) -> None:
        if guest.is_parked:
            self._worker.poller.unregister(guest.conn.sock)
            guest.is_parked = False

    def _on_readable(self, guest: Guest, client: socket.socket) -> None:
        """The client has gone, or asks for something else and so waits no longer."""
        if not guest.is_parked:
            # Woken by what the poller saw together with this: a thread has the connection.
            return
        try:
            has_gone = not client.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            has_gone = True
        if not has_gone:
            guest.wait.is_over = True
            self._wake(guest)
            return
        self.forget(guest.conn)
        guest.wait.end()
        self._worker.nr_conns -= 1
        guest.conn.close()

    # --- channels --------------------------------------------------------------------------

    def _listen(self, channel: str) -> None:
        if channel in self._asked:
            return
        try:
            self._poll_listener()
            self._listener.subscribe(channel)
        except OSError:
            self._lose()
        else:
            self._asked.add(channel)

    def _stop_listening(self, channel: str) -> None:
        self._heard.discard(channel)
        if channel in self._asked:
            self._asked.discard(channel)
            try:
                self._listener.unsubscribe(channel)
            except OSError:
                self._lose()

    def _hears_all(self, guest: Guest) -> bool:
        return self._heard.issuperset(guest.wait.channels)

    def _poll_listener(self) -> None:
        """Raises OSError where it is not connected."""
        connected = self._listener.socket
        if connected is None:
            raise ConnectionError("not connected to Redis")
        if connected is not self._polled:
            self._worker.poller.register(connected, selectors.EVENT_READ, self._on_news)
            self._polled = connected

    def _on_news(self, connected: socket.socket) -> None:
        if connected is not self._polled:
            # Lost to what the poller saw together with this.
            return
        try:
            for what, channel in self._listener.read():
                if what == "subscribe" and channel in self._asked:
                    self._heard.add(channel)
                for guest in list(self._on.get(channel, ())):
                    if what != "subscribe" or self._hears_all(guest):
                        self._wake(guest)
        except OSError:
            self._lose()

    def _lose(self) -> None:
        """Redis is gone: whoever waits looks, and waits on only if it can be reached again."""
        if self._polled is not None:
            self._worker.poller.unregister(self._polled)
            self._polled = None
        self._listener.close()
        self._asked.clear()
        self._heard.clear()
        for guest in list(self._guests.values()):
            self._wake(guest)
