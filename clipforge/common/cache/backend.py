"""The cache backend: django-redis that counts and logs every operation and never fails a request.

The result of each is counted for its key family and logged at DEBUG. A Redis that is dead, silent
or full is survived: reads find nothing, writes do nothing and return that. Values are JSON, and keys
are stored under the names that the code uses, so `redis-cli get KEY` works.

Values that may never be older than the last commit go through `clipforge.common.cache.versioned_cache`.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django_redis.cache import RedisCache
from django_redis.exceptions import ConnectionInterrupted
from django_redis.pool import ConnectionFactory

from clipforge.common.cache.log import log_operation, record
from clipforge.common.cache.redis import Client, Pool, RedisError, bypass_breaker
from clipforge.common.cache.versioned_cache import VersionedCache

# Keys that SCAN looks at in one round trip; its default of 10 takes sixteen times as long.
SCAN_COUNT = 1000

T = TypeVar("T")


class OnePool(ConnectionFactory[Client, Pool, Any]):  # type: ignore[misc]
    """One pool, and so one breaker, for all threads and caches of a process.

    django-redis looks for a pool and makes one when it finds none: of threads that look at the same
    moment each makes its own.
    """

    _making = threading.Lock()

    def get_or_create_connection_pool(self, params: dict[str, Any]) -> Pool:
        with self._making:
            pool: Pool = super().get_or_create_connection_pool(params)
            return pool


def plain_key(key: str, key_prefix: str, version: int) -> str:
    """Django's KEY_FUNCTION: the key as it is called in code."""
    return key


def called_key(key: str) -> str:
    """django-redis's REVERSE_KEY_FUNCTION."""
    return key


class Cache(VersionedCache, RedisCache[Any]):  # type: ignore[misc]
    """Keyword arguments of Django's cache API are kept; `version` and `client` have no use here."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        # What is not overridden below; most of it (sets, hashes, locks) is not used here.
        self._ignore_exceptions = True

    @functools.cached_property
    def redis(self) -> Client:  # type: ignore[override]
        """The client underneath, for scripts. It raises RedisError where the cache does not."""
        client: Client = self.client.get_client()
        return client

    @property
    def bypass_breaker(self) -> Client:  # type: ignore[override]
        return bypass_breaker(str(self._server))

    # --- reading ----------------------------------------------------------------------

    def get(
        self, key: str, default: Any = None, version: int | None = None, client: Any = None
    ) -> Any:
        absent = object()
        found = self._softly("get", key, absent, lambda: self.client.get(key, default=absent))
        hit = found is not absent
        record(key, "hit" if hit else "miss")
        return found if hit else default

    def get_many(self, keys: Any, version: int | None = None, client: Any = None) -> dict[str, Any]:
        names = list(keys)
        found: dict[str, Any] = self._softly(
            "get_many", ",".join(names), {}, lambda: dict(self.client.get_many(names))
        )
        for name in names:
            record(name, "hit" if name in found else "miss")
        return found

    def has_key(self, key: str, version: int | None = None, client: Any = None) -> bool:
        return self._softly("exists", key, False, lambda: bool(self.client.has_key(key)))

    exists = has_key

    def ttl(self, key: str, version: int | None = None, client: Any = None) -> int | None:
        """Seconds that are left: None for a key that never ends, 0 for one that is not there."""
        return self._softly("ttl", key, 0, lambda: self.client.ttl(key))

    # --- writing ----------------------------------------------------------------------

    def set(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, *args: Any, **kwargs: Any
    ) -> bool:
        return self._softly(
            "set", key, False, lambda: bool(self.client.set(key, value, timeout, *args, **kwargs))
        )

    def add(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """Set what is not there. False when it is, and when Redis cannot say."""
        return self._softly("add", key, False, lambda: bool(self.client.add(key, value, timeout)))

    def set_many(
        self,
        data: Mapping[str, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        client: Any = None,
    ) -> list[str]:
        """Returns the keys that could not be set: none, or all."""

        def store() -> list[str]:
            self.client.set_many(data, timeout)
            return []

        return self._softly("set_many", ",".join(data), list(data), store)

    def incr(
        self, key: str, delta: int = 1, version: int | None = None, **kwargs: Any
    ) -> int | None:
        """The new value; None when Redis cannot say. Raises ValueError for a key that is not there."""
        count: int | None = self._softly(
            "incr", key, None, lambda: int(self.client.incr(key, delta))
        )
        return count

    def expire(
        self, key: str, timeout: int, version: int | None = None, client: Any = None
    ) -> bool:
        """Let the key end in `timeout` seconds. False when it is not there."""
        return self._softly("expire", key, False, lambda: bool(self.client.expire(key, timeout)))

    def delete(self, key: str, version: int | None = None, **kwargs: Any) -> bool:
        return self._softly("delete", key, False, lambda: bool(self.client.delete(key)))

    def delete_many(self, keys: Any, version: int | None = None, client: Any = None) -> int:
        names = list(keys)
        if not names:
            return 0
        return self._softly(
            "delete_many", ",".join(names), 0, lambda: int(self.client.delete_many(names))
        )

    def delete_pattern(self, pattern: str, **kwargs: Any) -> int:
        """Delete what matches the glob. Reads every key there is: for operators, never in a request."""
        return self._softly(
            "delete_pattern",
            pattern,
            0,
            lambda: int(self.client.delete_pattern(pattern, itersize=SCAN_COUNT)),
        )

    def _softly(self, operation: str, key: str, otherwise: T, act: Callable[[], T]) -> T:
        """The result of `act`, or `otherwise` when Redis cannot be asked."""
        started = time.perf_counter()
        outcome = "ok"
        try:
            return act()
        except (ConnectionInterrupted, RedisError) as error:
            outcome = type(error.__cause__ or error).__name__
            record(key, "error")
            return otherwise
        finally:
            log_operation(operation, key, outcome, started)


def default_cache() -> Cache:
    """The default cache, with all its operations: one for all threads, as its pool is."""
    if _default.get("settings") is not settings.CACHES:
        _default.update(settings=settings.CACHES, cache=caches["default"])
    return cast("Cache", _default["cache"])


# Until the settings of the caches are others, as tests make them.
_default: dict[str, Any] = {}
