"""The cache backend: every operation, its counts and its logs, and a Redis that is not there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import Any, cast

import pytest
from django.core.cache import caches
from django_redis.pool import ConnectionFactory

from clipforge.common.cache.backend import Cache, default_cache
from clipforge.common.cache.metrics import metrics
from clipforge.devtools.testing.redis_server import redis_server
from clipforge.devtools.testing.state import be_patient


@pytest.fixture
def cache() -> Cache:
    return default_cache()


@pytest.fixture
def dead(settings: Any) -> Iterator[Cache]:
    """A cache whose Redis has just been killed."""
    with redis_server() as redis:
        settings.CACHES = {
            **settings.CACHES,
            "default": {**settings.CACHES["default"], "LOCATION": redis.url},
        }
        be_patient()
        assert default_cache().redis.ping()
        redis.kill()
        yield default_cache()


def counted(family: str, result: str) -> int:
    return metrics.pending(f"cache|{family}|{result}")


def test_the_backend_is_djangos_default_cache(settings: Any):
    settings.CACHES = {**settings.CACHES}  # nobody has asked for one yet, as after a start
    assert caches["default"] is default_cache()


def test_threads_that_ask_first_at_the_same_moment_share_a_pool(
    settings: Any, monkeypatch: pytest.MonkeyPatch
):
    """Else a request may wait for a silent Redis once for each breaker."""
    settings.CACHES = {
        name: {**options, "LOCATION": "redis://127.0.0.1:1/0"}
        for name, options in settings.CACHES.items()
    }
    together, make = Barrier(2), ConnectionFactory.get_connection_pool

    def make_together(*args: Any) -> Any:
        with suppress(BrokenBarrierError):  # the other one is not let in
            together.wait(0.2)
        return make(*args)

    monkeypatch.setattr(ConnectionFactory, "get_connection_pool", make_together)
    with ThreadPoolExecutor(2) as threads:
        clients = threads.map(lambda name: cast("Cache", caches[name]).redis, settings.CACHES)
        assert len({id(client.connection_pool) for client in clients}) == 1


def test_what_is_set_is_got_under_the_very_same_key(cache: Cache):
    assert cache.set("things:one:1", {"a": [1, None, "é"]}, 30)
    assert cache.get("things:one:1") == {"a": [1, None, "é"]}
    assert cache.redis.keys("*:one*") == [b"things:one:1"]
    assert cache.get("things:one:2", "default") == "default"
    assert (counted("things:one", "hit"), counted("things:one", "miss")) == (1, 1)


def test_a_value_of_none_is_a_value(cache: Cache):
    cache.set("things:none", None)
    assert cache.get("things:none", "default") is None
    assert counted("things:none", "hit") == 1


def test_many_at_once(cache: Cache):
    assert cache.set_many({"things:a": 1, "things:b": 2}, 30) == []
    assert cache.get_many(["things:a", "things:b", "things:c"]) == {"things:a": 1, "things:b": 2}
    assert cache.delete_many(["things:a", "things:c"]) == 1
    assert cache.delete_many([]) == 0


def test_exists_delete_and_add(cache: Cache):
    assert not cache.exists("things:a")
    assert cache.add("things:a", 1, 30)
    assert not cache.add("things:a", 2, 30)
    assert cache.exists("things:a")
    assert "things:a" in cache
    assert cache.delete("things:a")
    assert not cache.delete("things:a")


def test_ttl_and_expire(cache: Cache):
    cache.set("things:a", 1, 100)
    assert cache.ttl("things:a") in range(70, 101)
    assert cache.expire("things:a", 1000)
    assert cache.ttl("things:a") in range(970, 1001)
    assert not cache.expire("things:b", 10)
    assert cache.ttl("things:b") == 0
    cache.set("things:a", 1, None)
    assert cache.ttl("things:a") is None


def test_incr(cache: Cache):
    cache.set("things:n", 1)
    assert cache.incr("things:n") == 2
    assert cache.incr("things:n", 10) == 12
    with pytest.raises(ValueError, match="things:x"):
        cache.incr("things:x")


def test_delete_by_pattern_deletes_what_matches_and_nothing_else(cache: Cache):
    for number in range(2500):
        cache.redis.set(f"things:{number}", "1")
    cache.set("other:1", 1)
    assert cache.delete_pattern("things:*") == 2500
    assert cache.get("other:1") == 1


@pytest.mark.parametrize(
    ("operation", "otherwise"),
    [
        (lambda cache: cache.get("things:a", "default"), "default"),
        (lambda cache: cache.get_many(["things:a"]), {}),
        (lambda cache: cache.set("things:a", 1), False),
        (lambda cache: cache.set_many({"things:a": 1}), ["things:a"]),
        (lambda cache: cache.add("things:a", 1), False),
        (lambda cache: cache.delete("things:a"), False),
        (lambda cache: cache.delete_many(["things:a"]), 0),
        (lambda cache: cache.delete_pattern("things:*"), 0),
        (lambda cache: cache.exists("things:a"), False),
        (lambda cache: cache.ttl("things:a"), 0),
        (lambda cache: cache.expire("things:a", 1), False),
        (lambda cache: cache.incr("things:a"), None),
    ],
)
def test_without_redis_nothing_is_raised_and_it_is_counted(
    dead: Cache, operation: Callable[[Cache], Any], otherwise: Any
):
    assert operation(dead) == otherwise
    assert counted("things:a", "error") + counted("things:*", "error") == 1


def test_what_one_caller_makes_of_an_outage_is_not_anothers(dead: Cache):
    dead.get_many(["things:a"])["things:a"] = "mine"
    assert dead.get_many(["things:a"]) == {}


def test_every_operation_is_logged_at_debug(cache: Cache, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG, logger="clipforge.cache"):
        cache.set("things:a", 1)
        cache.get("things:a")
        cache.expire("things:a", 5)
        cache.delete_pattern("things:*")
    said = [
        (record.message, vars(record)["key"], vars(record)["outcome"]) for record in caplog.records
    ]
    assert said == [
        ("cache set", "things:a", "ok"),
        ("cache get", "things:a", "ok"),
        ("cache expire", "things:a", "ok"),
        ("cache delete_pattern", "things:*", "ok"),
    ]
    assert all(vars(record)["us"] >= 0 for record in caplog.records)


# --- counts of all processes ------------------------------------------------------------


def test_counts_are_added_up_in_redis_and_start_again(cache: Cache):
    metrics.count("cache|x|hit", 2)
    metrics.flush(at_once=True)
    metrics.count("cache|x|hit", 3)
    metrics.flush(at_once=True)
    assert metrics.totals()["cache|x|hit"] == 5
    assert metrics.pending("cache|x|hit") == 0


def test_counts_wait_while_redis_is_away(dead: Cache):
    metrics.count("cache|x|hit", 2)
    metrics.flush(at_once=True)
    assert metrics.pending("cache|x|hit") == 2
