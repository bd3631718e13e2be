"""Rows of data migrations, restored after every test that commits.

Django's own way is `flush`: it empties all tables, also of what was seeded, and lets each app make its
permissions anew. This is faster, and the test after it finds what a fresh database has, so that tests
that commit need not be the last.
"""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connection, transaction

# Tables whose rows are not a test's.
KEPT = {"django_migrations"}
# Bytes. What is larger is truncated: deleting would leave its pages to the next test's plans.
SMALL = 256 * 1024

_SIZES = """
SELECT quote_ident(tablename), pg_relation_size(format('public.%%I', tablename)::regclass)
  FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL(%s)
"""
_seeded: list[str] = []


def keep() -> None:
    """Copy every row that there is before the first test has committed any.

    A table may be without rows and yet have a size: what earlier tests rolled back.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA seeds")
        cursor.execute(_SIZES, [list(KEPT)])
        for table, size in cursor.fetchall():
            if size and _has_rows(cursor, table):
                cursor.execute(f"CREATE TABLE seeds.{table} AS TABLE public.{table}")
                _seeded.append(table)


def _has_rows(cursor: Any, table: str) -> bool:
    cursor.execute(f"SELECT FROM {table} LIMIT 1")
    return bool(cursor.rowcount)


def vacuum() -> None:
    """Take away what earlier tests left of the rows that they rolled back or deleted, in every table."""
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
        sizes = other.execute(_SIZES, [list(KEPT)]).fetchall()
        tables = [table for table, size in sizes if size]
        if tables:
            other.execute(f"VACUUM (ANALYZE) {', '.join(tables)}")


def restore() -> None:
    """Make the rows those of `keep` again. Needs a superuser, as the tests' own server has."""
    with transaction.atomic(), connection.cursor() as cursor:
        # Neither foreign keys nor the triggers that refuse to delete, for this transaction.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(_SIZES, [list(KEPT)])
        sizes = dict(cursor.fetchall())
        if large := [table for table, size in sizes.items() if size > SMALL]:
            cursor.execute(f"TRUNCATE {', '.join(large)} CASCADE")
        statements = [f"DELETE FROM {table}" for table, size in sizes.items() if 0 < size <= SMALL]  # noqa: S608
        statements += [f"INSERT INTO {table} SELECT * FROM seeds.{table}" for table in _seeded]  # noqa: S608
        cursor.execute(";".join(statements))
