"""The one way to reach Redis, and its breaker."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import MaxConnectionsError, ResponseError
from redis.retry import Retry

from clipforge.common.cache.redis import (
    ANSWER_SECONDS,
    Breaker,
    Client,
    Pool,
    RedisError,
    Unreachable,
    connect,
)
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.redis_server import RedisServer, redis_server


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def test_a_breaker_opens_at_the_first_fault_and_tries_again_after_a_second():
    clock = Clock()
    breaker = Breaker(clock=clock)
    breaker.admit()
    breaker.failed()
    clock.now = 0.74
    with pytest.raises(Unreachable):
        breaker.admit()
    clock.now = 1.26
    breaker.admit()
    with pytest.raises(Unreachable):  # one tries, the others are still kept out
        breaker.admit()
    breaker.succeeded()
    breaker.admit()


def test_an_answer_to_what_was_asked_before_a_fault_does_not_close_a_breaker():
    clock = Clock()
    breaker = Breaker(clock=clock)
    before = breaker.admit()
    breaker.failed()
    breaker.succeeded(before)
    with pytest.raises(Unreachable):
        breaker.admit()
    clock.now = 2.0
    breaker.succeeded(breaker.admit())
    assert not breaker.is_open


def test_of_many_that_come_at_once_after_the_cool_down_one_tries():
    clock = Clock()
    breaker = Breaker(clock=clock)
    breaker.failed()
    clock.now = 2.0
    results = Counter(type(result) for result in _admit_together(breaker, 20))
    assert results == {type(None): 1, Unreachable: 19}


def _admit_together(breaker: Breaker, count: int) -> list[object]:
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    start = Barrier(count)

    def admit(_: int) -> object:
        start.wait(10)
        try:
            breaker.admit()
        except Unreachable as error:
            return error
        return None

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(admit, range(count)))


def test_processes_that_lost_redis_together_do_not_come_back_together():
    ends = set()
    for _ in range(20):
        breaker = Breaker(clock=Clock())
        breaker.failed()
        assert breaker._closed_until is not None
        assert 0.75 <= breaker._closed_until <= 1.25
        ends.add(breaker._closed_until)
    assert len(ends) == 20


def test_a_client_has_short_timeouts_no_retries_resp2_and_a_bounded_pool():
    pool = connect("redis://127.0.0.1:1/0").connection_pool
    assert pool.max_connections == 500
    kwargs = pool.connection_kwargs
    assert (kwargs["socket_timeout"], kwargs["socket_connect_timeout"]) == (0.2, 0.2)
    assert kwargs["protocol"] == 2
    assert isinstance(kwargs["retry"], Retry)
    assert kwargs["retry"].get_retries() == 0


def test_a_pool_that_has_no_connection_left_is_no_fault_of_redis(server: RedisServer):
    client = server.patient_client(max_connections=1)
    pool = client.connection_pool
    held = pool.get_connection()
    pipeline = client.pipeline()
    pipeline.ping()
    for call in (client.ping, pipeline.execute):
        with pytest.raises(MaxConnectionsError):
            call()
    assert not pool.breaker.is_open
    pool.release(held)
    assert client.ping()


def test_a_dead_redis_is_asked_once(server: RedisServer):
    client = server.patient_client(breaker=Breaker(clock=Clock()))
    assert client.ping()
    server.kill()
    with pytest.raises(RedisError) as first:
        client.get("key")
    assert not isinstance(first.value, Unreachable)
    with pytest.raises(Unreachable):
        client.get("key")
    pipeline = client.pipeline()
    pipeline.get("key")
    with pytest.raises(Unreachable):
        pipeline.execute()


def test_a_silent_redis_costs_one_timeout_and_no_more(server: RedisServer):
    clock = Clock()
    breaker = Breaker(clock=clock)
    client = Client(connection_pool=Pool.from_url(server.url, breaker=breaker))
    server.freeze()
    with pytest.raises(RedisError, match="Timeout"):
        client.get("key")
    with pytest.raises(Unreachable):
        client.get("key")
    server.thaw()
    clock.now = 2.0
    assert server.patient_client(breaker=breaker).ping()
    assert not breaker.is_open


def test_an_answer_that_is_an_error_closes_the_breaker_again(server: RedisServer):
    clock = Clock()
    client = server.patient_client(breaker=Breaker(clock=clock))
    client.connection_pool.breaker.failed()
    clock.now = 2.0
    with pytest.raises(ResponseError):
        client.execute_command("NONSENSE")
    assert client.ping()


def test_connections_of_before_a_restart_cost_no_request_anything(server: RedisServer):
    client = server.patient_client()
    client.set("key", "value")
    server.kill()
    server.start()
    assert client.get("key") is None
    assert not client.connection_pool.breaker.is_open


def test_a_server_that_accepts_and_never_speaks_is_given_up(tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        client = connect(f"unix://{tmp_path / 's'}")
        with pytest.raises(RedisError):
            client.ping()
    assert ANSWER_SECONDS <= 0.2


@pytest.mark.django_db(transaction=True)
def test_threads_share_a_pool_and_its_breaker(server: RedisServer):
    client = connect(server.url)
    server.kill()
    results = run_together(10, lambda _: client.get("key"))
    assert all(isinstance(result, RedisError) for result in results)
    assert client.connection_pool.breaker.is_open
