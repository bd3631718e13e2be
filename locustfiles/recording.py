"""Results by stage, which locust's own statistics do not have."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

THROTTLED = " [429]"


@dataclass(frozen=True)
class Stage:
    users: int
    seconds: float

    @staticmethod
    def parse(text: str) -> list[Stage]:
        """`50:60,100:60`. Raises ValueError."""
        pairs = [part.split(":") for part in text.split(",")]
        stages = [Stage(int(users), float(seconds)) for users, seconds in pairs]
        if any(stage.users < 1 or stage.seconds <= 0 for stage in stages):
            raise ValueError(f'"{text}" has a stage without users or without time.')
        return stages


@dataclass
class StageResult:
    """The requests of one stage, their latencies in milliseconds and their failures."""

    stage: Stage
    # Requests that the front ends would make if every answer came at once.
    planned: float = 0
    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: Counter[str] = field(default_factory=Counter)
    # Requests of front ends outside the crowd, which stay within their limit.
    within: int = 0
    answered_within: int = 0

    def add(
        self, name: str, milliseconds: float, failure: str | None, *, of_crowd: bool = False
    ) -> None:
        self.latencies[name].append(milliseconds)
        if not of_crowd:
            self.within += 1
            self.answered_within += is_answer(name)
        if failure is not None:
            self.failures[f"{name}: {failure}"] += 1

    def summary(self) -> dict[str, Any]:
        answered = [ms for name, found in self.latencies.items() if is_answer(name) for ms in found]
        total = sum(map(len, self.latencies.values()))
        return {
            **dataclasses.asdict(self.stage),
            "planned": round(self.planned),
            "requests": total,
            "throttled": total - len(answered),
            "outside_crowd": {"requests": self.within, "answered": self.answered_within},
            "failed": sum(self.failures.values()),
            "failures": dict(self.failures.most_common(20)),
            "per_second": round(total / self.stage.seconds, 1),
            "all": figures(answered),
            "endpoints": {name: figures(self.latencies[name]) for name in sorted(self.latencies)},
        }


class Recorder:
    """The results by stage. A request counts in the stage in which it ends."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.results = [StageResult(stage) for stage in stages]
        # Requests a second that all running front ends plan.
        self.per_second = 0.0
        self._current = 0

    @property
    def current(self) -> StageResult:
        return self.results[self._current]

    def pass_time(self, seconds: float) -> None:
        self.current.planned += seconds * self.per_second

    def at(self, seconds: float) -> Stage | None:
        """The stage `seconds` after the start, which becomes the current one; None after the last."""
        for number, result in enumerate(self.results):
            seconds -= result.stage.seconds
            if seconds < 0:
                self._current = number
                return result.stage
        return None

    def summary(self) -> dict[str, Any]:
        return {"stages": [result.summary() for result in self.results]}


def is_answer(name: str) -> bool:
    """Whether a row has answers; throttled requests have rows of their own."""
    return not name.endswith(THROTTLED)


def figures(milliseconds: Iterable[float]) -> dict[str, float]:
    """Count, percentiles and maximum, in milliseconds."""
    ordered = sorted(milliseconds)
    return {
        "count": len(ordered),
        **{f"p{share}": percentile(ordered, share) for share in (50, 95, 99)},
        "max": round(ordered[-1], 1) if ordered else 0,
    }


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` percent do not exceed; 0 of nothing."""
    if not ordered:
        return 0
    return round(ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)], 1)
