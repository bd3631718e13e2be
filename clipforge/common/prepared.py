"""Queries whose SQL is written once: Django composes it anew each time, which takes longer than to run it."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import connection, connections
from django.db.models import Model, QuerySet
from django.db.models.query import ModelIterable
from django.db.transaction import TransactionManagementError

M = TypeVar("M", bound=Model)


class Prepared(Generic[M]):
    """A query of rows, asked with `count` ids.

    `build` makes it of any ids; they stand in its conditions and decide about nothing else.
    """

    def __init__(self, build: Callable[..., QuerySet[M]], *, count: int = 1) -> None:
        self._build, self._count = build, count
        self._written: _Written | None = None

    def rows(self, *ids: uuid.UUID) -> list[M]:
        """Read now. Raises TransactionManagementError for one that locks outside a transaction."""
        if self._written is None:
            self._written = self._write()
        return list(self._written.read(ids))

    def first(self, *ids: uuid.UUID) -> M | None:
        """Of a query that finds one row at most."""
        found = self.rows(*ids)
        return found[0] if found else None

    def _write(self) -> _Written:
        marks = [uuid.uuid4() for _ in range(self._count)]
        query = self._build(*marks).query
        compiler = query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        places = [marks.index(each) if each in marks else None for each in parameters]
        if set(marks) != {marks[place] for place in places if place is not None}:
            raise ValueError(f"an id is not in the conditions: {sql}")
        return _Written(compiler, sql, tuple(parameters), tuple(places))


class _Written(NamedTuple):
    compiler: Any
    sql: str
    parameters: tuple[Any, ...]
    places: tuple[int | None, ...]  # of the ids among the parameters

    def read(self, ids: tuple[uuid.UUID, ...]) -> Iterator[Any]:
        query = self.compiler.query
        if query.select_for_update and connection.get_autocommit():
            raise TransactionManagementError("select_for_update outside of a transaction")
        parameters = tuple(
            each if place is None else ids[place]
            for each, place in zip(self.parameters, self.places, strict=True)
        )
        return iter(ModelIterable(_Asked(self, parameters)))  # type: ignore[arg-type]


class _Asked:
    """The two that Django reads rows by: a queryset and its query, of a text that is written already."""

    _known_related_objects: dict[Any, Any] = {}

    def __init__(self, written: _Written, parameters: tuple[Any, ...]) -> None:
        self.written, self.parameters = written, parameters
        self.db, self.query = connection.alias, self

    def get_compiler(self, using: str) -> Any:
        # Others read by it at the same time.
        compiler = copy.copy(self.written.compiler)
        compiler.connection = connections[using]
        compiler.as_sql = lambda *_, **__: (self.written.sql, self.parameters)
        return compiler
