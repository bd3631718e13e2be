"""Thresholds of a run.

A throttled answer counts as a failure only within the organization's limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from locustfiles.recording import is_answer


@dataclass(frozen=True)
class Thresholds:
    p95_ms: float = 100
    failed_share: float = 0.001
    # Of the planned requests. Users who wait for a server that stalls send fewer requests.
    made_share: float = 0.9
    # Of the requests outside the crowd. A throttled request was not served.
    answered_share: float = 0.9
    # With fewer requests a p95 has no meaning.
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
    """The fault of an answer, in words; None for an answer that a client has to expect.

    `code` is that of a problem document. `may_have_ended`: the job may have ended before the cancellation.
    """
    if code == "wrong_state" and may_have_ended:
        return None
    if status == 429:
        if not (retry_after or "").isdigit():
            return "429 without Retry-After"
        expected = may_be_throttled or code == "concurrent_jobs"
        return None if expected else "429 within the limit"
    return None if 200 <= status < 300 else f"status {status}"
