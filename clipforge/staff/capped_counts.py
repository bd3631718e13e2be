"""Counts of several tables, each up to a cap, and their first values, in one statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import QuerySet

# Rows that are counted of each; more are "1,000+".
MOST = 1000


@dataclass(frozen=True)
class Count:
    """A capped number of rows. True when it is not zero."""

    value: int

    def __bool__(self) -> bool:
        return self.value > 0

    def __str__(self) -> str:
        return f"{MOST:,}+" if self.value > MOST else f"{self.value:,}"


def capped_counts(
    counts: Mapping[str, QuerySet[Any]], firsts: Mapping[str, QuerySet[Any]]
) -> dict[str, Any]:
    """A Count by each name of `counts`; by each of `firsts` the one value of its first row, or None."""
    words: list[str] = []
    params: list[Any] = []
    for rows in counts.values():
        sql, values = rows.order_by().values("pk")[: MOST + 1].query.sql_with_params()
        words.append(f"(SELECT COUNT(*) FROM ({sql}) AS counted)")  # noqa: S608 - of the ORM
        params += values
    for rows in firsts.values():
        sql, values = rows[:1].query.sql_with_params()
        words.append(f"({sql})")
        params += values
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(words), params)
        found = cursor.fetchone()
    numbers = {name: Count(value) for name, value in zip(counts, found, strict=False)}
    return {**numbers, **dict(zip(firsts, found[len(counts) :], strict=True))}
