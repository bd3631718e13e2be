"""Requests that wait for news and hold no thread meanwhile: the application's side.

A view that has nothing new for its client may *park* its answer. The server then keeps the
connection and nothing else, and runs the request again, free of charge, once its channel has news:
every answer is made by a run, and a run that finds nothing new either parks again. The order is
subscribe, read, park: after the first run the server subscribes and runs the request once more, so
that nothing is lost that happens between the reading and the subscription.

The server's side is `clipforge.common.waiting_worker`. Under any other server nothing is parked.
Imported before Django is set up.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

from clipforge.common.errors import RateLimited, Unavailable

# In the environment of a request that may wait.
KEY = "clipforge.wait"
# Set on an answer that waits. The answer itself is never sent.
PARKED = "is_parked"
# When to ask again, where waiting is not possible. Seconds.
RETRY_SECONDS = 5


class Room:
    """The places of a process for requests that wait.

    `hears` says whether news would be heard now; it may connect first.
    """

    def __init__(self, *, most: int, most_of_one: int, hears: Callable[[], bool]) -> None:
        self.most, self.most_of_one, self._hears = most, most_of_one, hears
        self.is_closed = False
        self._lock = threading.Lock()
        self._taken: Counter[Hashable] = Counter()

    @property
    def is_open(self) -> bool:
        return not self.is_closed and self._hears()

    def enter(self, owner: Hashable) -> None:
        """Take a place. Raises RateLimited where `owner` has all of its own, Unavailable where all are taken."""
        with self._lock:
            if self._taken[owner] >= self.most_of_one:
                raise RateLimited(
                    f"At most {self.most_of_one} requests of an organization wait at the same time."
                    " Ask without `wait`.",
                    code="too_many_waiting",
                    retry_after=RETRY_SECONDS,
                    limit="waiting",
                    quota=self.most_of_one,
                )
            if self._taken.total() >= self.most:
                raise Unavailable(
                    "Too many requests wait here. Ask without `wait`.",
                    code="no_place_to_wait",
                    retry_after=RETRY_SECONDS,
                )
            self._taken[owner] += 1

    def leave(self, owner: Hashable) -> None:
        with self._lock:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]


class Wait:
    """The wait of one request, from its first run to its answer."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.owner: Hashable = None
        self.channels: tuple[str, ...] = ()
        # Of the server: the request as it was parsed.
        self.request: Any = None
        # Of the first run: later ones are not charged.
        self.admission: Any = None
        self.until = self.look_at = 0.0
        self.is_over = False

    @property
    def has_begun(self) -> bool:
        return self.owner is not None

    def park(
        self,
        answer: Any,
        *,
        owner: Hashable,
        channel: str,
        also: tuple[str, ...] = (),
        seconds: float,
        look_every: float,
    ) -> bool:
        """Park `answer` until there is news on `channel`, or on one of `also`.

        False: the time is up, or nobody may wait now. It is looked at every `look_every` seconds without news too. Raises what `Room.enter` raises.
        """
        now = time.monotonic()
        if self.is_over or (self.has_begun and now >= self.until) or not self.room.is_open:
            return False
        if not self.has_begun:
            self.room.enter(owner)
            self.owner, self.channels, self.until = owner, (channel, *also), now + seconds
        self.look_at = min(self.until, now + look_every)
        setattr(answer, PARKED, True)
        return True

    def end(self) -> None:
        """Give the place back. Repeating it changes nothing."""
        if self.has_begun:
            self.room.leave(self.owner)
            self.owner = None


def wait_of(request: Any) -> Wait | None:
    """The wait of a request; None where it asked for none, or the server cannot park."""
    wait: Wait | None = request.META.get(KEY)
    return wait


def is_parked(answer: Any) -> bool:
    return getattr(answer, PARKED, False)
