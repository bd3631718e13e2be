"""The functions of the database: where their text is, who calls them, and putting a mutant in their place."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from clipforge.devtools.mutation.scope import ROOT
from clipforge.devtools.mutation.sql import Change, changes

STATEMENT = re.compile(
    r"^CREATE (?:OR REPLACE )?FUNCTION (?P<name>\w+)\(.*?\$\$(?P<body>.*?)\$\$", re.M | re.S
)


class Function(NamedTuple):
    """`begin` and `end` are those of its body in the text of the file."""

    path: str
    name: str
    begin: int
    end: int
    statement: str

    @property
    def replacing(self) -> str:
        """The statement that puts it in the place of one that is there."""
        return re.sub(r"^CREATE (OR REPLACE )?", "CREATE OR REPLACE ", self.statement)


def is_migration(path: str) -> bool:
    """Whether the mutants of this file are those of its functions."""
    return Path(path).parent.name == "migrations"


def functions_in(path: str, text: str) -> list[Function]:
    """All that the text defines."""
    return [
        Function(path, match["name"], *match.span("body"), match[0])
        for match in STATEMENT.finditer(text)
    ]


def functions_of(path: str) -> list[Function]:
    """Those of the file that no later migration of its app defines anew."""
    latest: dict[str, Function] = {}
    for each in sorted((ROOT / path).parent.glob("[0-9]*.py")):
        own = str(each.relative_to(ROOT))
        latest |= {found.name: found for found in functions_in(own, each.read_text())}
    return [function for function in latest.values() if function.path == path]


@functools.cache
def changes_of(path: str) -> tuple[Change, ...]:
    """The faults of all of these."""
    text = (ROOT / path).read_text()
    return tuple(
        change
        for function in functions_of(path)
        for change in changes(text, function.begin, function.end)
    )


def changed(path: str, index: int) -> str:
    """The text of the file with one of them."""
    text, change = (ROOT / path).read_text(), changes_of(path)[index]
    return text[: change.begin] + change.new + text[change.end :]


def changed_function(path: str, text: str) -> tuple[Function, Function]:
    """The function in which this text differs from that of the file: as it is, and with the fault."""
    pairs = zip(
        functions_in(path, (ROOT / path).read_text()), functions_in(path, text), strict=True
    )
    ((before, after),) = [pair for pair in pairs if pair[0].statement != pair[1].statement]
    return before, after


def callers_of(name: str, paths: Iterable[str]) -> set[str]:
    """Its own name and those of the functions that call it, directly or through others."""
    every = [function for path in paths if is_migration(path) for function in functions_of(path)]
    found = {name}
    while more := {
        each.name
        for each in every
        if each.name not in found and any(mentions(each.statement, other) for other in found)
    }:
        found |= more
    return found


def mentions(text: str, name: str) -> bool:
    """Whether the text has that name, as a word."""
    return re.search(rf"\b{name}\b", text) is not None


@contextmanager
def replaced(path: str, text: str) -> Iterator[bool]:
    """Have the function of that text in the database, for every process. False where it refuses it."""
    before, after = changed_function(path, text)
    accepted = _execute(after.replacing)
    try:
        yield accepted
    finally:
        if accepted:
            end_busy_backends()
            _execute(before.replacing)


def end_busy_backends() -> None:
    """End what still runs or keeps locks in the database: a backend in a loop without an end does not
    notice that its client is gone.
    """
    _execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND state <> 'idle' AND backend_type = 'client backend'"
    )


def _execute(statement: str) -> bool:
    import psycopg
    from django.db import connection

    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as own:
        try:
            own.execute(statement.encode())
        except psycopg.ProgrammingError:  # what no migration could install
            return False
    return True
