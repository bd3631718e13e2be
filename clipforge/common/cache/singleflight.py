"""Many callers, one piece of work at a time: those who come meanwhile share the next one."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Singleflight:
    """Work by name, for all threads of a process.

    What a caller gets was begun after it asked, so it is as fresh as had it worked by itself, and
    at most two pieces of work have passed. Names are never forgotten: use few.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[str, Future[Any]] = {}
        self._working: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def share(self, name: str, work: Callable[[], Any]) -> Any:
        """What `work` returns or raises, here or in the one thread that works for this batch.

        All callers of a batch get the same object.
        """
        with self._lock:
            batch, mine = self._next.get(name), False
            if batch is None:
                batch, mine = self._next.setdefault(name, Future()), True
            working = self._working[name]
        if mine:
            with working:
                with self._lock:  # who comes from here on is too late for it
                    del self._next[name]
                try:
                    batch.set_result(work())
                except BaseException as error:
                    batch.set_exception(error)
        return batch.result()
