"""The sliding windows, against an oracle that simply remembers everything."""

from __future__ import annotations

import random
from collections import Counter, deque
from pathlib import Path
from typing import Any

import pytest

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.scripts import Script
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.redis_server import redis_server
from clipforge.orgs import windows
from clipforge.orgs.models import Organization, TierLimits
from clipforge.orgs.windows import LocalWindows, WindowResult

ORGANIZATION = Organization(name="Acme", tier="FREE")
MINUTE = 60_000

# The same script on a clock that the test sets, in milliseconds.
CLOCK = "local function clock() return tonumber(redis.call('GET', 'test:clock')) end"


class Windows:
    """The windows of one organization on a clock of their own."""

    def __init__(self, directory: Path) -> None:
        clock = directory / "clock.lua"
        clock.write_text(CLOCK)
        self.script = Script(clock, windows.LUA / "window.lua", windows.LUA / "charge.lua")
        self.redis = default_cache().redis

    def charge(self, now: int, **costs: tuple[int, int]) -> list[WindowResult]:
        """`costs` is scope to (limit, cost)."""
        self.redis.set("test:clock", now)
        arguments = [number for pair in costs.values() for number in pair]
        life, *found = self.script.run(
            self.redis, [f"limit:x:{scope}" for scope in costs], arguments
        )
        assert life == MINUTE
        return windows.window_results(list(costs), found)


@pytest.fixture
def on_clock(tmp_path: Path) -> Windows:
    return Windows(tmp_path)


def exact_wait(passed: list[int], now: int, limit: int, cost: int) -> int:
    """The first moment at which `cost` fits, found by looking at every moment something leaves."""
    for moment in sorted({time + MINUTE for time in passed if time > now - MINUTE}):
        if sum(time > moment - MINUTE for time in passed) + cost <= limit:
            return moment - now
    raise AssertionError("it never fits")


@pytest.mark.parametrize("seed", range(4))
def test_every_decision_and_every_wait_is_the_oracles(on_clock: Windows, seed: int):
    chance = random.Random(seed)
    limit, now = chance.choice([1, 5, 50]), 1_000_000
    passed: list[int] = []
    for _ in range(600):
        now += chance.choice([0, 0, 1, 7, 900, 5_000, chance.randrange(90_000)])
        cost = chance.choice([1, 1, 1, 2, 5])
        inside = sum(time > now - MINUTE for time in passed)
        (result,) = on_clock.charge(now, api=(limit, cost))
        if inside + cost <= limit:
            passed += [now] * cost
            assert result[1:5] == (True, limit, limit - inside - cost, 0)
        elif cost > limit:
            assert result[1:5] == (False, limit, limit - inside, -1)
        else:
            wait = exact_wait(passed, now, limit, cost)
            assert result[1:5] == (False, limit, limit - inside, wait)


def test_never_more_than_the_limit_in_any_minute(on_clock: Windows):
    chance, now, passed = random.Random(7), 1_000_000, deque[int]()
    for _ in range(2_000):
        now += chance.randrange(2_000)
        if on_clock.charge(now, api=(20, 1))[0].passed:
            passed.append(now)
        while passed[0] <= now - MINUTE:
            passed.popleft()
        assert len(passed) <= 20


def test_waiting_as_long_as_told_is_enough_and_a_millisecond_less_is_not(on_clock: Windows):
    for moment in (0, 10, 20_000):
        assert on_clock.charge(1_000_000 + moment, api=(3, 1))[0].passed
    (refused,) = on_clock.charge(1_030_000, api=(3, 2))
    assert refused == WindowResult("api", False, 3, 0, 30_010, 30_000)
    assert not on_clock.charge(1_030_000 + 30_009, api=(3, 2))[0].passed
    assert on_clock.charge(1_030_000 + 30_010, api=(3, 2))[0].passed


def test_a_request_that_fits_one_window_only_is_counted_in_none(on_clock: Windows):
    on_clock.charge(1_000_000, api=(10, 1), uploads=(1, 1))
    api, uploads = on_clock.charge(1_000_001, api=(10, 5), uploads=(1, 1))
    assert (api.passed, api.remaining, api.retry_ms) == (True, 9, 0)
    assert (uploads.passed, uploads.remaining, uploads.retry_ms) == (False, 0, 59_999)
    assert on_clock.charge(1_000_002, api=(10, 1))[0].remaining == 8


def test_a_window_that_a_request_would_just_fill_has_nothing_to_wait_for(on_clock: Windows):
    on_clock.charge(1_000_000, uploads=(1, 1))
    api, uploads = on_clock.charge(1_000_001, api=(5, 5), uploads=(1, 1))
    assert api == WindowResult("api", True, 5, 5, 0, 0)
    assert uploads == WindowResult("uploads", False, 1, 0, 59_999, 59_999)


