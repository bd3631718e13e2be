"""SQL of migrations, read for what it means to those who use the table meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple


class Waits(StrEnum):
    """Who waits while the lock is held."""

    NOBODY = "nobody"
    WRITERS = "writers"
    EVERYBODY = "everybody"


class Lasts(StrEnum):
    """How long the lock is held once it is given."""

    A_MOMENT = "a moment"
    READING = "while its rows are read"
    REWRITING = "while it is written anew"
    UNKNOWN = "unknown"


class Effect(NamedTuple):
    """One statement on a table that is in use. `breaks` says what code of the earlier release meets."""

    table: str
    lock: str
    waits: Waits
    lasts: Lasts
    breaks: str = ""


class Rule(NamedTuple):
    """The first that fits a statement decides. `table` is its one group."""

    pattern: re.Pattern[str]
    lock: str
    waits: Waits
    lasts: Lasts
    breaks: str = ""


SHARE_UPDATE, SHARE, SHARE_ROW, ACCESS = (
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
_TABLE = r'(?:IF EXISTS )?(?:ONLY )?"?(\w+)"?'


def _rule(pattern: str, lock: str, waits: Waits, lasts: Lasts, breaks: str = "") -> Rule:
    filled = pattern.replace("TABLE_NAME", _TABLE)
    return Rule(re.compile(filled, re.IGNORECASE), lock, waits, lasts, breaks)


NOBODY, WRITERS, EVERYBODY = Waits.NOBODY, Waits.WRITERS, Waits.EVERYBODY
A_MOMENT, READING, REWRITING = Lasts.A_MOMENT, Lasts.READING, Lasts.REWRITING
ALTER = "^ALTER TABLE TABLE_NAME "

RULES = [
    _rule(r"^(?:CREATE|DROP) INDEX CONCURRENTLY", SHARE_UPDATE, NOBODY, READING),
    _rule(
        r'^CREATE (?:UNIQUE )?INDEX (?:(?:IF NOT EXISTS )?"?\w+"? )?ON TABLE_NAME',
        SHARE,
        WRITERS,
        READING,
    ),
    _rule(r'^DROP INDEX (?:IF EXISTS )?"?(\w+)"?', ACCESS, EVERYBODY, A_MOMENT),
    _rule(r"^DROP TABLE TABLE_NAME", ACCESS, EVERYBODY, A_MOMENT, "it reads a table that is gone"),
    _rule(f"{ALTER}.*VALIDATE CONSTRAINT", SHARE_UPDATE, NOBODY, READING),
    _rule(f"{ALTER}ADD CONSTRAINT .*FOREIGN KEY .*NOT VALID", SHARE_ROW, WRITERS, A_MOMENT),
    _rule(f"{ALTER}ADD CONSTRAINT .*FOREIGN KEY", SHARE_ROW, WRITERS, READING),
    _rule(f"{ALTER}ADD .*NOT VALID", ACCESS, EVERYBODY, A_MOMENT),
    _rule(f"{ALTER}ADD CONSTRAINT", ACCESS, EVERYBODY, READING),
    _rule(
        f"{ALTER}ADD COLUMN (?=.*NOT NULL)(?!.*(?:DEFAULT|GENERATED))",
        ACCESS,
        EVERYBODY,
        READING,
        "it names no such column when it adds a row",
    ),
    _rule(f"{ALTER}ADD COLUMN .*GENERATED ALWAYS AS .*STORED", ACCESS, EVERYBODY, REWRITING),
    _rule(
        f"{ALTER}ADD COLUMN .*DEFAULT [^,]*(?:random|clock_timestamp|uuid)",
        ACCESS,
        EVERYBODY,
        REWRITING,
    ),
    _rule(f"{ALTER}ADD COLUMN .*CHECK", ACCESS, EVERYBODY, READING),
    _rule(f"{ALTER}ADD COLUMN", ACCESS, EVERYBODY, A_MOMENT),
    _rule(f"{ALTER}DROP COLUMN", ACCESS, EVERYBODY, A_MOMENT, "it reads a column that is gone"),
    _rule(f"{ALTER}RENAME CONSTRAINT", ACCESS, EVERYBODY, A_MOMENT),
    _rule(f"{ALTER}RENAME", ACCESS, EVERYBODY, A_MOMENT, "it looks for the earlier name"),
    # From one length of text to a longer one, or to none, the rows stay as they are.
    _rule(f'{ALTER}ALTER COLUMN "?\\w+"? TYPE (?:varchar|text)\\b', ACCESS, EVERYBODY, A_MOMENT),
    _rule(
        f'{ALTER}ALTER COLUMN "?\\w+"? (?:SET DATA )?TYPE',
        ACCESS,
        EVERYBODY,
        REWRITING,
        "it may read and write the earlier type",
    ),
    _rule(
        f'{ALTER}ALTER COLUMN "?\\w+"? SET NOT NULL',
        ACCESS,
        EVERYBODY,
        READING,
        "it may write NULL there",
    ),
    _rule(ALTER, ACCESS, EVERYBODY, A_MOMENT),
    _rule(r"^CREATE .*TRIGGER .* ON TABLE_NAME", SHARE_ROW, WRITERS, A_MOMENT),
    _rule(r"^(?:DROP|ALTER) TRIGGER .* ON TABLE_NAME", ACCESS, EVERYBODY, A_MOMENT),
    _rule(r"^(?:UPDATE|DELETE FROM|INSERT INTO) TABLE_NAME", "rows", WRITERS, READING),
    _rule(
        r"^DROP (?:FUNCTION|VIEW|TYPE) TABLE_NAME",
        "none",
        NOBODY,
        A_MOMENT,
        "it may call what is gone",
    ),
]
# They lock no table that anybody uses.
HARMLESS = re.compile(
    r"^(?:CREATE (?:OR REPLACE )?FUNCTION|CREATE TYPE|CREATE EXTENSION|CREATE SEQUENCE|CREATE (?:OR REPLACE )?VIEW"
    r"|ALTER SEQUENCE|ALTER FUNCTION|ALTER TYPE \S+ ADD VALUE|ALTER INDEX \S+ RENAME|SET |RESET |SELECT |COMMENT |--)",
    re.IGNORECASE,
)
CREATED = re.compile(r'^CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?"?(\w+)"?', re.IGNORECASE)
REFERENCED = re.compile(r'REFERENCES "?(\w+)"?', re.IGNORECASE)
# Bodies of functions and quoted text have words of SQL that are none of the statement.
QUOTED = re.compile(r"\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|--[^\n]*", re.DOTALL)


def effects(scripts: Iterable[str], made: set[str]) -> Iterator[Effect]:
    """Those of the statements, in their order. Tables that they make are added to `made`: nobody uses those."""
    for statement in split(scripts):
        if created := CREATED.match(statement):
            made.add(created[1])
            continue
        if HARMLESS.match(statement):
            continue
        yield from (effect for effect in _effects_of(statement) if effect.table not in made)


def split(scripts: Iterable[str]) -> Iterator[str]:
    """Single statements, each on one line, without what is quoted in them."""
    for script in scripts:
        for statement in QUOTED.sub(_without, script).split(";"):
            if line := " ".join(statement.split()):
                yield line


def _without(found: re.Match[str]) -> str:
    return " " if found[0].startswith("--") else " '' "


def _effects_of(statement: str) -> Iterator[Effect]:
    for rule in RULES:
        if found := rule.pattern.search(statement):
            table = found[1] if found.groups() else _concurrently(statement)
            yield Effect(table, rule.lock, rule.waits, rule.lasts, rule.breaks)
            break
    else:
        yield Effect(statement[:60], "unknown", EVERYBODY, Lasts.UNKNOWN)
    for other in REFERENCED.findall(statement):
        yield Effect(other, SHARE_ROW, WRITERS, A_MOMENT)


def _concurrently(statement: str) -> str:
    found = re.search(r' ON "?(\w+)"?| EXISTS "?(\w+)"?', statement)
    return next((name for name in found.groups() if name), "") if found else ""
