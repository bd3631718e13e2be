"""A branch of the schema in which tables that grow are partitioned by organization.

It is what a migration would do: the same columns, indexes, constraints and triggers, on partitions.
Two things must change. A unique key takes the organization in, as PostgreSQL demands of partitions (an
id is no less unique by that: it is a UUIDv7, or of one sequence). And a foreign key to such a table
names the organization too; one of a table that does not have it is given up.
"""

from __future__ import annotations

import re
from typing import Any

from django.db import connection, transaction

KEY = "org_id"
GROWING = (
    "credits_credittransaction",
    "credits_credithold",
    "projects_project",
    "exports_export",
)

_CONSTRAINTS = """
SELECT conname, contype, pg_get_constraintdef(oid)
  FROM pg_constraint
 WHERE conrelid = %s::regclass AND conparentid = 0 AND contype IN ('p', 'u', 'c', 'f')
 ORDER BY contype = 'f', conname
"""
_INCOMING = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid),
       EXISTS (SELECT FROM pg_attribute WHERE attrelid = conrelid AND attname = %s)
  FROM pg_constraint
 WHERE confrelid = %s::regclass AND conrelid <> confrelid AND contype = 'f' AND conparentid = 0
 ORDER BY conname
"""
_INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid)
  FROM pg_index
 WHERE indrelid = %s::regclass
   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))
 ORDER BY 1
"""
_TRIGGERS = """
SELECT tgname, pg_get_triggerdef(oid)
  FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal ORDER BY tgname
"""
# Functions that return rows of the table, or take them.
_FUNCTIONS = """
SELECT DISTINCT function.oid::regprocedure::text, pg_get_functiondef(function.oid)
  FROM pg_depend
  JOIN pg_type AS row ON row.oid = refobjid OR row.typarray = refobjid
  JOIN pg_proc AS function ON function.oid = objid
 WHERE row.typrelid = %s::regclass AND refclassid = 'pg_type'::regclass
   AND classid = 'pg_proc'::regclass
 ORDER BY 1
"""


def partition(table: str, *, into: int) -> None:
    """Put the rows of the table into so many partitions, by a hash of their organization.

    Nothing may be under way in the transaction of the caller that waits for its end.
    """
    whole = f"{table}_whole"
    with transaction.atomic():
        _run("SET CONSTRAINTS ALL IMMEDIATE")
        constraints, indexes = _rows(_CONSTRAINTS, table), _rows(_INDEXES, table)
        triggers, incoming = _rows(_TRIGGERS, table), _rows(_INCOMING, KEY, table)
        functions = _rows(_FUNCTIONS, table)
        for other, name, *_ in incoming:
            _run(f"ALTER TABLE {other} DROP CONSTRAINT {name}")
        for name, *_ in reversed(constraints):
            _run(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for name, _ in indexes:
            _run(f"DROP INDEX {name}")
        for signature, _ in functions:
            _run(f"DROP FUNCTION {signature}")
        _run(f"ALTER TABLE {table} RENAME TO {whole}")
        _run(
            f"CREATE TABLE {table} (LIKE {whole} INCLUDING DEFAULTS INCLUDING IDENTITY)"
            f" PARTITION BY HASH ({KEY})"
        )
        for number in range(into):
            _run(
                f"CREATE TABLE {table}_{number} PARTITION OF {table}"
                f" FOR VALUES WITH (MODULUS {into}, REMAINDER {number})"
            )
        _run(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {whole}")  # noqa: S608
        _number_on(table)
        _run(f"DROP TABLE {whole}")
        for name, kind, definition in constraints:
            _run(f"ALTER TABLE {table} ADD CONSTRAINT {name} {_of_partitions(kind, definition)}")
        for _, definition in indexes:
            _run(_with_key(definition) if " UNIQUE " in definition else definition)
        for _, definition in (*functions, *triggers):
            _run(definition)
        for other, name, definition, has_key in incoming:
            if has_key:
                _run(f"ALTER TABLE {other} ADD CONSTRAINT {name} {_to_partitions(definition)}")
        _run("SET CONSTRAINTS ALL DEFERRED")


def _of_partitions(kind: str, definition: str) -> str:
    return _with_key(definition) if kind in "pu" else definition


def _with_key(definition: str) -> str:
    """The unique key, and the organization in it: `UNIQUE (hold_id)` is `UNIQUE (hold_id, org_id)`."""
    columns = re.search(r"\(([^()]*)\)", definition)
    if columns is None or KEY in columns[1].split(", "):
        return definition
    return definition.replace(f"({columns[1]})", f"({columns[1]}, {KEY})", 1)


def _to_partitions(definition: str) -> str:
    """`FOREIGN KEY (project_id) REFERENCES projects_project(id)`, of both columns."""
    return re.sub(r"\((\w+)\)", rf"(\1, {KEY})", definition, count=2)


def _number_on(table: str) -> None:
    """Let ids that the table makes go on where they were."""
    if _rows("SELECT WHERE pg_get_serial_sequence(%s, 'id') IS NOT NULL", table):
        _run(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), COALESCE(MAX(id), 0) + 1, false)"  # noqa: S608
            f" FROM {table}"
        )


def _run(sql: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params or None)


def _rows(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
