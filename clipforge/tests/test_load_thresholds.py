"""Failures of a load test: `locustfiles/thresholds.py`, and the targets of `manage.py loadtest`."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from clipforge.common import query_times
from clipforge.common.errors import BadRequest
from clipforge.devtools.loadtest import against
from clipforge.devtools.loadtest.customers import Customer
from clipforge.devtools.loadtest.open_loop import OpenLoop, OpenLoopResult, gets
from clipforge.devtools.loadtest.request_mix import request_mix
from clipforge.devtools.loadtest.targets import Run, targets
from locustfiles.accounts import PACES, Account, Accounts
from locustfiles.recording import Recorder, Stage, figures
from locustfiles.thresholds import Thresholds, breaches, fault_of

STAGES = [Stage(50, 10), Stage(100, 10)]


def recorded(
    count: int = 100, *, planned: float = 100, ms: float = 20, failure: str | None = None
) -> dict[str, Any]:
    """A run of two stages: the first as asked for, the second without a fault."""
    recorder = Recorder(STAGES)
    for stage, made in enumerate((count, 100)):
        recorder.at(stage * 10)
        recorder.per_second = (planned if stage == 0 else 100) / 10
        recorder.pass_time(10)
        for number in range(made):
            bad = failure if (stage, number) == (0, 0) else None
            recorder.current.add("GET /me", ms if stage == 0 else 20, bad)
    return recorder.summary()


def broken(**run: Any) -> list[str]:
    return breaches(recorded(**run), Thresholds())


def test_a_good_run_breaks_nothing():
    assert broken() == []


def test_an_answer_of_5xx_fails_the_run():
    fault = fault_of(503, None, may_be_throttled=True)
    assert fault == "status 503"
    assert broken(failure=fault) == ["50 users: 1 of 100 failed (1 × GET /me: status 503)."]


def test_429_is_no_failure_where_it_is_expected():
    assert fault_of(429, "12", may_be_throttled=True) is None


@pytest.mark.parametrize("retry_after", [None, "", "soon"])
def test_429_that_does_not_say_when_to_come_back_is_a_failure(retry_after: str | None):
    fault = fault_of(429, retry_after, may_be_throttled=True)
    assert fault == "429 without Retry-After"


def test_429_within_the_limit_is_a_failure_unless_too_much_work_is_open():
    assert fault_of(429, "12", may_be_throttled=False) == "429 within the limit"
    jobs = fault_of(429, "12", code="concurrent_jobs", may_be_throttled=False)
    assert jobs is None


def test_work_that_a_worker_ended_first_cannot_be_cancelled_and_that_is_no_failure():
    def fault(status: int, code: str, **rest: bool) -> str | None:
        return fault_of(status, None, code=code, may_be_throttled=False, **rest)

    assert fault(409, "wrong_state", may_have_ended=True) is None
    assert fault(409, "wrong_state") == "status 409"
    assert fault(409, "request_in_progress", may_have_ended=True) == "status 409"


def test_a_service_that_throttles_those_within_their_limits_has_not_served_them():
    load = answered(89, throttled=11)
    assert breaches(load, Thresholds()) == [
        "1 users: 89 of 100 requests outside the crowd were answered."
    ]
    assert breaches(answered(90, throttled=10), Thresholds()) == []


def test_the_crowd_may_be_throttled_as_often_as_it_likes():
    recorder = Recorder([Stage(1, 1)])
    for _ in range(100):
        recorder.current.add("GET /me [429]", 1, None, of_crowd=True)
    assert breaches(recorder.summary(), Thresholds()) == []


def answered(count: int, *, throttled: int) -> dict[str, Any]:
    recorder = Recorder([Stage(1, 1)])
    for name, times in [("GET /me", count), ("GET /me [429]", throttled)]:
        for _ in range(times):
            recorder.current.add(name, 1, None)
    return recorder.summary()


def test_a_server_that_stalls_is_found_by_what_was_not_asked():
    assert broken(count=89) == ["50 users: 89 requests were made of 100."]
    assert broken(count=90) == []


def test_a_stage_in_which_nothing_was_asked_fails():
    assert "50 users: nothing was asked." in broken(count=0, planned=0)


def test_each_stage_has_its_own_p95():
    assert broken(ms=101) == [
        "50 users: all took 101 ms (p95); 100 are allowed.",
        "50 users: GET /me took 101 ms (p95); 100 are allowed.",
    ]


def test_how_long_a_throttled_answer_took_is_no_matter():
    recorder = Recorder([Stage(1, 1)])
    for _ in range(20):
        recorder.current.add("GET /me", 1, None)
        recorder.current.add("GET /me [429]", 500, None, of_crowd=True)
    summary = recorder.summary()
    assert breaches(summary, Thresholds()) == []
    assert summary["stages"][0]["throttled"] == 20


def test_figures():
    assert figures(range(1, 101)) == {"count": 100, "p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert figures([]) == {"count": 0, "p50": 0, "p95": 0, "p99": 0, "max": 0}


def test_stages_end_after_their_time():
    recorder = Recorder(Stage.parse("50:10,100:20"))
    assert [recorder.at(second) for second in (0, 10, 29.9, 30)] == [
        Stage(50, 10),
        Stage(100, 20),
        Stage(100, 20),
        None,
    ]


def test_front_ends_keep_within_the_limit_of_their_organization_while_there_is_room():
    accounts = Accounts(Account(f"org-{number}", "PRO", "key") for number in range(5))
    seats = [accounts.seat("PRO", PACES["PRO"].per_second) for _ in range(10)]
    assert not any(account.is_crowded for account in seats)
    assert accounts.seat("PRO", PACES["PRO"].per_second).is_crowded


def test_the_crowd_is_in_an_organization_of_its_own():
    accounts = Accounts([Account("a", "FREE", "key"), Account("b", "FREE", "key")])
    assert accounts.crowded is not None
    assert {accounts.seat("FREE", 0.5).org for _ in range(20)} == {"b"}


# --- the targets ---


def run(**changes: Any) -> Run:
    counted = Counter({"cache|credits:balance|hit": 99, "cache|credits:balance|miss": 1})
    counted[f"sql|{query_times.step_of(3)}"] = 100
    made = {
        "load": recorded(),
        "counted": counted,
        "pages": {"/admin/": 0.1},
        "breaches": 0,
        "open_loop": open_loop(),
        "chaos": False,
        "came_back": True,
    }
    return Run(**{**made, **changes})


def open_loop(**changes: Any) -> dict[str, Any]:
    found = {"per_second": 130.0, "planned": 100, "failed": 0, "count": 100, "p95": 10.0}
    return {**found, "endpoints": {"GET /projects": {"count": 20, "p95": 10.0}}, **changes}


def missed(**changes: Any) -> list[str]:
    return [target.what for target in targets(run(**changes)) if target.passed is False]


def test_all_targets_are_met():
    assert missed() == []
    assert all(target.passed for target in targets(run()))


def test_each_target_can_be_missed():
    assert missed(breaches=1) == ["breaches of the ledger's invariants"]
    for pages in ({"/admin/": 2.0}, {}):
        assert missed(pages=pages) == ["slowest page, at the last stage's load"]
    assert missed(load=recorded(ms=100)) == ["API, p95 of each endpoint and stage"]
    assert missed(load=recorded(count=80)) == ["requests made of those planned"]
    slow = Counter({f"sql|{query_times.step_of(60)}": 1})
    assert missed(counted=slow) == ["database statement, p95"]


def test_a_service_that_only_throttles_misses_its_target():
    (what,) = missed(load=answered(10, throttled=90))
    assert what == "requests outside the crowd that were answered, not throttled"


@pytest.mark.parametrize(
    "found",
    [
        {"p95": 100.0},
        {"failed": 1},
        {"count": 94},
        # What all are answered with 429 is that no latency is known.
        {"count": 0, "p95": 0, "endpoints": {}},
        # A stall of one endpoint, which the others hide.
        {"endpoints": {"GET /projects": {"count": 20, "p95": 100.0}}},
    ],
)
def test_an_open_loop_is_judged_by_the_share_answered_and_by_its_slowest_endpoint(found):
    assert missed(open_loop=open_loop(**found)) == [
        "open loop: a constant rate, p95 of each endpoint from the intended start"
    ]


def test_a_hit_rate_between_the_target_and_our_budget_misses_the_budget_only():
    counted = Counter({"cache|orgs:key|hit": 90, "cache|orgs:key|miss": 10})
    assert missed(counted=counted) == ["cache hit rate of them all, our budget"]


def test_a_family_that_hardly_hits_misses_its_target_however_well_the_others_do():
    counted = Counter({"cache|orgs:key|hit": 5000})
    counted += Counter({"cache|credits:balance|hit": 80, "cache|credits:balance|miss": 20})
    assert missed(counted=counted) == ["cache hit rate of each family that requests ask for"]
    counted["cache|credits:balance|old"] = 1  # was served while it was loaded anew
    assert missed(counted=counted) == []


def test_what_is_kept_as_shown_is_named_by_family_and_not_judged():
    counted = Counter({"cache|orgs:key|hit": 100, "cache|jobs:lists|hit": 3})
    counted += Counter({"cache|projects:moments|hit": 15, "cache|projects:moments|miss": 5})
    (found,) = [each for each in targets(run(counted=counted)) if "as shown" in each.what]
    # Of fewer than twenty a share says nothing.
    assert (found.measured, found.passed) == ("75.0% (projects:moments)", None)
    assert missed(counted=counted) == []


def test_what_no_request_waits_for_is_not_judged():
    counted = Counter({"cache|orgs:key|hit": 100, "cache|staff:sums|miss": 100})
    assert missed(counted=counted) == []


def test_under_chaos_nothing_may_answer_5xx_and_everything_may_be_slow():
    assert missed(load=recorded(ms=500), chaos=True) == []
    failed = recorded(failure="status 503")
    assert "5xx while Redis was dead and after" in missed(load=failed, chaos=True)


def test_chaos_in_which_redis_lived_on_or_stayed_dead_proves_nothing():
    assert missed(chaos=True, pages={}) == []
    assert missed(chaos=True, came_back=False) == ["5xx while Redis was dead and after"]


def test_fewer_users_than_promised_prove_nothing():
    load = Recorder([Stage(3, 1)]).summary()
    users = next(each for each in targets(run(load=load)) if each.what == "users at once")
    assert users.passed is None


@pytest.mark.parametrize("milliseconds", [0.01, 0.05, 1, 49, 1234])
def test_a_time_is_read_back_at_most_a_quarter_too_long(milliseconds: float):
    counted = {f"sql|{query_times.step_of(milliseconds)}": 3, "cache|a|hit": 1}
    read = query_times.percentile(counted, 95)
    assert read is not None
    assert milliseconds <= read <= max(query_times.SHORTEST_MS, milliseconds * query_times.STEP)


def test_no_statements_have_no_percentile():
    assert query_times.percentile({}, 95) is None


# --- the open loop ---


def test_a_latency_counts_from_when_the_request_should_have_been_made():
    """Requests due while the server stalls for a second are late, also those sent after it."""
    stalls = [1.0]
    served: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(cast("asyncio.Task[Any]", asyncio.current_task()))
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            if stalls:
                time.sleep(stalls.pop())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()
        await writer.wait_closed()

    async def measured() -> OpenLoopResult:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            outcome = await OpenLoop(url, gets("/", ["key"])).run(per_second=100, seconds=1)
            await asyncio.gather(*served)
        return outcome

    outcome = asyncio.run(measured())
    assert outcome.statuses == {"200": 100}
    assert figures(outcome.latencies)["p99"] >= 900


def test_the_open_loop_asks_for_lists_and_details_and_posts_as_front_ends_do():
    tiers = ["FREE", "ENTERPRISE"]
    found = [
        cast("Customer", SimpleNamespace(org=SimpleNamespace(tier=tier), key=tier, project="p-1"))
        for tier in tiers
    ]
    drawn = list(itertools.islice(request_mix(found, with_pricing=True), 2100))
    names = Counter(ask.name for ask in drawn)
    assert 500 < names["GET /projects/{id}"] < 760
    assert min(names.values()) > 40
    assert set(names) > {"GET /projects", "GET /exports", "POST /quotes", "GET /pricing"}
    assert Counter(ask.key for ask in drawn) == {"FREE": 100, "ENTERPRISE": 2000}
    quote = next(ask for ask in drawn if ask.method == "POST")
    assert quote.to_bytes("h").endswith(b'Content-Length: 22\r\n\r\n{"export_seconds": 30}')
    pricing = {ask.name for ask in itertools.islice(request_mix(found, with_pricing=False), 1000)}
    assert "GET /pricing" not in pricing


def test_a_tree_is_compared_by_the_medians_of_its_rounds():
    def result(cost: float, p95: float, failed: int = 0) -> dict[str, Any]:
        shares = {"p50": 1, "p95": p95, "p99": 9, "count": 10, "max": 10}
        stage = {"all": shares, "endpoints": {"a": shares}, "failed": failed, "requests": 10}
        return {"stages": [stage], "machine": {against.COST: cost}}

    sides = {
        name: against.medians([result(cost * share, 5) for share in (1, 3, 2)])
        for name, cost in (("now", 1.5), ("then", 4))
    }
    assert (sides["now"][against.COST], sides["then"][against.COST]) == (3, 8)
    assert sides["now"]["requests"] == 30
    found = against.ratios(sides)
    assert found[against.COST] == 0.38
    assert "failed" not in found  # nothing failed then


def test_a_revision_that_is_none_is_refused_before_anything_starts():
    with pytest.raises(BadRequest, match="nowhere is no revision"):
        against.beside("nowhere", users="4", stage="4s", rounds=1)
