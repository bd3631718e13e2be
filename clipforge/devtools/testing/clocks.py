"""Clocks that stand still, so that a test can be a microsecond before an edge, on it, and after it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import time_machine
from django.db import connection, transaction

from clipforge.common.errors import DomainError

T = TypeVar("T")

MICROSECOND = datetime.timedelta(microseconds=1)

# Django's Now() and our own SQL ask for statement_timestamp(), which is PostgreSQL's own as long as
# pg_catalog comes first. Here it comes last.
STAND_STILL = """
CREATE SCHEMA IF NOT EXISTS stopped_clock;
CREATE OR REPLACE FUNCTION stopped_clock.statement_timestamp() RETURNS timestamptz
    LANGUAGE sql STABLE AS $$ SELECT current_setting('stopped_clock.at')::timestamptz $$;
"""


@contextmanager
def clocks_at(moment: datetime.datetime) -> Iterator[None]:
    """The clock of this process, and of this connection to PostgreSQL, stand at `moment`.

    Only inside a transaction that is rolled back, as a test without `transaction=True` is. What a
    column has for its default keeps the true time.
    """
    assert connection.in_atomic_block
    with connection.cursor() as cursor:
        cursor.execute(STAND_STILL)
        cursor.execute("SELECT current_setting('search_path')")
        before = cursor.fetchone()[0]
        cursor.execute("SELECT set_config('stopped_clock.at', %s, true)", [moment.isoformat()])
        cursor.execute("SET LOCAL search_path = stopped_clock, public, pg_catalog")
    try:
        with time_machine.travel(moment, tick=False):
            yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('search_path', %s, true)", [before])


def around(edge: datetime.datetime, ask: Callable[[], T]) -> list[T]:
    """The results of `ask` a microsecond before the edge, on it, and a microsecond after it.

    What it changes is taken back each time.
    """
    answers = []
    for moment in (edge - MICROSECOND, edge, edge + MICROSECOND):
        with clocks_at(moment), transaction.atomic():
            answers.append(ask())
            transaction.set_rollback(True)
    return answers


def refuses(act: Callable[[], object]) -> bool:
    """Whether it raises what a customer or an operator is told."""
    try:
        with transaction.atomic():
            act()
    except DomainError:
        return True
    return False
