"""When a breaker, a counter and a cached value are over: before, on and after the edge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from clipforge.common import waiting
from clipforge.common.cache import counters, versioned_cache
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.counters import LocalCounters
from clipforge.common.cache.metrics import FLUSH_SECONDS, HOUR, Metrics
from clipforge.common.cache.news import PATIENCE_SECONDS, QUIET_SECONDS, Listener
from clipforge.common.cache.redis import Breaker, Unreachable
from clipforge.common.cache.scripts import Script


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("seconds", "passes"), [(0.999, False), (1.0, True), (1.001, True)])
def test_a_breaker_lets_one_try_when_the_cool_down_is_over(
    seconds: float, passes: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("clipforge.common.cache.redis.random.uniform", lambda *_: 1.0)
    clock = Clock()
    breaker = Breaker(cool_down=1.0, clock=clock)
    breaker.failed()
    clock.now += seconds
    try:
        breaker.admit()
    except Unreachable:
        assert not passes
    else:
        assert passes


@pytest.mark.parametrize(("seconds", "count"), [(59.999, 2), (60.0, 1), (60.001, 1)])
def test_a_counter_of_this_process_ends_with_its_time(
    seconds: float, count: int, monkeypatch: pytest.MonkeyPatch
):
    clock = Clock()
    monkeypatch.setattr(counters, "time", SimpleNamespace(monotonic=clock))
    local = LocalCounters()
    assert local.add("x", 1, 60) == 1
    clock.now += seconds
    assert local.add("x", 0, 60) == count - 1
    assert local.add("x", 1, 60) == count


@pytest.mark.parametrize(("seconds", "pending"), [(0.999, 1), (1.0, 0), (1.001, 0)])
def test_counts_are_added_once_a_second(seconds: float, pending: int):
    clock = Clock()
    counted = Metrics(clock=clock)
    counted.count("x")
    counted.flush()
    counted.count("x")
    clock.now += seconds * FLUSH_SECONDS
    counted.flush()
    assert counted.pending("x") == pending


@pytest.mark.parametrize(("second", "sums"), [(-0.001, [1, 1]), (0, [0, 1]), (0.001, [0, 1])])
def test_an_hour_of_counts_ends_with_the_hour(second: float, sums: list[int]):
    clock = Clock()
    counted = Metrics(clock=clock)
    clock.now = 100.0 * HOUR
    counted.count("x")
    counted.flush(at_once=True)
    clock.now = 101.0 * HOUR + second
    assert [counted.totals(hours=hours)["x"] for hours in (1, 2)] == sums


# --- cached values ------------------------------------------------------------------------

KEYS = ["value", "value:guard", "value:lock", versioned_cache.BORN_KEY]


def read(tmp_path: Path, old: str, new: str, *, grace: int = 0) -> list[bytes]:
    """The result of the read script, in which `old` is replaced by `new`."""
    text = (versioned_cache.LUA / "read.lua").read_text()
    assert old in text
    script = tmp_path / "read.lua"
    script.write_text(text.replace(old, new))
    arguments = [grace, versioned_cache.FLOOR_MS, versioned_cache.LOCK_MS, versioned_cache.YOUNG_MS]
    answer: list[bytes] = Script(script).run(default_cache().redis, KEYS, arguments)
    return answer


@pytest.mark.parametrize(("left", "outcome"), [(5001, b"hit"), (5000, b"hit"), (4999, b"old")])
def test_a_value_is_old_once_less_than_the_grace_is_left(tmp_path: Path, left: int, outcome: bytes):
    default_cache().redis.set("value", "1", px=60_000)
    assert read(tmp_path, "redis.call('PTTL', KEYS[1])", str(left), grace=5000)[0] == outcome


@pytest.mark.parametrize(("age", "may_store"), [(1999, False), (2000, True), (2001, True)])
def test_a_redis_without_memory_stores_nothing_for_two_seconds(
    tmp_path: Path, age: int, may_store: bool
):
    default_cache().redis.set(versioned_cache.BORN_KEY, 1_000_000_000)
    now = 1_000_000_000 + age
    time = f"{{{now // 1000}, {now % 1000 * 1000}}}"
    outcome, token = read(tmp_path, "redis.call('TIME')", time)
    assert (outcome, token != b"") == (b"miss", may_store)


@pytest.fixture
def listening() -> Iterator[tuple[Listener, Clock]]:
    """A listener that reads nothing: to it, Redis is silent. It was connected just now."""
    clock = Clock()
    listener = Listener(clock=clock)
    listener.open()
    yield listener, clock
    listener.close()


@pytest.mark.parametrize(("seconds", "is_asked"), [(4.999, False), (5.0, True), (5.001, True)])
def test_a_server_of_news_is_asked_after_five_quiet_seconds(
    listening: tuple[Listener, Clock], seconds: float, is_asked: bool
):
    assert QUIET_SECONDS == 5
    listener, clock = listening
    clock.now += seconds
    listener.require_life()
    clock.now += PATIENCE_SECONDS
    # One that was asked has had its time; one that was not is asked now.
    with pytest.raises(TimeoutError) if is_asked else nullcontext():
        listener.require_life()


@pytest.mark.parametrize(("seconds", "is_lost"), [(0.999, False), (1.0, True), (1.001, True)])
def test_a_server_of_news_that_was_asked_is_given_up_after_a_second(
    listening: tuple[Listener, Clock], seconds: float, is_lost: bool
):
    listener, clock = listening
    clock.now += QUIET_SECONDS
    listener.require_life()
    clock.now += seconds
    with pytest.raises(TimeoutError) if is_lost else nullcontext():
        listener.require_life()


@pytest.mark.parametrize(("seconds", "waits"), [(9.999, True), (10.0, False), (10.001, False)])
def test_a_request_waits_until_its_time_is_up(
    seconds: float, waits: bool, monkeypatch: pytest.MonkeyPatch
):
    clock = Clock()
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=clock))
    wait = waiting.Wait(waiting.Room(most=1, most_of_one=1, hears=lambda: True))

    def park() -> bool:
        return wait.park(
            SimpleNamespace(), owner="somebody", channel="news", seconds=10, look_every=3
        )

    assert park()
    clock.now += seconds
    assert park() is waits
