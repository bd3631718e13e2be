"""What makes a load test fail: `locustfiles/thresholds.py`, and the targets of `manage.py loadtest`."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from clipforge.common import query_times
from clipforge.loadtest.targets import Run, targets
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


def test_429_within_the_limit_is_a_failure():
    assert fault_of(429, "12", may_be_throttled=False) == "429 within the limit"


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
        recorder.current.add("GET /me [429]", 500, None)
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
    open_loop = {"p95": 10.0, "per_second": 130.0, "failed": 0}
    made = {
        "load": recorded(),
        "counted": counted,
        "pages": {"/admin/": 0.1},
        "breaches": 0,
        "open_loop": open_loop,
        "chaos": False,
    }
    return Run(**{**made, **changes})


def missed(**changes: Any) -> list[str]:
    return [target.what for target in targets(run(**changes)) if target.passed is False]


def test_all_targets_are_met():
    assert missed() == []
    assert all(target.passed for target in targets(run()))


def test_each_target_can_be_missed():
    assert missed(breaches=1) == ["breaches of the ledger's invariants"]
    assert missed(pages={"/admin/": 2.0}) == ["slowest page, at the last stage's load"]
    assert missed(open_loop={"p95": 100.0, "per_second": 1.0, "failed": 0}) == [
        "open loop: balance at a constant rate, p95 from the intended start"
    ]
    assert missed(load=recorded(ms=100)) == ["API, p95 of each endpoint and stage"]
    assert missed(load=recorded(count=80)) == ["requests made of those planned"]
    slow = Counter({f"sql|{query_times.step_of(60)}": 1})
    assert missed(counted=slow) == ["database statement, p95"]


def test_a_hit_rate_between_the_target_and_our_budget_misses_the_budget_only():
    counted = Counter({"cache|a:b|hit": 90, "cache|a:b|miss": 10})
    assert missed(counted=counted) == ["cache hit rate, our budget"]


def test_under_chaos_nothing_may_answer_5xx_and_everything_may_be_slow():
    assert missed(load=recorded(ms=500), chaos=True) == []
    failed = recorded(failure="status 503")
    assert "5xx while Redis was dead and after" in missed(load=failed, chaos=True)


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
