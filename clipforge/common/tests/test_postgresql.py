"""A kept connection is looked at before it is used, and asked nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def kept() -> int:
    """The server process of a connection that an earlier request left."""
    return int(value("SELECT pg_backend_pid()"))


@pytest.fixture
def other() -> Iterator[Any]:
    found = connection.copy()
    yield found
    found.close()


def value(sql: str, params: Any = (), on: Any = connection) -> Any:
    with on.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()[0]


def begin_request() -> None:
    """Do as Django does when a request begins."""
    kept: Any = connection
    kept.health_check_done, kept.health_check_enabled = False, True
    connection.close_if_unusable_or_obsolete()


def test_one_that_is_open_is_asked_nothing(kept: int, other: Any):
    assert connection.is_usable()
    latest = value("SELECT query FROM pg_stat_activity WHERE pid = %s", [kept], on=other)
    assert latest == "SELECT pg_backend_pid()"


def test_one_that_the_server_ended_is_replaced_before_a_statement_fails(kept: int, other: Any):
    assert value("SELECT pg_terminate_backend(%s, 10000)", [kept], on=other)
    assert not connection.is_usable()
    begin_request()
    assert value("SELECT pg_backend_pid()") != kept


def test_one_that_was_told_something_is_asked_and_kept(kept: int, other: Any):
    with connection.cursor() as cursor:
        cursor.execute("LISTEN news")
    with other.cursor() as cursor:
        cursor.execute("NOTIFY news")
    begin_request()
    assert value("SELECT pg_backend_pid()") == kept


def test_one_that_is_closed_is_not_usable(kept: int):
    connection.connection.close()
    assert not connection.is_usable()
    connection.close()
    assert not connection.is_usable()
