"""What the service promises under load, and whether it kept it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from clipforge.common import query_times

API_P95_MS = 100
QUERY_P95_MS = 50
HIT_RATE = 0.8
HIT_RATE_BUDGET = 0.95
PAGE_SECONDS = 2
USERS = 100
FAILED_SHARE = 0.001
MADE_SHARE = 0.9


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


def targets(run: Run) -> list[Target]:
    return [*_of_load(run), *_of_chaos(run), *_of_server(run), _of_ledger(run)]


def families(counted: Counter[str]) -> dict[str, dict[str, Any]]:
    """Hits, misses and the hit rate of each cache family; one that a load renews missed."""
    found: dict[str, Counter[str]] = {}
    for name, count in counted.items():
        kind, _, rest = name.partition("|")
        if kind == "cache":
            family, _, result = rest.rpartition("|")
            found.setdefault(family, Counter())[result] += count
    return {name: _hits(results) for name, results in sorted(found.items())}


def _hits(results: Counter[str]) -> dict[str, Any]:
    hits, misses = results["hit"], results["miss"] + results["old"]
    rate = round(hits / (hits + misses), 4) if hits + misses else None
    return {"hits": hits, "misses": misses, "errors": results["error"], "rate": rate}


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
            "requests made of those planned", f">= {MADE_SHARE:.0%}", f"{made:.0%}", made >= 0.9
        ),
        Target("users at once", f">= {USERS}", str(most), True if most >= USERS else None),
    ]
    if run.open_loop:
        found.append(_of_open_loop(run.open_loop))
    return found


def _slowest(stages: list[dict[str, Any]]) -> tuple[str, float]:
    rows = [
        (f"{name}, {stage['users']} users", row["p95"])
        for stage in stages
        for name, row in stage["endpoints"].items()
        if not name.endswith("[429]") and row["count"] >= 20
    ]
    return max(rows, key=lambda row: row[1], default=("", 0.0))


def _of_open_loop(found: dict[str, Any]) -> Target:
    return Target(
        "open loop: balance at a constant rate, p95 from the intended start",
        f"< {API_P95_MS} ms, none failed",
        f"{found['p95']:g} ms at {found['per_second']:g}/s, {found['failed']} failed",
        found["p95"] < API_P95_MS and not found["failed"],
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
    return [Target("5xx while Redis was dead and after", "none", measured, not errors)]


def _of_server(run: Run) -> list[Target]:
    found = []
    p95 = query_times.percentile(run.counted, 95)
    longest = query_times.percentile(run.counted, 100)
    if p95 is not None and longest is not None:
        measured = f"{p95:.1f} ms (longest {longest:.0f} ms)"
        found.append(
            Target("database statement, p95", f"< {QUERY_P95_MS} ms", measured, p95 < QUERY_P95_MS)
        )
    totals = families(run.counted).values()
    hits, misses = (sum(each[name] for each in totals) for name in ("hits", "misses"))
    if not run.chaos and hits + misses:
        found += [
            Target(
                what,
                f"> {least:.0%}",
                f"{hits / (hits + misses):.1%}",
                hits > least * (hits + misses),
            )
            for what, least in [
                ("cache hit rate", HIT_RATE),
                ("cache hit rate, our budget", HIT_RATE_BUDGET),
            ]
        ]
    if run.pages:
        page, seconds = max(run.pages.items(), key=lambda item: item[1])
        found.append(
            Target(
                "slowest page, at the last stage's load",
                f"< {PAGE_SECONDS} s",
                f"{seconds:g} s ({page})",
                seconds < PAGE_SECONDS,
            )
        )
    return found


def _of_ledger(run: Run) -> Target:
    return Target("breaches of the ledger's invariants", "0", str(run.breaches), not run.breaches)
