"""The targets of the service under load, and their evaluation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from clipforge.common import query_times
from clipforge.common.cache.log import families_of

API_P95_MS = 100
QUERY_P95_MS = 50
HIT_RATE = 0.8
HIT_RATE_BUDGET = 0.95
PAGE_SECONDS = 2
USERS = 100
FAILED_SHARE = 0.001
MADE_SHARE = 0.9
ANSWERED_SHARE = 0.9
OPEN_LOOP_ANSWERED_SHARE = 0.95
# Below it a share or a percentile says nothing.
FEWEST = 20
# What requests ask for, by key family.
REQUEST_PATH = frozenset(
    {"orgs:key", "orgs:organization", "orgs:limits", "credits:balance", "pricing:all"}
)
# What is kept as it was shown. Most of it is asked for once or twice in a run, so that its rate says more of
# how long that was than of the service: it is shown, and not judged.
SHOWN = frozenset({"jobs:shown", "jobs:lists", "projects:moments", "orgs:storage"})


@dataclass(frozen=True)
class Target:
    """`passed` is None when this run could not tell."""

    what: str
    required: str
    measured: str
    passed: bool | None


@dataclass
class Run:
    """All that was measured. What was not is empty."""

    load: dict[str, Any]
    counted: Counter[str]
    pages: dict[str, float]
    breaches: int
    open_loop: dict[str, Any]
    chaos: bool
    # Under chaos: Redis died while there was load, and answered again before that ended.
    came_back: bool


def targets(run: Run) -> list[Target]:
    return [*_of_load(run), *_of_chaos(run), *_of_server(run), _of_ledger(run)]


def _of_load(run: Run) -> list[Target]:
    stages = run.load["stages"]
    name, p95 = _slowest(stages)
    requests = sum(stage["requests"] for stage in stages)
    failed = sum(stage["failed"] for stage in stages)
    made = min(stage["requests"] / max(stage["planned"], 1) for stage in stages)
    most = max(stage["users"] for stage in stages)
    found = [
        Target(
            "API, p95 of each endpoint and stage",
            f"< {API_P95_MS} ms",
            f"{p95:g} ms ({name})",
            None if run.chaos or not name else p95 < API_P95_MS,
        ),
        Target(
            "failed requests (429 within the rules is no failure)",
            f"<= {FAILED_SHARE:.1%}",
            f"{failed:,} of {requests:,}",
            failed <= FAILED_SHARE * requests,
        ),
        Target(
            "requests made of those planned",
            f">= {MADE_SHARE:.0%}",
            f"{made:.0%}",
            made >= MADE_SHARE,
        ),
        _of_answered(stages),
        Target("users at once", f">= {USERS}", str(most), True if most >= USERS else None),
    ]
    if run.open_loop:
        found.append(_of_open_loop(run.open_loop))
    return found


def _of_answered(stages: list[dict[str, Any]]) -> Target:
    """A refused request counts as sent and as no failure, so that a service which refuses all must fail here."""
    within = [stage["outside_crowd"] for stage in stages]
    answered = min(each["answered"] / max(each["requests"], 1) for each in within)
    return Target(
        "requests outside the crowd that were answered, not throttled",
        f">= {ANSWERED_SHARE:.0%}",
        f"{answered:.0%}",
        answered >= ANSWERED_SHARE,
    )


def _slowest(stages: list[dict[str, Any]]) -> tuple[str, float]:
    rows = [
        (f"{name}, {stage['users']} users", p95)
        for stage in stages
        for name, p95 in _p95s(stage["endpoints"])
        if not name.endswith("[429]")
    ]
    return max(rows, key=lambda row: row[1], default=("", 0.0))


def _p95s(endpoints: dict[str, dict[str, float]]) -> list[tuple[str, float]]:
    return [(name, row["p95"]) for name, row in endpoints.items() if row["count"] >= FEWEST]


def _of_open_loop(found: dict[str, Any]) -> Target:
    answered = found["count"] / max(found["planned"], 1)
    p95s = [("all", found["p95"]), *_p95s(found["endpoints"])]
    name, p95 = max(p95s, key=lambda row: row[1])
    return Target(
        "open loop: a constant rate, p95 of each endpoint from the intended start",
        f"< {API_P95_MS} ms, >= {OPEN_LOOP_ANSWERED_SHARE:.0%} answered, none failed",
        f"{p95:g} ms ({name}) at {found['per_second']:g}/s, {answered:.1%} answered, "
        f"{found['failed']} failed",
        p95 < API_P95_MS and answered >= OPEN_LOOP_ANSWERED_SHARE and not found["failed"],
    )


def _of_chaos(run: Run) -> list[Target]:
    if not run.chaos:
        return []
    errors = {
        what: count
        for stage in run.load["stages"]
        for what, count in stage["failures"].items()
        if "status 5" in what or "no answer" in what
    }
    measured = ", ".join(f"{count} × {what}" for what, count in errors.items()) or "none"
    if not run.came_back:  # then it proves nothing
        measured += "; but Redis did not die and come back while there was load"
    passed = not errors and run.came_back
    return [Target("5xx while Redis was dead and after", "none", measured, passed)]


def _of_server(run: Run) -> list[Target]:
    found = []
    p95 = query_times.percentile(run.counted, 95)
    longest = query_times.percentile(run.counted, 100)
    if p95 is not None and longest is not None:
        measured = f"{p95:.1f} ms (longest {longest:.0f} ms)"
        found.append(
            Target("database statement, p95", f"< {QUERY_P95_MS} ms", measured, p95 < QUERY_P95_MS)
        )
    if not run.chaos:
        found += _of_cache(run.counted)
    return [*found, _of_pages(run)]


def _of_pages(run: Run) -> Target:
    what, required = "slowest page, at the last stage's load", f"< {PAGE_SECONDS} s"
    if not run.pages:  # no time was left after Redis was back, or pages were not asked for
        return Target(what, required, "not measured", None if run.chaos else False)
    page, seconds = max(run.pages.items(), key=lambda item: item[1])
    return Target(what, required, f"{seconds:g} s ({page})", seconds < PAGE_SECONDS)


def _of_cache(counted: Counter[str]) -> list[Target]:
    """Of what requests ask for: each family by itself, and all together by a budget of our own."""
    found = {
        name: (family["hits"], family["hits"] + family["misses"])
        for name, family in families_of(counted).items()
        if family["hits"] + family["misses"] >= FEWEST
    }
    asked = {name: lookups for name, lookups in found.items() if name in REQUEST_PATH}
    shown = {name: lookups for name, lookups in found.items() if name in SHOWN}
    return [*(_of_rates(asked) if asked else []), *([_of_shown(shown)] if shown else [])]


def _of_shown(shown: dict[str, tuple[int, int]]) -> Target:
    rates = ", ".join(f"{hits / lookups:.1%} ({name})" for name, (hits, lookups) in shown.items())
    goal = f"goal: > {HIT_RATE_BUDGET:.0%}"
    return Target("cache hit rate of each family of what is kept as shown", goal, rates, None)


def _of_rates(asked: dict[str, tuple[int, int]]) -> list[Target]:
    rates = {name: hits / lookups for name, (hits, lookups) in asked.items()}
    worst = min(rates, key=lambda name: rates[name])
    hits, lookups = map(sum, zip(*asked.values(), strict=True))
    return [
        Target(
            "cache hit rate of each family that requests ask for",
            f"> {HIT_RATE:.0%}",
            f"{rates[worst]:.1%} ({worst})",
            rates[worst] > HIT_RATE,
        ),
        Target(
            "cache hit rate of them all, our budget",
            f"> {HIT_RATE_BUDGET:.0%}",
            f"{hits / lookups:.1%}",
            hits > HIT_RATE_BUDGET * lookups,
        ),
    ]


def _of_ledger(run: Run) -> Target:
    return Target("breaches of the ledger's invariants", "0", str(run.breaches), not run.breaches)
