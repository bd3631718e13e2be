"""The turns of the children that a request waits for: posters, curves, choosing and placing moments.

Each keeps a thread of the process, of which there are four by default, and a processor. So two of them
run at the same time in a process; the others of its threads stay for the rest of the API.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from clipforge.common.errors import Unavailable

MOST_AT_ONCE = 2
PATIENCE = 1.0  # seconds that a request waits for its turn
RETRY_SECONDS = 2

slots = threading.BoundedSemaphore(MOST_AT_ONCE)


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """One of the turns. Raises Unavailable where none comes in time: nothing was done."""
    if not slots.acquire(timeout=PATIENCE):
        raise Unavailable(
            "Too much is being looked at here. Try again in a moment.",
            code="children_busy",
            retry_after=RETRY_SECONDS,
        )
    try:
        yield
    finally:
        slots.release()