def test_more_at_once_than_the_limit_never_passes(on_clock: Windows):
    assert on_clock.charge(1_000_000, uploads=(1, 2))[0] == WindowResult(
        "uploads", False, 1, 1, -1, 0
    )


def test_a_clock_that_goes_back_neither_opens_nor_closes_a_window(on_clock: Windows):
    assert on_clock.charge(1_000_000, api=(2, 1))[0].passed
    # The other server of a failover is ten minutes behind: its time stands at the newest entry.
    assert on_clock.charge(400_000, api=(2, 1))[0].passed
    (refused,) = on_clock.charge(400_500, api=(2, 1))
    assert (refused.passed, refused.retry_ms) == (False, MINUTE)
    assert on_clock.charge(1_060_000, api=(2, 1))[0].passed


def test_a_clock_that_went_back_stands_still_for_all_that_come_meanwhile(on_clock: Windows):
    for now in (1_000_000, 400_000, 400_000):
        assert on_clock.charge(now, api=(3, 1))[0].passed
    (refused,) = on_clock.charge(400_500, api=(3, 1))
    assert (refused.retry_ms, refused.reset_ms) == (MINUTE, MINUTE)


def test_a_new_limit_holds_from_the_next_request_on(on_clock: Windows):
    for number in range(50):
        assert on_clock.charge(1_000_000 + number, api=(50, 1))[0].passed
    assert not on_clock.charge(1_000_050, api=(50, 1))[0].passed
    assert on_clock.charge(1_000_051, api=(200, 1))[0].remaining == 149
    (refused,) = on_clock.charge(1_000_052, api=(50, 1))
    assert (refused.passed, refused.remaining) == (False, 0)


def test_an_idle_organization_costs_redis_nothing(on_clock: Windows):
    on_clock.charge(1_000_000, api=(50, 1))
    assert 30_000 < on_clock.redis.pttl("limit:x:api") <= MINUTE


@pytest.mark.parametrize("limit", [50, 1000])
def test_a_full_window_costs_the_same_few_commands_at_any_limit(on_clock: Windows, limit: int):
    def commands() -> int:
        return int(on_clock.redis.info("stats")["total_commands_processed"])

    for number in range(limit):
        on_clock.charge(1_000_000 + number, api=(limit, 1))
    before = commands()
    on_clock.charge(1_000_000 + MINUTE, api=(limit, 1))  # one leaves, one comes
    # SET and INFO of the test, EVALSHA, and in it: clock, head, tail, trim, second to last, tail,
    # length, leave to write, push, life, tail.
    assert commands() - before == 14


@pytest.mark.parametrize("leave", [999, 512, 1, 0])
def test_however_many_leave_at_once_a_check_takes_few_commands(on_clock: Windows, leave: int):
    """A burst, and one just before the minute is over: then all of the burst leaves at once."""

    def commands() -> int:
        return int(on_clock.redis.info("stats")["total_commands_processed"])

    for _ in range(leave):
        on_clock.charge(1_000_000, api=(1000, 1))
    on_clock.charge(1_000_000 + MINUTE - 1, api=(1000, 1))
    before = commands()
    (result,) = on_clock.charge(1_000_000 + MINUTE, api=(1000, 1))
    assert result.remaining == 998
    # Nineteen looks and as many trims at the most, and what is pinned above.
    assert commands() - before <= 2 * 19 + 11


# --- a Redis without room ---------------------------------------------------------------


@pytest.mark.django_db
def test_a_full_redis_forgets_no_window_and_counts_as_exactly_as_ever():
    at_its_limit, other = (Organization(name=name, tier="FREE") for name in ("one", "other"))
    limits = TierLimits.objects.get(tier="FREE")
    with redis_server() as server:
        redis = server.patient_client()

        def passed(organization: Organization) -> int:
            results = [windows.charge(redis, organization, limits, {"api": 1}) for _ in range(100)]
            return sum(result.passed for (result,) in results)

        assert passed(at_its_limit) == 50
        server.fill()
        assert passed(at_its_limit) == 0
        assert passed(other) == 50


