"""What a run must keep to. Throttled answers are no failures, unless nobody asked for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from locustfiles.recording import is_answer


@dataclass(frozen=True)
class Thresholds:
    p95_ms: float = 100
    failed_share: float = 0.001
    # Of the planned requests. A server that stalls is asked less by users who wait for it.
    made_share: float = 0.9
    # Of the requests outside the crowd. Who is only throttled has not been served.
    answered_share: float = 0.9
    # Below it a percentile says nothing.
    fewest_for_p95: int = 20


def breaches(result: dict[str, Any], limits: Thresholds) -> list[str]:
    """A sentence about each threshold that was not kept; empty for a good run."""
    return [line for stage in result["stages"] for line in _of_stage(stage, limits)]


def _of_stage(stage: dict[str, Any], limits: Thresholds) -> list[str]:
    where = f"{stage['users']} users"
    found = []
    if stage["requests"] < limits.made_share * stage["planned"]:
        found.append(f"{where}: {stage['requests']} requests were made of {stage['planned']}.")
    within, answered = (stage["outside_crowd"][name] for name in ("requests", "answered"))
    if answered < limits.answered_share * within:
        found.append(f"{where}: {answered} of {within} requests outside the crowd were answered.")
    if stage["failed"] > limits.failed_share * stage["requests"]:
        worst = ", ".join(f"{count} × {what}" for what, count in stage["failures"].items())
        found.append(f"{where}: {stage['failed']} of {stage['requests']} failed ({worst}).")
    if not stage["requests"]:
        found.append(f"{where}: nothing was asked.")
    return found + [
        f"{where}: {name} took {row['p95']:g} ms (p95); {limits.p95_ms:g} are allowed."
        for name, row in {"all": stage["all"], **stage["endpoints"]}.items()
        if is_answer(name) and row["count"] >= limits.fewest_for_p95 and row["p95"] > limits.p95_ms
    ]


def fault_of(
    status: int,
    retry_after: str | None,
    *,
    code: str = "",
    may_be_throttled: bool,
    may_have_ended: bool = False,
) -> str | None:
    """What is wrong with an answer; None for one that a client has to expect.

    `code` is that of a refusal. `may_have_ended`: a worker may have been faster than who cancels.
    """
    if code == "wrong_state" and may_have_ended:
        return None
    if status == 429:
        if not (retry_after or "").isdigit():
            return "429 without Retry-After"
        expected = may_be_throttled or code == "concurrent_jobs"
        return None if expected else "429 within the limit"
    return None if 200 <= status < 300 else f"status {status}"
