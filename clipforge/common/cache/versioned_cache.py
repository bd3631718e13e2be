"""Cached values that are never older than the last commit.

Deleting a key after a commit is not enough: a reader that was slower than the writer puts back
what it read before, and a writer that dies between COMMIT and the delete leaves the old value.
Here every value carries the *version* of the row that it was made of, a number that grows with
every change, and beside it lives a *version floor*: the highest version that was announced.

    read         a hit, or the *fill token* of the floor
    load         the value and its version, from the database
    store        refused if the version is below the floor, or the floor has another fill token
    invalidate   raises the floor and deletes the value: inside the transaction, so that a writer
                 that dies after COMMIT has announced its version, and again after it, should the
                 floor have been lost meanwhile; it cannot be within AGAIN_AFTER of the first time

A rollback leaves the floor too high: values are then loaded but not stored until it ends, which
is slow for two minutes and never wrong. If Redis restarts or is emptied, floors begin again with
new fill tokens, and nothing that was read before is stored; nor is anything for two seconds after,
in which transactions end that announced their changes to the old one.

An invalidation is tried although the breaker is open: it may be open because of a moment's delay
between this process and Redis, while others read from it. One that fails all the same is kept and
sent as soon as this process reaches Redis again; should the process die before that, and Redis have
kept the value, it lives for its `seconds` at the most.

The fill token is the lease of "Scaling Memcache at Facebook" (NSDI 2013), section 3.2.1.
"""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from django.db import connection, transaction

from clipforge.common.cache.log import log_operation, record
from clipforge.common.cache.redis import Client, RedisError
from clipforge.common.cache.scripts import Script
from clipforge.common.cache.singleflight import Singleflight

# Life of a floor. Milliseconds. Longer than a transaction that raised it may be left open
# (idle_in_transaction_session_timeout is one minute). A value may outlive its floor: what changes it
# makes another, and deletes it.
FLOOR_MS = 120_000
# A Redis without memory stores nothing for so long. Milliseconds.
YOUNG_MS = 2_000
# A floor that was raised so long ago may be gone when the transaction has committed. Seconds. Below
# both lives above, with room for the commit itself: a Redis that lost it meanwhile stores nothing yet,
# and ours never drop a key before its end (maxmemory-policy noeviction).
AGAIN_AFTER = 1.0
BORN_KEY = "versioned_cache:born"
# Of the key of a floor. Stored, and read by releases that run beside one another: it keeps its name.
FLOOR_SUFFIX = ":guard"
# One rebuilder at a time; one that died is replaced after this. Milliseconds.
LOCK_MS = 5_000
# Values that were stored together do not end together.
JITTER = 0.05


LUA = Path(__file__).parent / "lua"
READ, STORE, INVALIDATE = (Script(LUA / f"{name}.lua") for name in ("read", "store", "invalidate"))


class Versioned(NamedTuple):
    """The value that a loader returns, anything JSON can hold, and the version of its row.

    `seconds` is for how long this value may be kept, from before it was loaded on, where that depends on it.
    """

    value: Any
    version: int
    seconds: float | None = None


