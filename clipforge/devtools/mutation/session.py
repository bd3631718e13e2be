"""One warm pytest process that tries mutant after mutant, each in a fork of itself.

First every test runs once, traced, so that it is known which lines each executes. A mutant then is
put into a fork, which runs the tests of its line until one fails: first those that an earlier run
recommends, then the quickest. A fork costs some hundredths of a second, a fresh process with Django
and its database some seconds.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from clipforge.devtools.mutation import functions
from clipforge.devtools.mutation.scope import ROOT, Group

if TYPE_CHECKING:
    from clipforge.devtools.mutation.mutants import Mutant

SKIPPED = ("long", "slow", "faults", "browser")
# Of a mutant's tests, the quickest that take so long together are run. More is spent on survivors only.
MOST_SECONDS = 120
# Of a function of the database: any test that calls it, not only those that run what differs.
MOST_SECONDS_OF_FUNCTIONS = 45
# Of one that the page explains: no test is expected to notice it.
MOST_SECONDS_OF_EXPLAINED = 5
# So many mutants are tried before the tests that noticed them are run without any.
CHUNK = 10
KILLED, SURVIVED, HANGS, UNTESTED, UNPLANTABLE, ERROR = range(6)
NAMES = ("killed", "survived", "hangs", "untested", "unplantable", "error")


class Result(NamedTuple):
    """The result of one mutant. `tests` is the number of tests that reach it."""

    key: str
    path: str
    operator: str
    line: int
    before: str
    after: str
    outcome: str
    tests: int
    seconds: float
    by: str  # the test that noticed


class Session:
    """A pytest plugin that takes the place of the loop over all tests."""

    def __init__(
        self,
        group: Group,
        *,
        share: float,
        seed: int,
        record: Path,
        minutes: float,
        only: str = "",
        earlier: Iterable[Result] = (),
        is_explained: Callable[[Mutant], bool] = lambda mutant: False,  # noqa: ARG005 - its type
    ) -> None:
        self.group, self.share, self.seed, self.minutes = group, share, seed, minutes
        self.record, self.only, self.is_explained = record, only, is_explained
        self.results: list[Result] = []
        # Which tests noticed a fault of this text before, and how many each.
        self.noticed: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.noticed_by: dict[str, str] = {}
        self._learn(earlier)
        # Of each test: the lines that it executed (path and number), and its seconds.
        self.lines: dict[str, set[tuple[str, int]]] = {}
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not any(map(item.get_closest_marker, SKIPPED))]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        from clipforge.devtools.mutation.mutants import drawn, mutants_at, places_in

        items = session.items
        paths = [path for path in self.group.sources if self.only in path]
        places = [place for path in paths for place in places_in(path)]
        chosen = mutants_at(drawn(places, share=self.share, seed=self.seed))
        known = {result.key: result for result in recorded(self.record)}
        self._learn(known.values())
        self.results = [known[each.key] for each in chosen if each.key in known]
        new = [each for each in chosen if each.key not in known]
        if new:
            self._say(
                f"{len(places)} places, {len(chosen)} mutants drawn, {len(new)} to try;"
                f" {len(items)} tests are run once"
            )
            self._run_once(items)
            if self.failed:
                self._say(
                    "\n".join(["These fail without a mutant and are left out:", *self.failed])
                )
        began = time.monotonic()
        for first in range(0, len(new), CHUNK):
            if time.monotonic() - began > self.minutes * 60:
                self._say(f"time is over: {len(new) - first} not tried")
                break
            self._try_some(new[first : first + CHUNK], items)
            self._say(f"{min(first + CHUNK, len(new))} of {len(new)}")
        # For the plugins that count: this was no run of tests.
        session.testsfailed = 0
        return True

    def _learn(self, results: Iterable[Result]) -> None:
        for result in results:
            if result.outcome == NAMES[KILLED]:
                self.noticed[result.path, result.before][result.by] += 1
                self.noticed_by[result.key] = result.by

    # --- without a mutant -------------------------------------------------------------

    def _run_once(self, items: list[pytest.Item]) -> None:
        files = {str(ROOT / path): path for path in self.group.sources}
        rest: list[Any] = [*items[1:], items[0].session]
        for item, following in zip(items, rest, strict=True):
            began = time.monotonic()
            with _traced(files) as lines:
                _run(item, following)
            self.lines[item.nodeid] = lines
            self.seconds[item.nodeid] = time.monotonic() - began
        _close_connections()
        # Once more as they are run with a mutant: what fails then would be said to notice any.
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._be_silent()
            self.failed.clear()
            self._run_all(sorted(items, key=lambda item: self.seconds[item.nodeid]))
            os.write(writer, json.dumps(sorted(self.failed)).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            self.failed.update(json.loads(pipe.read() or "[]"))
        os.waitpid(pid, 0)

    def _run_all(self, tests: list[pytest.Item], *, to_the_end: bool = True) -> bool:
        """True if none fails. What the whole session shares stays set up, and nothing else."""
        if not tests:
            return True
        session: Any = tests[0].session
        for test, following in zip(tests, [*tests[1:], session], strict=True):
            _run(test, following)
            if self.failed and not to_the_end:
                break
        session._setupstate.teardown_exact(session)
        return not self.failed

    # --- with one ---------------------------------------------------------------------

    def _try_some(self, mutants: list[Mutant], items: list[pytest.Item]) -> None:
        """Record what comes of each, once the tests that noticed have passed without a mutant."""
        results = {mutant: self._try(mutant, items) for mutant in mutants}
        while lie := self._lie(results.values(), items):
            self._say(f"fails without a mutant too, and is left out: {lie}")
            self.failed.add(lie)
            _repair(items[0].config)
            for mutant in [each for each in mutants if results[each].by == lie]:
                results[mutant] = self._try(mutant, items)
        self.results += results.values()
        self._learn(results.values())
        with self.record.open("a") as file:
            for result in results.values():
                file.write(json.dumps(result._asdict()) + "\n")
                if result.outcome in {"survived", "untested", "error"}:
                    self._say(f"{result.outcome}: {result.path}:{result.line} {result.operator}")
                    self._say(f"    {result.before}\n    {result.after}")

    def _lie(self, results: Iterable[Result], items: list[pytest.Item]) -> str:
        """A test that noticed one of the mutants, and fails without any; "" if there is none.

        What a test leaves behind when it fails, or is ended, may fail those after it.
        """
        noticed = {result.by for result in results} - self.failed
        tests = [item for item in items if item.nodeid in noticed]
        return self._forked(None, tests)[1] if tests else ""

    def _try(self, mutant: Mutant, items: list[pytest.Item]) -> Result:
        began = time.monotonic()
        tests = self._tests_of(mutant, items)
        of_function = functions.is_migration(mutant.path)
        most = MOST_SECONDS_OF_FUNCTIONS if of_function else MOST_SECONDS
        if self.is_explained(mutant):
            most = MOST_SECONDS_OF_EXPLAINED
        count, sum_ = 0, 0.0
        while count < len(tests) and sum_ < most:
            sum_ += self.seconds[tests[count].nodeid]
            count += 1
        if of_function:
            with functions.replaced(mutant.path, mutant.text) as accepted:
                outcome, by = self._forked(None, tests[:count]) if accepted else (UNPLANTABLE, "")
        else:
            outcome, by = self._forked(mutant, tests[:count])
        if outcome == SURVIVED and not tests:
            outcome = UNTESTED
        return Result(
            mutant.key,
            mutant.path,
            mutant.operator,
            mutant.line,
            mutant.before,
            mutant.after,
            NAMES[outcome],
            count,
            round(time.monotonic() - began, 2),
            by,
        )

    def _tests_of(self, mutant: Mutant, items: list[pytest.Item]) -> list[pytest.Item]:
        """Those that execute what differs, or call the function that does; of a Lua script, all.

        First the one that noticed it before, then those that noticed other faults of its text, then
        those in the files of that name, then the quickest.
        """
        found = [item for item in items if item.nodeid not in self.failed]
        names = {Path(mutant.path).stem}
        if functions.is_migration(mutant.path):
            function = functions.changed_function(mutant.path, mutant.text)[0].name
            wanted = self._calls_of(function)
            names = {*function.split("_")[1:], *(Path(path).stem for path, _ in wanted)}
            found = [
                item for item in found if wanted & self.lines[item.nodeid] or _calls(item, function)
            ]
        elif not mutant.path.endswith(".lua"):
            lines = lines_of((ROOT / mutant.path).read_text(), mutant.line)
            wanted = {(mutant.path, line) for line in lines}
            found = [item for item in found if wanted & self.lines[item.nodeid]]

        own, others = self.noticed_by.get(mutant.key), self.noticed[mutant.path, mutant.before]

        def rank(item: pytest.Item) -> tuple[bool, int, bool, float]:
            named = any(name in item.path.stem for name in names)
            return item.nodeid != own, -others[item.nodeid], not named, self.seconds[item.nodeid]

        return sorted(found, key=rank)

    def _calls_of(self, name: str) -> set[tuple[str, int]]:
        """The lines that call a function of the database, or one that calls it."""
        names = functions.callers_of(name, self.group.sources)
        found = set()
        for path in self.group.sources:
            if path.endswith(".py") and not functions.is_migration(path):
                source = (ROOT / path).read_text()
                for number, text in enumerate(source.splitlines(), 1):
                    if any(functions.mentions(text, each) for each in names):
                        found |= {(path, line) for line in lines_of(source, number)}
        return found

    def _forked(self, mutant: Mutant | None, tests: list[pytest.Item]) -> tuple[int, str]:
        limit = 15 + 4 * sum(self.seconds[test.nodeid] for test in tests)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                outcome, by = self._in_fork(mutant, tests)
            except BaseException as error:  # or the fork would go on as if it were the parent
                outcome, by = ERROR, repr(error)
            os.write(writer, by.encode()[:4096])
            os._exit(outcome)
        os.close(writer)
        outcome = _waited(pid, limit)
        with os.fdopen(reader) as pipe:
            by = pipe.read()
        if outcome == HANGS:
            _repair(tests[0].config)
        return outcome, by

    def _in_fork(self, mutant: Mutant | None, tests: list[pytest.Item]) -> tuple[int, str]:
        from clipforge.devtools.mutation.planting import Broken, Unplantable, plant

        os.setpgid(0, 0)
        self._be_silent()
        self.failed.clear()
        try:
            if mutant is not None:
                plant(mutant)
        except Unplantable:
            return UNPLANTABLE, ""
        except Broken as error:
            return KILLED, str(error)
        passed = self._run_all(tests, to_the_end=False)
        return (SURVIVED, "") if passed else (KILLED, min(self.failed))

    @staticmethod
    def _be_silent() -> None:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)

    def _say(self, text: str) -> None:
        sys.__stdout__.write(f"{text}\n")  # type: ignore[union-attr]
        sys.__stdout__.flush()  # type: ignore[union-attr]


def recorded(path: Path) -> list[Result]:
    """The results of earlier runs."""
    if not path.exists():
        return []
    return [Result(**json.loads(line)) for line in path.read_text().splitlines()]


def _run(test: pytest.Item, following: Any) -> None:
    """Run one test; fixtures that the following test or the session shares are kept."""
    test.config.hook.pytest_runtest_protocol(item=test, nextitem=following)


def lines_of(source: str, line: int) -> set[int]:
    """The lines that execute the statement at `line`.

    Of a compound statement its head. What is evaluated when the module is imported is executed where
    the names that it defines are used.
    """
    statements: list[ast.stmt] = []
    body: list[ast.stmt] = ast.parse(source).body
    while inner := [each for each in body if each.lineno <= line <= (each.end_lineno or 0)]:
        statements.append(inner[0])
        blocks = [getattr(inner[0], name, []) for name in ("body", "orelse", "finalbody")]
        blocks += [handler.body for handler in getattr(inner[0], "handlers", [])]
        blocks += [case.body for case in getattr(inner[0], "cases", [])]
        body = [each for block in blocks for each in block]
    if not statements:  # between two: what was dropped began a line further down
        later = (each.lineno for each in ast.parse(source).body if each.lineno > line)
        return lines_of(source, next(later))
    last = statements[-1]
    end = last.end_lineno or last.lineno
    if isinstance(last, ast.FunctionDef):  # its defaults: whatever it does
        return set(range(last.lineno, end + 1))
    if any(isinstance(each, ast.FunctionDef) for each in statements):
        first_inside = min((each.lineno for each in body), default=end + 1)
        return set(range(last.lineno, max(last.lineno + 1, first_inside)))
    names = {
        node.id
        for node in ast.walk(last)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    word = re.compile(rf"\b({'|'.join(names)})\b")
    return {
        number for number, text in enumerate(source.splitlines(), 1) if names and word.search(text)
    }


def _calls(item: pytest.Item, function: str) -> bool:
    """Whether the test itself calls the function of the database."""
    code = getattr(item, "function", None)
    return code is not None and functions.mentions(inspect.getsource(code), function)


@contextmanager
def _traced(files: dict[str, str]) -> Iterator[set[tuple[str, int]]]:
    lines: set[tuple[str, int]] = set()

    def trace(frame: Any, event: str, argument: Any) -> Any:  # noqa: ARG001 - as settrace has it
        path = files.get(frame.f_code.co_filename)
        if path is None:
            return None

        def local(frame: Any, event: str, argument: Any) -> Any:  # noqa: ARG001
            lines.add((path, frame.f_lineno))
            return local

        return local

    threading.settrace(trace)
    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(None)
        threading.settrace(None)


def _waited(pid: int, seconds: float) -> int:
    """The exit status, KILLED for one that died of a signal, HANGS for one that had to be ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else KILLED
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return HANGS


def _close_connections() -> None:
    """A fork that used a connection of its parent would take the answers to another's questions."""
    from django.db import connections

    from clipforge.common.cache.backend import default_cache

    for connection in connections.all():
        connection.close()
    cache = default_cache()
    for client in (cache.redis, cache.bypass_breaker):
        client.connection_pool.disconnect()


def _repair(config: pytest.Config) -> None:
    """Take back what a fork that was ended had committed, as after a test that commits."""
    from django.db import connections
    from pytest_django.plugin import blocking_manager_key

    from clipforge.devtools.testing import seeds

    functions.end_busy_backends()
    with config.stash[blocking_manager_key].unblock():
        if seeds._seeded:
            seeds.restore()
        for connection in connections.all():
            connection.close()
