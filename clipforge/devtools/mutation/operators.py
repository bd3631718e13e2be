"""Ways of being wrong that cosmic-ray does not know: those of a query, and of the text of one.

Each has the two methods of a cosmic-ray operator that `mutate_code` calls: the positions at which it
can change a node of parso, and the change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import parso

Position = tuple[tuple[int, int], tuple[int, int]]

LOOKUPS = {"lt": "lte", "lte": "lt", "gt": "gte", "gte": "gt"}


def _is_keyword_argument(node: Any) -> bool:
    return node.type == "argument" and len(node.children) == 3 and node.children[1].value == "="


class Lookup:
    """`expires_at__lt=` is `expires_at__lte=`: a comparison with its edge on the other side."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if _is_keyword_argument(node):
            name = node.children[0]
            if name.value.rpartition("__")[2] in LOOKUPS and "__" in name.value:
                yield name.start_pos, name.end_pos

    def mutate(self, node: Any, index: int) -> Any:  # noqa: ARG002 - one position a node
        name = node.children[0]
        field, _, lookup = name.value.rpartition("__")
        name.value = f"{field}__{LOOKUPS[lookup]}"
        return node


class DropArgument:
    """A call without one of its keyword arguments: a condition or a column that is forgotten."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        for argument in self._of(node):
            yield argument.start_pos, argument.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        argument = self._of(node)[index]
        if node.type == "trailer":
            node.children.remove(argument)
            return node
        at = node.children.index(argument)
        del node.children[at : at + 2]  # and its comma
        return node

    @staticmethod
    def _of(node: Any) -> list[Any]:
        # A single argument stands in the parentheses by itself, several are a list.
        if node.type not in {"arglist", "trailer"}:
            return []
        return [child for child in node.children if _is_keyword_argument(child)]


class DropStatement:
    """`pass` instead of a call whose value is not used, of a `raise`, or of a counting assignment."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if node.type == "simple_stmt" and self._matters(node.children[0]):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:  # noqa: ARG002 - one position a node
        first = node.children[0].get_first_leaf()
        # Those below keep their line numbers.
        lines = node.children[0].get_code(include_prefix=False).count("\n")
        text = f"{first.prefix}pass" + " \\\n" * lines
        node.children[0] = parso.parse(text).children[0]  # type: ignore[no-untyped-call]
        return node

    @staticmethod
    def _matters(statement: Any) -> bool:
        if statement.type == "expr_stmt":
            sign = statement.children[1]
            return bool(sign.type == "operator" and sign.value != "=")
        return statement.type in {"atom_expr", "power", "raise_stmt"}


class TextEdge:
    """A comparison, a sum or a condition in SQL that is written out."""

    IS_SQL = re.compile(r"\b(SELECT|UPDATE|INSERT|WHERE|WITH)\b")
    CHANGES = (
        (" <= ", " < "),
        (" < ", " <= "),
        (" >= ", " > "),
        (" > ", " >= "),
        (" <> ", " = "),
        (" + ", " - "),
        (" - ", " + "),
        (" AND ", " OR "),
        (" OR ", " AND "),
        ("LEAST", "GREATEST"),
        ("GREATEST", "LEAST"),
        (" = ", " <> "),
    )

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if node.type in {"string", "fstring_string"} and self.IS_SQL.search(node.value):
            for at, _, _ in found_in(node.value, self.CHANGES):
                line = node.start_pos[0] + node.value[:at].count("\n")
                yield (line, 0), (line, 0)

    def mutate(self, node: Any, index: int) -> Any:
        node.value = changed(node.value, self.CHANGES, index)
        return node


LUA_CHANGES = (
    (" <= ", " < "),
    (" < ", " <= "),
    (" >= ", " > "),
    (" > ", " >= "),
    (" == ", " ~= "),
    (" ~= ", " == "),
    (" + ", " - "),
    (" - ", " + "),
    (" * ", " / "),
    (" and ", " or "),
    (" or ", " and "),
    ("not ", ""),
    (" 0", " 1"),
    (" 1", " 2"),
    (" 2", " 3"),
    ("math.max", "math.min"),
    ("redis.call('PERSIST'", "redis.call('TTL'"),
    ("redis.call('LTRIM'", "redis.call('LRANGE'"),
    ("redis.call('PEXPIRE', window.key, LIFE)", "redis.call('TTL', window.key)"),
)


def found_in(text: str, changes: tuple[tuple[str, str], ...]) -> list[tuple[int, str, str]]:
    """Where in the text which change is possible: offset, old, new."""
    return sorted(
        (match.start(), old, new)
        for old, new in changes
        for match in re.finditer(re.escape(old), text)
    )


def changed(text: str, changes: tuple[tuple[str, str], ...], index: int) -> str:
    """The text after one of the changes of `found_in`."""
    at, old, new = found_in(text, changes)[index]
    return text[:at] + new + text[at + len(old) :]
