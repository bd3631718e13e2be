"""Many callers, one call at a time: the callers that come meanwhile share the next one."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Singleflight:
    """Calls by name, shared by all threads of a process.

    The call that a caller shares begins after it asked: its result is as fresh as that of a call of
    its own, and comes after two calls at the most. Names are never forgotten: use few.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[str, Future[Any]] = {}
        self._working: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def do(self, name: str, work: Callable[[], Any]) -> Any:
        """The result of `work`, or its exception, from the one thread that calls it for this batch.

        All callers of a batch get the same object.
        """
        with self._lock:
            batch, mine = self._next.get(name), False
            if batch is None:
                batch, mine = self._next.setdefault(name, Future()), True
            working = self._working[name]
        if mine:
            with working:
                with self._lock:  # a caller from here on is too late for it
                    del self._next[name]
                try:
                    batch.set_result(work())
                except BaseException as error:
                    batch.set_exception(error)
        return batch.result()