class VersionedCache:
    """The versioned operations of the cache backend."""

    redis: Client
    bypass_breaker: Client

    def get_or_load(
        self,
        key: str,
        load: Callable[[], Versioned],
        *,
        seconds: float,
        grace: float = 0,
        found: bytes | None = None,
    ) -> Any:
        """The cached value, else what `load` returns, kept for `seconds` or as long as that says.

        With `grace`, a value lives that many seconds longer; meanwhile one caller at a time loads
        it anew and all others are served the old one at once. Where there is no old one, one
        thread at a time of each process loads it for all that wait. Redis faults are survived:
        then this is `load`. Inside a transaction nothing is stored: it might be rolled back.

        `found` is the value that another script read under the key just now, after
        `flush_pending_invalidations`: a hit, without asking again. It must not have crossed a commit
        of the caller's own.
        """
        lookup = self._look_up(key, grace) if found is None else _Lookup("hit", json.loads(found))
        record(key, lookup.outcome)
        if lookup.outcome == "hit":
            return lookup.value

        def fill() -> Any:
            started = time.perf_counter()
            loaded = load()
            record(key, "fill")
            record(key, "fill_us", round((time.perf_counter() - started) * 1_000_000))
            life = _life(loaded, seconds, time.perf_counter() - started) + grace
            if lookup.fill_token and life >= 0.001 and not connection.in_atomic_block:
                self._store(key, loaded, lookup.fill_token, math.floor(life * 1000))
            return loaded.value

        # A transaction reads its own rows, which no other thread may be given.
        return _fills.do(key, fill) if grace and not connection.in_atomic_block else fill()

    def invalidate(self, key: str, version: int) -> None:
        """Refuse values older than `version` from now on. Call in the transaction that made it."""
        self.invalidate_all({key: version})

    def invalidate_all(self, versions: dict[str, int]) -> None:
        """As `invalidate`, of several keys in one round trip.

        A transaction that did not reach Redis once asks no more before it has committed, and then
        once for all keys: however many it changes, it waits for two timeouts at most.
        """
        if not connection.in_atomic_block:
            self._raise_floors(versions)
            return
        known = self._announced()
        if known is not None:
            versions = {k: v for k, v in versions.items() if not known.covers(k, v)}
        if not versions:
            return
        again = known or _RaiseFloorsAgain(self)
        asked_at = time.monotonic()
        if again.gave_up:
            _remember(versions)
        else:
            again.gave_up = not self._raise_floors(versions)
        until = -math.inf if again.gave_up else asked_at + AGAIN_AFTER
        again.floors |= {key: _Floor(version, until) for key, version in versions.items()}
        if known is None:
            transaction.on_commit(again, robust=True)

    def is_announced(self, key: str) -> bool:
        """Whether this transaction has announced a change of the value already."""
        known = self._announced()
        return known is not None and key in known.floors

    def _announced(self) -> _RaiseFloorsAgain | None:
        """All that this transaction has announced, and did not roll back."""
        entries = (entry[1] for entry in connection.run_on_commit)
        return next(
            (
                each
                for each in entries
                if isinstance(each, _RaiseFloorsAgain) and each.cache is self
            ),
            None,
        )

    def fill_token(self, key: str) -> str:
        """With which a value under the floor of this key may be stored; empty where none may be."""
        return self._look_up(key, 0).fill_token

    def flush_pending_invalidations(self) -> None:
        """Repeat the invalidations that did not reach Redis. Raises RedisError, and keeps them."""
        if not _pending:
            return
        with _pending_lock:
            pending = dict(_pending)
        _send(self.redis, pending)
        with _pending_lock:
            for key, version in pending.items():
                if _pending.get(key) == version:
                    del _pending[key]

    def _look_up(self, key: str, grace: float) -> _Lookup:
        started, outcome = time.perf_counter(), "error"
        try:
            self.flush_pending_invalidations()
            answer = READ.run(
                self.redis,
                [*_keys(key), BORN_KEY],
                [round(grace * 1000), FLOOR_MS, LOCK_MS, YOUNG_MS],
            )
        except RedisError:
            return _Lookup("error", None)
        else:
            outcome = answer[0].decode()
            value = None if outcome == "miss" else json.loads(answer[1])
            return _Lookup(outcome, value, "" if outcome == "hit" else answer[-1].decode())
        finally:
            log_operation("get_or_load", key, outcome, started)

    def _store(self, key: str, loaded: Versioned, fill_token: str, life_ms: int) -> None:
        started, outcome = time.perf_counter(), "error"
        try:
            stored = STORE.run(
                self.redis,
                _keys(key),
                [
                    json.dumps(loaded.value),
                    loaded.version,
                    life_ms,
                    fill_token,
                    FLOOR_MS,
                ],
            )
        except RedisError:
            record(key, "error")
        else:
            outcome = "stored" if stored else "refused"
            if not stored:
                record(key, "refused")
        finally:
            log_operation("store", key, outcome, started)

    def _raise_floors(self, versions: dict[str, int]) -> bool:
        """False: Redis was not reached, and hears of it later."""
        started, outcome = time.perf_counter(), "error"
        breaker_is_open = self.redis.connection_pool.breaker.is_open
        try:
            _send(self.bypass_breaker if breaker_is_open else self.redis, versions)
            outcome = "ok"
        except RedisError:
            _remember(versions)
        finally:
            for key in versions:
                record(key, "invalidation" if outcome == "ok" else "error")
                log_operation("invalidate", key, outcome, started)
        return outcome == "ok"


class _Floor(NamedTuple):
    version: int
    until: float  # by the monotonic clock: until then it need not be raised again


@dataclass(slots=True, eq=False)
class _RaiseFloorsAgain:
    """The invalidations of a transaction, repeated after its commit in one round trip.

    One is in the hooks of the transaction: a rollback to before it was put there takes it away, and what
    came later with it.
    """

    cache: VersionedCache
    floors: dict[str, _Floor] = field(default_factory=dict)
    gave_up: bool = False

    def __call__(self) -> None:
        now = time.monotonic()
        due = {key: floor.version for key, floor in self.floors.items() if now >= floor.until}
        if due:
            self.cache._raise_floors(due)

    def covers(self, key: str, version: int) -> bool:
        """Whether the same, or a higher one, was registered before."""
        return key in self.floors and self.floors[key].version >= version


class _Lookup(NamedTuple):
    outcome: str  # hit, old, miss or error
    value: Any  # None after a miss and an error
    fill_token: str = ""  # empty after a hit, and where nothing may be stored yet


def _life(loaded: Versioned, seconds: float, passed: float) -> float:
    """For how long the value is kept; what says so itself never longer, though loading it took a while."""
    if loaded.seconds is None:
        return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
    return loaded.seconds * random.uniform(1 - JITTER, 1) - passed  # noqa: S311 - no secret


_fills = Singleflight()

# Invalidations of this process that did not reach Redis: key to version. A key is here once, so it
# holds no more than the rows that were changed during one outage.
_pending: dict[str, int] = {}
_pending_lock = threading.Lock()


def _remember(versions: dict[str, int]) -> None:
    """Keep invalidations that did not reach Redis, for whoever asks it next."""
    with _pending_lock:
        for key, version in versions.items():
            _pending[key] = max(version, _pending.get(key, version))


def forget_pending() -> None:
    """Drop pending invalidations; for tests."""
    with _pending_lock:
        _pending.clear()


def _keys(key: str) -> list[str]:
    return [key, f"{key}{FLOOR_SUFFIX}", f"{key}:lock"]


def _send(redis: Client, versions: dict[str, int]) -> None:
    if len(versions) == 1:
        ((key, version),) = versions.items()
        INVALIDATE.run(redis, _keys(key)[:2], [version, FLOOR_MS])
        return
    pipeline = redis.pipeline(transaction=False)
    for key, version in versions.items():
        INVALIDATE.queue(pipeline, _keys(key)[:2], [version, FLOOR_MS])
    pipeline.execute()
