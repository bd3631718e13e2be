"""Rows into PostgreSQL at the speed of COPY: in blocks, into tables that have no indexes meanwhile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, models

# Stage, steps done, steps altogether.
Progress = Callable[[str, int, int], None]

# Rows of one table that are sent at once: large enough to cost nothing, small enough to keep in memory.
BLOCK = 20_000

NULL = r"\N"


@dataclass(frozen=True, eq=False)  # looked up for every row: by identity
class Table:
    name: str
    columns: tuple[str, ...]

    @classmethod
    def of(cls, model: type[models.Model], columns: str) -> Table:
        return cls(model._meta.db_table, tuple(columns.split()))


class Sink:
    """Lines of COPY's text format for several tables, sent whenever one has a block of them.

    A thread sends a block while the next is made. It does so over the connection of the caller, who
    must not use it between the first `add` and `flush`.
    """

    def __init__(self) -> None:
        self._lines: dict[Table, list[str]] = defaultdict(list)
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="copy")
        self._sending: Future[None] | None = None

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *exc: object) -> None:
        """Lines that were not flushed are not sent."""
        self._sender.shutdown()

    def add(self, table: Table, line: str) -> None:
        """One row, its columns apart by tabs. No column may hold a tab, newline or backslash."""
        lines = self._lines[table]
        lines.append(line)
        if len(lines) >= BLOCK:
            self._send(table)

    def flush(self) -> None:
        """Return when PostgreSQL has it all."""
        for table in list(self._lines):
            self._send(table)
        self._wait()

    def _send(self, table: Table) -> None:
        self._wait()
        lines = self._lines.pop(table)
        # Django's own connection is for the thread that opened it.
        self._sending = self._sender.submit(_copy, connection.connection, table, lines)

    def _wait(self) -> None:
        if self._sending is not None:
            self._sending.result()


def _copy(database: Any, table: Table, lines: list[str]) -> None:
    columns = ", ".join(f'"{column}"' for column in table.columns)
    statement = f'COPY "{table.name}" ({columns}) FROM STDIN'
    with database.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write("\n".join(lines) + "\n")


def next_id(table: Table) -> int:
    """The first id that no row of the table has. Requires its lock."""
    return int(_value(f'SELECT COALESCE(MAX(id), 0) + 1 FROM "{table.name}"'))  # noqa: S608


def set_next_id(table: Table, number: int) -> None:
    """Set the next number of the table's sequence."""
    _value("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s, false)", [table.name, number])


@contextmanager
def without_indexes(tables: Iterable[Table], progress: Progress) -> Iterator[None]:
    """Take indexes, unique constraints and foreign keys off the tables; put them back at the end.

    Building an index of millions of rows at once takes a fraction of the time that growing it row by
    row does, and so does checking a foreign key. Primary keys stay: rows come in their order. Call
    inside a transaction, which then keeps the tables locked: after a failure nothing has changed.
    """
    names = [table.name for table in tables]
    # A table with checks that wait for the commit cannot be altered.
    _run("SET CONSTRAINTS ALL IMMEDIATE")
    constraints, indexes = _constraints(names), _indexes(names)
    for table, name, _ in constraints:
        _run(f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"')
    for name, _ in indexes:
        _run(f'DROP INDEX "{name}"')
    yield
    _run("SET LOCAL maintenance_work_mem = '256MB'")
    makers = [definition for _, definition in indexes]
    makers += [
        f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" {definition}'
        for table, name, definition in constraints
    ]
    for number, statement in enumerate(makers):
        progress("indexes", number, len(makers))
        _run(statement)
    progress("indexes", len(makers), len(makers))


def analyze(tables: Iterable[Table]) -> None:
    """Tell the planner what is in the tables and, outside a transaction, which pages all can see."""
    verb = "ANALYZE" if connection.in_atomic_block else "VACUUM ANALYZE"
    for table in tables:
        _run(f'{verb} "{table.name}"')


def _constraints(names: list[str]) -> list[tuple[Any, ...]]:
    """Table, name and definition: the unique ones first, which are made with an index each."""
    return _rows(
        """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
          FROM pg_constraint
         WHERE conrelid = ANY(%s::regclass[]) AND contype IN ('f', 'u')
         ORDER BY contype DESC, conname
        """,
        [names],
    )


def _indexes(names: list[str]) -> list[tuple[Any, ...]]:
    """Name and definition of the indexes that belong to no constraint."""
    return _rows(
        """
        SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid)
          FROM pg_index
         WHERE indrelid = ANY(%s::regclass[])
           AND NOT EXISTS (SELECT 1 FROM pg_constraint
                            WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
         ORDER BY 1
        """,
        [names],
    )


def _run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _rows(sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def _value(sql: str, params: list[Any] | None = None) -> Any:
    return _rows(sql, params or [])[0][0]
