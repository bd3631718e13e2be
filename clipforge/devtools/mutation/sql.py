"""Faults in the body of a function of the database, which is text in a migration.

Each is a span of the text and what stands there instead: `changes` lists them. Comments and what is
quoted are left alone.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple


class Change(NamedTuple):
    """`new` for what stands from `begin` to `end`."""

    begin: int
    end: int
    new: str


# What a pattern finds, and what stands there instead.
SWAPPED = (
    (" <= ", " < "),
    (" < ", " <= "),
    (" >= ", " > "),
    (" > ", " >= "),
    (" <> ", " = "),
    (r" \+ ", " - "),
    (" - ", " + "),
    (r"(?<=[a-z\d)]) \* ", " / "),
    (r"(?<=[a-z\d)]) / ", " * "),
    ("IS NOT NULL", "IS NULL"),
    ("IS NULL", "IS NOT NULL"),
    ("NOT ", ""),
    (" AND ", " OR "),
    (" OR ", " AND "),
    (r"\bLEAST\b", "GREATEST"),
    ("GREATEST", "LEAST"),
    (":= true", ":= false"),
    (":= false", ":= true"),
    ("= true", "= false"),
    ("= false", "= true"),
    (" FOR NO KEY UPDATE", ""),
)
# Not of a lock, which leaving it out tries too, nor of a row whose columns are not read.
NUMBER = re.compile(r"(?<![\w.$])(?<!lock\()(?<!shared\()(?<!PERFORM )\d+(?![\w.])")
CONDITION = re.compile(r"\b(?:WHERE|(?<!END )IF|WHILE|WHEN)\b(?! SQLSTATE)")
ORDER = re.compile(r"\bORDER BY\b")
AND, COMMA = re.compile(r"\bAND\b"), re.compile(",")
SET = re.compile(r"\bSET\b")
COALESCE = re.compile(r"\bCOALESCE\(")
# What ends a condition, an order or a list of columns that stands in no parentheses.
STOP = re.compile(r"\b(?:RETURNING|ORDER|LIMIT|THEN|LOOP|INTO|WHERE|FROM|UNION|GROUP|END|ELSE)\b|;")
# A statement begins after one of these.
BEFORE = re.compile(r"(?:;|\b(?:BEGIN|THEN|ELSE|LOOP))\s+")
STATEMENT = re.compile(
    r"(?:PERFORM|SELECT|UPDATE|INSERT|DELETE|RAISE|RETURN|EXIT)\b|\w+(?:\.\w+)? :="
)


def changes(text: str, begin: int, end: int) -> list[Change]:
    """The faults of the body that stands from `begin` to `end`, in their order; no two the same."""
    body = _masked(text[begin:end])
    found = {*_swaps(body), *_numbers(body), *_conditions(body), *_lists(body), *_statements(body)}
    return [Change(begin + one, begin + other, new) for one, other, new in sorted(found)]


def _masked(body: str) -> str:
    """As long as the body, with blanks for its comments and for what it quotes."""
    return re.sub(r"--[^\n]*|'[^']*'", lambda match: "_" * len(match[0]), body)


def _swaps(body: str) -> Iterator[Change]:
    for old, new in SWAPPED:
        for match in re.finditer(old, body):
            yield Change(match.start(), match.end(), new)


def _numbers(body: str) -> Iterator[Change]:
    """One more and one less."""
    for match in NUMBER.finditer(body):
        for number in (int(match[0]) + 1, int(match[0]) - 1):
            yield Change(match.start(), match.end(), str(number))


def _conditions(body: str) -> Iterator[Change]:
    """Each part of a condition left out, what is equal unequal, and a branch that is never taken."""
    for match in CONDITION.finditer(body):
        whole = match.end(), _end(body, match.end())
        for one, other in _parts(body, *whole, AND):
            yield Change(one, other, "TRUE")
            for equal in re.finditer(" = ", body[one:other]):
                yield Change(one + equal.start(), one + equal.end(), " <> ")
        if match[0] != "WHERE":
            yield Change(*_trimmed(body, *whole), "FALSE")


def _lists(body: str) -> Iterator[Change]:
    """A term of an order or an assignment that is forgotten, an order the other way round."""
    for match in ORDER.finditer(body):
        yield from _without_one(body, match.end(), _end(body, match.end()))
        for _, last in _parts(body, match.end(), _end(body, match.end()), COMMA):
            yield Change(last, last, " DESC")
    for match in SET.finditer(body):
        yield from _without_one(body, match.end(), _end(body, match.end()))
    for match in COALESCE.finditer(body):
        terms = _parts(body, match.end(), _end(body, match.end()), COMMA)
        yield Change(match.end(), terms[-1][0], "")
        yield Change(terms[0][1], terms[-1][1], "")


def _statements(body: str) -> Iterator[Change]:
    for match in BEFORE.finditer(body):
        if STATEMENT.match(body, match.end()):
            end = body.index(";", match.end())
            yield Change(match.end(), end, "NULL")


def _without_one(body: str, begin: int, end: int) -> Iterator[Change]:
    parts = _parts(body, begin, end, COMMA)
    for (one, _), (following, _) in itertools.pairwise(parts):
        yield Change(one, following, "")
    if len(parts) > 1:
        yield Change(parts[-2][1], parts[-1][1], "")


def _end(body: str, begin: int) -> int:
    """Where the clause ends that begins there."""
    depth = 0
    for at in range(begin, len(body)):
        depth += {"(": 1, ")": -1}.get(body[at], 0)
        if depth < 0 or (depth == 0 and STOP.match(body, at)):
            return at
    return len(body)


def _parts(body: str, begin: int, end: int, divider: re.Pattern[str]) -> list[tuple[int, int]]:
    """The spans that the divider parts outside of parentheses, without the space around them."""
    depth, first, found = 0, begin, []
    for at in range(begin, end):
        depth += {"(": 1, ")": -1}.get(body[at], 0)
        if depth == 0 and (match := divider.match(body, at, end)):
            found.append((first, at))
            first = match.end()
    return [_trimmed(body, *span) for span in [*found, (first, end)]]


def _trimmed(body: str, begin: int, end: int) -> tuple[int, int]:
    part = body[begin:end]
    return begin + len(part) - len(part.lstrip()), begin + len(part.rstrip())
