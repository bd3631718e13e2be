"""The statements that ran, in a form short enough to pin in a test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from redis.connection import AbstractConnection

from clipforge.common.cache.lines import Line
from clipforge.common.cache.log import family

_CONTROL = re.compile(r"(BEGIN|COMMIT|ROLLBACK TO SAVEPOINT|SAVEPOINT|RELEASE SAVEPOINT)\b")
_VERB = re.compile(r"\b(INSERT|UPDATE|DELETE|SELECT)\b", re.IGNORECASE)
_TABLE = re.compile(r'\b(?:INTO|UPDATE|FROM)\s+"?(\w+)"?', re.IGNORECASE)
_INNERMOST = re.compile(r"\([^()]*\)")

# Who is asking, and how often they may. Every request asks it, or finds it in the cache.
_ACCESS = re.compile(r"\w+ orgs_(apikey|tierlimits|organization)\b")


@contextmanager
def statements(*, control: bool = False, access: bool = False) -> Iterator[list[str]]:
    """Collect `VERB table` of every statement, for example `SELECT projects_project`.

    The list is filled when the block ends. Left out are the reads of authentication and limits
    unless `access`, and what only begins and ends transactions unless `control`.
    """
    said: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield said
    for query in captured.captured_queries:
        name = _name(query["sql"])
        if (access or not _ACCESS.match(name)) and (control or not _CONTROL.match(name)):
            said.append(name)


@contextmanager
def round_trips() -> Iterator[list[str]]:
    """Collect what Redis is sent, a round trip each: `COMMAND family-of-the-key`, a pipeline as one.

    Seen where redis-py and our own lines write to their sockets, so nothing gets around it.
    """
    said: list[str] = []
    send: Any = AbstractConnection.send_packed_command
    send_line: Any = Line.send

    def noted(self: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
        said.append(_command(command))
        return send(self, command, *args, **kwargs)

    def noted_line(self: Any, asked: Any, packed: bytes) -> None:
        said.append(_command(packed))
        send_line(self, asked, packed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Line, "send", noted_line)
        patch.setattr(AbstractConnection, "send_packed_command", noted)
        yield said


def _command(packed: list[bytes] | bytes) -> str:
    """The first command of a packed one: *3, $3, SET, $1, k, $1, v."""
    text = packed if isinstance(packed, bytes) else b"".join(packed)
    words = [word.decode(errors="replace") for word in text.split(b"\r\n")[2::2]]
    key = words[3] if words[0].startswith("EVAL") else "".join(words[1:2])
    return f"{words[0]} {family(key)}"


def _name(sql: str) -> str:
    if found := _CONTROL.match(sql):
        return found[1]
    verb, table = _VERB.search(sql), _TABLE.search(_flat(sql)) or _TABLE.search(sql)
    return f"{verb[1].upper() if verb else sql.split()[0]} {table[1] if table else '-'}"


def _flat(sql: str) -> str:
    """A SELECT without its subqueries: what a column is computed from is not what is listed."""
    while sql.startswith("SELECT") and (flatter := _INNERMOST.sub("?", sql)) != sql:
        sql = flatter
    return sql
