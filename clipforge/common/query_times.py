"""Times of SQL statements as their callers waited for them, over all processes of the service.

Each is counted under the step that it falls in; a step is a quarter longer than the one before,
so what is read back from them is at most a quarter too much. Includes the way to the database and
back, and waiting for this process's other threads; COMMIT is not seen.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from clipforge.common import error_tracking
from clipforge.common.cache.metrics import metrics

PREFIX = "sql|"
STEP = 1.25
# The shortest that is told apart. Milliseconds.
SHORTEST_MS = 0.05


def watch(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """The receiver of `connection_created`."""
    if _timed not in connection.execute_wrappers:
        connection.execute_wrappers.append(_timed)


def step_of(milliseconds: float) -> int:
    return max(0, math.ceil(math.log(max(milliseconds, SHORTEST_MS) / SHORTEST_MS, STEP)))


def end_of(step: int) -> float:
    """The longest of a step. Milliseconds."""
    return SHORTEST_MS * STEP**step


def percentile(counted: Mapping[str, int], share: float) -> float | None:
    """The time that `share` percent of the counted statements did not exceed, in milliseconds.

    None when there were none.
    """
    steps = {
        int(name.removeprefix(PREFIX)): count
        for name, count in counted.items()
        if name.startswith(PREFIX)
    }
    left = sum(steps.values()) * share / 100
    for step in sorted(steps):
        left -= steps[step]
        if left <= 0:
            return end_of(step)
    return None


def _timed(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    span = error_tracking.span_of_statement(sql) or contextlib.nullcontext()
    started = time.perf_counter()
    try:
        with span:
            return execute(sql, params, many, context)
    finally:
        metrics.count(f"{PREFIX}{step_of((time.perf_counter() - started) * 1000)}")
