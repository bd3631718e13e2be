"""One way to reach Redis: short timeouts, no hidden retries, and a breaker in front.

Redis is a soft dependency. A dead or silent one costs a process one timeout; after that the
breaker answers at once with `Unreachable`, until a single probe finds that Redis is back.
A caller that catches `RedisError` has caught every fault.
"""

from __future__ import annotations

import functools
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from clipforge.common import telemetry
from clipforge.common.cache.lines import Line

__all__ = ["Breaker", "Client", "Pool", "RedisError", "Unreachable", "connect"]

# Seconds. On one network an answer takes well under a millisecond.
CONNECT_SECONDS = 0.2
ANSWER_SECONDS = 0.2
BYPASS_SECONDS = 0.05
# How long Redis is left alone after a fault, give or take a quarter: processes that lost it together
# do not come back together. Seconds.
COOL_DOWN_SECONDS = 1.0
# More than any process has threads: a leak is found here, not on the server.
MAX_CONNECTIONS = 500

logger = logging.getLogger("clipforge.redis")


class Unreachable(RedisConnectionError):
    """The breaker is open: Redis failed a moment ago and was not asked again."""


class Breaker:
    """Opens at the first fault. After a cool-down one caller may try; the others are still refused.

    One fault is enough: waiting for a second would cost some request a second timeout.
    """

    def __init__(
        self,
        *,
        cool_down: float = COOL_DOWN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cool_down = cool_down
        self._clock = clock
        self._lock = threading.Lock()
        self._closed_until: float | None = None  # None: working, every call passes
        self._faults = 0

    @property
    def is_open(self) -> bool:
        return self._closed_until is not None

    def admit(self) -> int:
        """Let the caller ask Redis. Returns the number to give to `succeeded`. Raises Unreachable."""
        if self._closed_until is None:
            return self._faults
        with self._lock:
            if self._closed_until is not None:
                if self._clock() < self._closed_until:
                    raise Unreachable("Redis failed a moment ago; it is left alone for a second.")
                self._leave_alone()  # for other callers, while this one tries
            return self._faults

    def succeeded(self, admitted: int | None = None) -> None:
        """Close the breaker, unless the caller was admitted before a fault: it knows nothing newer."""
        if self._closed_until is None:
            return
        with self._lock:
            if admitted in {None, self._faults}:
                self._closed_until = None

    def failed(self) -> None:
        with self._lock:
            self._faults += 1
            self._leave_alone()

    def _leave_alone(self) -> None:
        jitter = random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        self._closed_until = self._clock() + self._cool_down * jitter


class Pool(redis.ConnectionPool):
    """Connections of one process to one server, and the breaker that guards them all."""

    def __init__(self, *, breaker: Breaker | None = None, **kwargs: Any) -> None:
        self.breaker = breaker or Breaker()
        self._lines = threading.local()
        super().__init__(
            **{
                "max_connections": MAX_CONNECTIONS,
                # RESP2: the handshake of RESP3 costs four round trips a connection, for nothing here.
                "protocol": 2,
                # It introduces itself with two more, which a silent server would not answer.
                "driver_info": None,
                # redis-py retries ten times by default: seven seconds for one silent server.
                "retry": Retry(NoBackoff(), 0),
                "socket_connect_timeout": CONNECT_SECONDS,
                "socket_timeout": ANSWER_SECONDS,
                **kwargs,
            }
        )

    def note(self, error: RedisError, admitted: int) -> None:
        """Tell the breaker what became of a call that it had admitted."""
        match error:
            case MaxConnectionsError():  # ours, not a fault of Redis: it was not asked
                return
            case RedisConnectionError() | RedisTimeoutError():
                self.breaker.failed()
                if telemetry.recorder:
                    telemetry.recorder.redis_failed()
                # A line for each wait, so that those of a request can be added up.
                logger.warning(
                    "Redis did not answer",
                    extra={
                        "error": type(error).__name__,
                        "patience": self.connection_kwargs["socket_timeout"],
                    },
                )
            case _:  # it answered, if only that it does not know a script
                self.breaker.succeeded(admitted)

    @property
    def line(self) -> Line:
        """The connection of this thread for single commands; it is not of the pool's number."""
        try:
            return cast("Line", self._lines.line)
        except AttributeError:
            line = self._lines.line = Line(self.connection_class(**self.connection_kwargs))
            return line


class Client(redis.Redis):
    """A client whose every call goes through the breaker of its pool."""

    connection_pool: Pool

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return _guarded(
            self.connection_pool,
            lambda: redis.Redis.execute_command(self, *args, **options),  # type: ignore[no-untyped-call]
        )

    def ask(self, *words: Any) -> Any:
        """The answer to one command as Redis gives it. In a request it costs a third of the above."""
        pool = self.connection_pool
        admitted = pool.breaker.admit()
        try:
            answer = pool.line.ask(words)
        except RedisError as error:
            pool.note(error, admitted)
            raise
        pool.breaker.succeeded(admitted)
        return answer

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> GuardedPipeline:
        return GuardedPipeline(
            self.connection_pool, self.response_callbacks, transaction, shard_hint
        )


class GuardedPipeline(Pipeline):
    connection_pool: Pool

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        answers: list[Any] = _guarded(
            self.connection_pool, lambda: Pipeline.execute(self, raise_on_error)
        )
        return answers


def connect(url: str) -> Client:
    """A client of its own pool, for tools and tests; the application uses the cache's."""
    return Client(connection_pool=Pool.from_url(url))


@functools.cache
def bypass_breaker(url: str) -> Client:
    """A client that asks although the breaker is open; for invalidations.

    A silent Redis costs it BYPASS_SECONDS each time.
    """
    return Client(
        connection_pool=Pool.from_url(
            url,
            breaker=Breaker(cool_down=0),
            socket_connect_timeout=BYPASS_SECONDS,
            socket_timeout=BYPASS_SECONDS,
        )
    )


def _guarded(pool: Pool, call: Callable[[], Any]) -> Any:
    admitted = pool.breaker.admit()
    try:
        answer = call()
    except RedisError as error:
        pool.note(error, admitted)
        raise
    pool.breaker.succeeded(admitted)
    return answer
