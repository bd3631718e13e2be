"""The record of every cache operation: a count for its key family, and a line at DEBUG."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Any

from clipforge.common.cache.metrics import metrics

logger = logging.getLogger("clipforge.cache")


def family(key: str) -> str:
    """The family of a key, its first two parts: `app:thing` for `app:thing:9b…`."""
    return ":".join(key.split(":", 2)[:2])


def record(key: str, result: str, amount: int = 1) -> None:
    """Count a result for the family of the key: hit, miss, error, fill, fill_us, refused."""
    metrics.count(f"cache|{family(key)}|{result}", amount)


def log_operation(operation: str, key: str, outcome: str, started: float) -> None:
    """`started` is a reading of `time.perf_counter`."""
    if logger.isEnabledFor(logging.DEBUG):
        microseconds = round((time.perf_counter() - started) * 1_000_000)
        logger.debug(
            "cache %s", operation, extra={"key": key, "outcome": outcome, "us": microseconds}
        )


def families_of(totals: Counter[str]) -> dict[str, dict[str, Any]]:
    """The counters `cache|family|result` by family. `hit_rate` is None for one that was never read.

    An old value that is served while one caller loads a new one is a hit; `fill_ms` is the mean.
    """
    results: dict[str, Counter[str]] = {}
    for name, value in totals.items():
        kind, *rest = name.split("|")
        if kind == "cache":
            results.setdefault(rest[0], Counter())[rest[1]] += value
    families = {}
    for family, counted in sorted(results.items()):
        hits, misses = counted["hit"] + counted["old"], counted["miss"]
        families[family] = {
            "hits": hits,
            "misses": misses,
            "errors": counted["error"],
            "refused": counted["refused"],
            "hit_rate": hits / (hits + misses) if hits + misses else None,
            "fill_ms": counted["fill_us"] / counted["fill"] / 1000 if counted["fill"] else 0.0,
        }
    return families