# --- at once ----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("tier", "limit"),
    [("FREE", 50), ("STARTER", 100), ("PRO", 200), ("BUSINESS", 500), ("ENTERPRISE", 1000)],
)
def test_of_five_times_the_limit_at_once_exactly_the_limit_passes(tier: str, limit: int):
    organization = Organization(name="Acme", tier=tier)
    limits = TierLimits.objects.get(tier=tier)

    def some(_: int) -> int:
        redis = default_cache().redis
        return sum(
            windows.charge(redis, organization, limits, {"api": 1})[0].passed
            for _ in range(5 * limit // 20)
        )

    assert sum(run_together(20, some)) == limit  # type: ignore[arg-type]


# --- while Redis is away ----------------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def limits(**figures: Any) -> TierLimits:
    return TierLimits(tier="FREE", requests_per_minute=50, uploads_per_minute=5, **figures)


def test_a_process_alone_lets_its_share_through(settings: Any):
    settings.WEB_PROCESSES = 4
    local = LocalWindows(clock=Clock())
    passed = [local.charge(ORGANIZATION, limits(), {"api": 1})[0].passed for _ in range(60)]
    assert Counter(passed) == {True: 13, False: 47}  # a quarter of 50, rounded up


def test_an_organizations_own_number_is_of_all_its_requests_and_of_no_other_scope():
    own = Organization(name="Acme", tier="FREE", rate_limit_override=7)
    tier = limits(exports_per_minute=3)
    scopes = {scope: windows.limit_of(scope, own, tier) for scope in windows.SCOPES}
    assert scopes == {"api": 7, "uploads": 5, "exports": 3}
    assert windows.limit_of("api", ORGANIZATION, tier) == 50


def test_a_process_alone_knows_how_long_to_wait(settings: Any):
    settings.WEB_PROCESSES = 1
    clock = Clock()
    local = LocalWindows(clock=clock)
    for _ in range(5):
        assert all(v.passed for v in local.charge(ORGANIZATION, limits(), {"api": 1, "uploads": 1}))
        clock.now += 10
    api, uploads = local.charge(ORGANIZATION, limits(), {"api": 1, "uploads": 1})
    assert (api.passed, api.remaining) == (True, 45)
    assert (uploads.passed, uploads.retry_ms) == (False, 10_000)
    clock.now += 10
    assert local.charge(ORGANIZATION, limits(), {"uploads": 1})[0].passed


def test_a_process_alone_has_nothing_to_wait_for_when_a_request_just_fits(settings: Any):
    settings.WEB_PROCESSES = 1
    clock = Clock()
    local = LocalWindows(clock=clock)
    (result,) = local.charge(ORGANIZATION, limits(), {"uploads": 5})
    assert result == WindowResult("uploads", True, 5, 0, 0, 60_000)
    clock.now += 10
    api, uploads = local.charge(ORGANIZATION, limits(), {"api": 50, "uploads": 1})
    assert api == WindowResult("api", True, 50, 50, 0, 0)
    assert uploads == WindowResult("uploads", False, 5, 0, 50_000, 50_000)


def test_a_process_alone_says_when_the_whole_limit_fits_again(settings: Any):
    settings.WEB_PROCESSES = 1
    clock = Clock()
    local = LocalWindows(clock=clock)
    local.charge(ORGANIZATION, limits(), {"uploads": 1})
    clock.now += 10
    local.charge(ORGANIZATION, limits(), {"uploads": 1})
    (result,) = local.charge(ORGANIZATION, limits(), {"uploads": 5})
    assert (result.passed, result.remaining, result.retry_ms) == (False, 3, 60_000)


def test_a_limit_that_was_lowered_leaves_nothing_and_not_less(settings: Any):
    settings.WEB_PROCESSES = 1
    local = LocalWindows(clock=Clock())
    local.charge(ORGANIZATION, limits(), {"uploads": 5})
    lower = TierLimits(tier="FREE", requests_per_minute=50, uploads_per_minute=3)
    (result,) = local.charge(ORGANIZATION, lower, {"uploads": 1})
    assert (result.passed, result.limit, result.remaining) == (False, 3, 0)


def test_all_that_passed_in_the_minute_is_shown():
    redis, tier = default_cache().redis, limits(exports_per_minute=3)
    windows.charge(redis, ORGANIZATION, tier, {"api": 4, "uploads": 3})
    assert windows.used(redis, ORGANIZATION) == {"api": 4, "uploads": 3, "exports": 0}


def test_more_at_once_than_the_share_of_a_process_never_passes(settings: Any):
    settings.WEB_PROCESSES = 1
    (result,) = LocalWindows(clock=Clock()).charge(ORGANIZATION, limits(), {"uploads": 6})
    assert result == WindowResult("uploads", False, 5, 5, -1, 0)


def test_a_process_alone_forgets_the_oldest_rather_than_grow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(windows, "MOST_LOCAL_WINDOWS", 2)
    local = LocalWindows(clock=Clock())
    for name in ("first", "second", "third"):
        local.charge(Organization(name=name, tier="FREE"), limits(), {"api": 1})
    assert len(local._windows) == 2


def test_a_local_window_is_reset_when_its_oldest_entry_leaves():
    now = [100.0]
    local = LocalWindows(clock=lambda: now[0])
    limits = TierLimits(tier="FREE", requests_per_minute=50)
    (scope,) = [name for name, field in windows.SCOPES.items() if field == "requests_per_minute"]
    local.charge(ORGANIZATION, limits, {scope: 1})
    now[0] = 130.0
    (result,) = local.charge(ORGANIZATION, limits, {scope: 1})
    assert result.reset_ms == 30_000
