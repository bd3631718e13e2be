"""What every cache operation leaves behind: a count for its key family, a line at DEBUG."""

from __future__ import annotations

import logging
import time

from clipforge.common.metrics import metrics

logger = logging.getLogger("clipforge.cache")


def family(key: str) -> str:
    """What keys of one kind have in common: `credits:balance:9b…` is of `credits:balance`."""
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
