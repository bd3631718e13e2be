"""Tries of a task that raises: after which pause it comes again, and when it is given up.

A task raises when it could not even claim its job, or not record how that ended. A fault of the
database passes; a row that cannot be claimed stays as it is. So each pause is longer than the one
before, and after `MOST_TRIES` the entry is a dead letter: it stays as failed, for staff to see, and
the sweeper ends the job that it was for. A task that waits takes no worker from others.
"""

from __future__ import annotations

import random

from procrastinate import BaseRetryStrategy, RetryDecision
from procrastinate.jobs import Job as Entry

# Seconds: 5, 10, 20, 40, 80, 160, 300, and up to half as much again. Ten to fifteen minutes in all.
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0
MOST_TRIES = 8

# A job whose worker was lost comes back at once the first time: most likely the machine was at fault.
# The job may be, of one that lost several. Seconds, twice as many each time.
LOST_PAUSE = 30.0


def pause(tries: int, *, first: float = FIRST_PAUSE) -> float:
    """Seconds to wait after so many tries: doubled each time, with jitter of less than the doubling."""
    return float(min(LONGEST_PAUSE, first * 2.0 ** (tries - 1)) * random.uniform(1, 1.5))  # noqa: S311


def pause_after_loss(attempts: int) -> float:
    """Seconds until a job that lost a worker at so many attempts may start again."""
    return pause(attempts - 1, first=LOST_PAUSE) if attempts > 1 else 0.0


class GrowingPauses(BaseRetryStrategy):
    """Of the entry of a job, whatever it raised. None: it is given up."""

    def get_retry_decision(
        self,
        *,
        exception: BaseException,  # noqa: ARG002 - procrastinate calls it so
        job: Entry,
    ) -> RetryDecision | None:
        tries = job.attempts + 1
        if tries >= MOST_TRIES:
            return None
        return RetryDecision(retry_in={"seconds": round(pause(tries))})
