"""What the database was asked, in words short enough to pin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.test.utils import CaptureQueriesContext

_CONTROL = re.compile(r"(BEGIN|COMMIT|ROLLBACK TO SAVEPOINT|SAVEPOINT|RELEASE SAVEPOINT)\b")
_VERB = re.compile(r"\b(INSERT|UPDATE|DELETE|SELECT)\b", re.IGNORECASE)
_TABLE = re.compile(r'\b(?:INTO|UPDATE|FROM)\s+"?(\w+)"?', re.IGNORECASE)

# Who is asking, and how often they may. Every request asks it, or finds it in the cache.
_ACCESS = re.compile(r"\w+ orgs_(apikey|tierlimits|organization)\b")


@contextmanager
def statements(*, control: bool = False) -> Iterator[list[str]]:
    """Collect `VERB table` of every statement, for example `SELECT projects_project`.

    The list is filled when the block ends. Left out are the reads of authentication and limits,
    and what only begins and ends transactions unless `control`.
    """
    said: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield said
    for query in captured.captured_queries:
        name = _name(query["sql"])
        if not _ACCESS.match(name) and (control or not _CONTROL.match(name)):
            said.append(name)


def _name(sql: str) -> str:
    if found := _CONTROL.match(sql):
        return found[1]
    verb, table = _VERB.search(sql), _TABLE.search(sql)
    return f"{verb[1].upper() if verb else sql.split()[0]} {table[1] if table else '-'}"
