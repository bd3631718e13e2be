"""The times between attempts: growing, and never the same for two that failed together."""

from __future__ import annotations

import random

# The waits after the first attempt, the second and so on. Seconds; a day in all.
DELAYS = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 25200, 32400)
# Each wait is up to a tenth shorter or longer, so that an endpoint that comes back is not met by all at once.
JITTER = 0.1
# How long an endpoint that gives no answer is left alone: twice as long each time, up to the last.
FIRST_PAUSE, LONGEST_PAUSE = 5, 300


def delay_after(tries: int) -> float | None:
    """Seconds from the `tries`-th attempt to the next. None: that was the last."""
    return _jittered(DELAYS[tries - 1]) if tries <= len(DELAYS) else None


def pause_after(unanswered: int) -> float:
    """Seconds for which an endpoint is left alone that gave no answer so often in a row."""
    return _jittered(min(FIRST_PAUSE * 2.0 ** min(unanswered - 1, 16), LONGEST_PAUSE))


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret is made of it
