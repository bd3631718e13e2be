"""A line asks Redis one thing at a time, and never gives an answer to the wrong question."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from clipforge.common.cache.redis import Breaker, Client, Pool, Unreachable
from clipforge.devtools.testing.redis_server import RedisServer, redis_server


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def test_it_answers_as_redis_does_and_raises_what_redis_py_raises(server):
    client = server.patient_client()
    assert client.ask("SET", "key", b"\x00value") == b"OK"
    assert client.ask("GET", "key") == b"\x00value"
    assert client.ask("EVAL", "return {1, 'two', false, {3}}", 0) == [1, b"two", None, [3]]
    with pytest.raises(NoScriptError):
        client.ask("EVALSHA", "0" * 40, 0)
    with pytest.raises(ResponseError):
        client.ask("INCR", "key")
    assert client.ask("GET", "key") == b"\x00value"
    assert not client.connection_pool.breaker.is_open


def test_each_thread_has_its_own(server):
    client = server.patient_client()
    client.ask("SET", "count", 0)
    with ThreadPoolExecutor(20) as pool:
        counts = list(pool.map(lambda _: client.ask("INCR", "count"), range(400)))
    assert sorted(counts) == list(range(1, 401))


def test_an_answer_that_comes_too_late_is_not_that_of_the_next_question(server):
    pool = Pool.from_url(server.url, socket_timeout=0.05, breaker=Breaker(cool_down=0))
    client = Client(connection_pool=pool)
    assert client.ask("ECHO", "first") == b"first"
    server.freeze()
    with pytest.raises(RedisTimeoutError):
        client.ask("ECHO", "late")
    assert pool.breaker.is_open
    server.thaw()
    patient = server.patient_client()
    patient.connection_pool.breaker = pool.breaker
    assert patient.ask("ECHO", "next") == b"next"
    assert not pool.breaker.is_open


def test_after_a_fault_nothing_is_asked_for_a_while(server):
    client = Client(connection_pool=Pool.from_url(server.url, socket_timeout=0.05))
    client.ask("PING")
    server.freeze()
    try:
        with pytest.raises(RedisTimeoutError):
            client.ask("PING")
        with pytest.raises(Unreachable):
            client.ask("PING")
    finally:
        server.thaw()


def test_a_redis_that_was_started_anew_is_asked_without_a_fault():
    with redis_server() as server:
        client = server.patient_client()
        assert client.ask("PING") == b"PONG"
        server.kill()
        server.start()
        assert client.ask("PING") == b"PONG"
        assert not client.connection_pool.breaker.is_open


def test_a_child_of_a_process_opens_a_line_of_its_own(server):
    client = server.patient_client()
    client.ask("SET", "who", "parent")
    child = os.fork()
    if not child:
        try:
            client.ask("SET", "who", "child")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert client.ask("GET", "who") == b"child"
