"""Places where a test lets this process die. Inert unless settings.FAULTPOINTS says otherwise.

Before and after every statement, and before and after every commit, is such a place: so that a
crash can come between any two of them, and no code has to name a place or can forget one. A rule
says what happens, when, and where (a pattern that is searched in `before|after STATEMENT`):

    exit 3 after INSERT INTO credits_     the third such statement ends the process, as SIGKILL would
    exit 0.001 .                          any place, once in a thousand times
    drop 0.01 before COMMIT               the connection breaks before one commit in a hundred

Rules are separated by semicolons. `check --deploy` refuses a service that has any.
"""

from __future__ import annotations

import os
import random
import re
import threading
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

# Of a process that a rule ended; nothing else of ours exits with it.
EXIT_CODE = 86

Act = Callable[[BaseDatabaseWrapper], None]


def end_process(_: BaseDatabaseWrapper) -> None:
    os._exit(EXIT_CODE)


def drop_connection(connection: BaseDatabaseWrapper) -> None:
    """Close it under Django, which finds out when it uses it next."""
    if connection.connection is not None:
        connection.connection.close()


ACTS: dict[str, Act] = {"exit": end_process, "drop": drop_connection}


class Rule:
    """`when` is the number of the matching place, or the chance of each if it is below 1."""

    def __init__(self, act: Act, when: float, pattern: str) -> None:
        self._act = act
        self._when = when
        self._pattern = re.compile(pattern)
        self._matches = 0
        self._lock = threading.Lock()

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Raises ValueError or KeyError for what is no rule."""
        act, when, pattern = text.split(maxsplit=2)
        return cls(ACTS[act], float(when), pattern)

    def reached(self, place: str, connection: BaseDatabaseWrapper) -> None:
        if self._pattern.search(place) and self._is_due():
            self._act(connection)

    def _is_due(self) -> bool:
        if self._when < 1:
            return random.random() < self._when  # noqa: S311 - no secret is made of it
        with self._lock:
            self._matches += 1
            return self._matches == self._when


class FaultPoints:
    """Watches connections and applies the rules to what they do."""

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = rules

    @classmethod
    def parse(cls, text: str) -> FaultPoints:
        return cls([Rule.parse(rule.strip()) for rule in text.split(";") if rule.strip()])

    def watch(self, connection: BaseDatabaseWrapper, **_: Any) -> None:
        """Also the receiver of `connection_created`, which comes again with every reconnection."""
        if any(getattr(each, "__self__", None) is self for each in connection.execute_wrappers):
            return
        connection.execute_wrappers.append(self._around_statement)
        commit = connection._commit  # type: ignore[attr-defined] # `commit` itself is not called by atomic

        def watched_commit() -> Any:
            self._reached("before COMMIT", connection)
            result = commit()
            self._reached("after COMMIT", connection)
            return result

        connection._commit = watched_commit  # type: ignore[attr-defined]

    def _around_statement(
        self, execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        statement = " ".join(str(sql).split())
        self._reached(f"before {statement}", context["connection"])
        result = execute(sql, params, many, context)
        self._reached(f"after {statement}", context["connection"])
        return result

    def _reached(self, place: str, connection: BaseDatabaseWrapper) -> None:
        for rule in self._rules:
            rule.reached(place, connection)
