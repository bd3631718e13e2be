"""Several clients doing the same thing at the same moment, for real."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

T = TypeVar("T")


def run_together(
    count: int, act: Callable[[int], T], *, seconds: float = 60
) -> list[T | Exception]:
    """Call `act(0)` ... `act(count - 1)` in as many threads, let go at the same moment.

    Returns what each returned or raised, in order. Needs committed data:
    `@pytest.mark.django_db(transaction=True)`.
    """
    start = threading.Barrier(count)

    def one(number: int) -> T | Exception:
        try:
            connection.ensure_connection()
            start.wait(seconds)
            return act(number)
        except Exception as error:  # the caller asserts on what came out
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count), timeout=seconds))
