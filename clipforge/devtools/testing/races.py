"""Threads that do the same thing at the same moment, each with a connection of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

T = TypeVar("T")


def run_together(
    count: int, act: Callable[[int], T], *, seconds: float = 240, connected: bool = True
) -> list[T | Exception]:
    """Call `act(0)` ... `act(count - 1)` in as many threads, let go at the same moment.

    Returns what each returned or raised, in order. Needs committed data:
    `@pytest.mark.django_db(transaction=True)`. Without `connected` a thread asks for a connection to
    PostgreSQL when it needs one: more threads than that has room for, of which few do.
    """
    start = threading.Barrier(count)

    def one(number: int) -> T | Exception:
        try:
            if connected:
                connection.ensure_connection()
            start.wait(seconds)
            return act(number)
        except Exception as error:  # the caller asserts on what came out
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count), timeout=seconds))


def until_a_lock_is_waited_for(*, seconds: float = 120) -> None:
    """Return once another connection to this database is stopped by a lock, ours presumably."""
    deadline = time.monotonic() + seconds
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(
                "SELECT 1 FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone():
                return
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            time.sleep(0.01)
    raise AssertionError(f"no session waited for a lock within {seconds:g} s")
