"""Statements of real code, run under EXPLAIN, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import connection

EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "

# A lookup by primary key: the way down the index, and the page of the row.
PAGES_A_LOOKUP = 5
# Rows. Whether a table of fewer is read whole or by an index is the same, and the planner's whim.
SMALL_TABLE = 1000

Plan = dict[str, Any]


class Statement(NamedTuple):
    sql: str
    params: Any


@dataclass
class Cost:
    """The cost of a page, summed over its statements."""

    statements: int = 0
    returned: int = 0
    read: int = 0  # rows of tables, those that a filter threw away included
    small: int = 0  # of these, rows of small tables that were read whole
    sorted: int = 0  # rows that went into sorts
    buffers: int = 0
    milliseconds: float = 0.0
    heap_fetches: int = 0  # of scans of an index alone: pages that VACUUM has not looked at
    covered: int = 0  # rows that an index alone answered for
    single: int = 0  # rows fetched from their table one after another
    looked_up: int = 0  # rows fetched one by one, for a row of another table or a list of keys
    indexes: set[str] = field(default_factory=set)
    scans: set[str] = field(default_factory=set)  # tables read from one end to the other

    def add(self, plan: Plan, milliseconds: float) -> None:
        self.statements += 1
        self.returned += int(plan["Actual Rows"])
        self.buffers += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        self.milliseconds += milliseconds
        for node in nodes(plan):
            self._add_node(node)

    def _add_node(self, node: Plan) -> None:
        kind, loops = node["Node Type"], node["Actual Loops"]
        if "Index Name" in node and loops:
            self.indexes.add(node["Index Name"])
        if "Sort" in kind:
            self.sorted += sum(rows_of(child) for child in node["Plans"])
        self.heap_fetches += node.get("Heap Fetches", 0)
        if "Relation Name" not in node:  # the half of a bitmap scan that reads only the index
            return
        rows = rows_of(node)
        self.read += rows
        if loops > 1:
            self.looked_up += max(rows, loops)
        elif kind == "Index Only Scan":
            self.covered += rows
        else:
            # A list of keys is one step with a way down the index for each, as in a join.
            searches = searches_of(node)
            found_by_key = min(searches, rows) if searches > 1 else 0
            self.looked_up += found_by_key
            self.single += rows - found_by_key
        if kind == "Seq Scan":
            self.scans.add(node["Relation Name"])
            self.small += rows if rows <= SMALL_TABLE else 0


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def rows_of(node: Plan) -> int:
    """Rows that a step read, those that it threw away included."""
    kinds = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    rows: float = sum(node.get(kind, 0) for kind in kinds)
    loops: int = node["Actual Loops"]
    return round(rows * loops)


def searches_of(node: Plan) -> int:
    """Ways down an index that a step took; PostgreSQL tells since 18."""
    below = (child.get("Index Searches", 0) for child in node.get("Plans", []))
    return int(node.get("Index Searches", 0)) or sum(below)


@contextmanager
def captured() -> Iterator[list[Statement]]:
    """Collect the SELECTs that run in the block."""
    statements: list[Statement] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip("( \n").upper().startswith("SELECT"):
            statements.append(Statement(sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield statements


def cost_of(statements: list[Statement]) -> Cost:
    """Run them again, explained. The first run has brought what they read into memory."""
    cost = Cost()
    with connection.cursor() as cursor:
        for sql, params in statements:
            cursor.execute(EXPLAIN + sql, params)
            (result,) = cursor.fetchone()[0]
            cost.add(result["Plan"], result["Execution Time"])
    return cost
