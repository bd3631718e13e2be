"""Finding rows by a part of a text, in any case, through a GIN index on `Trigrams("field")`.

The functions are made by a migration of this app. PostgreSQL's own, pg_trgm, is an extension that
not every server has.
"""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import Func, QuerySet, TextField, Value


class Trigrams(Func):
    """The groups of three letters in a text, in lower case; the text has two spaces before it."""

    function = "orgs_trigrams"
    arity = 1
    output_field = ArrayField(TextField())


class SoughtTrigrams(Func):
    """The groups that every text with this part has; for one or two letters, that begins with them."""

    function = "orgs_sought"
    arity = 1
    output_field = ArrayField(TextField())


def containing(rows: QuerySet[Any], field: str, term: str) -> QuerySet[Any]:
    """Rows whose field has every word of the text; for a short text, begins with it."""
    rows = rows.alias(_groups=Trigrams(field))
    if len(term) < 3:
        return rows.filter(_groups__contains=SoughtTrigrams(Value(term)))
    # The groups find through the index, the comparison makes sure: groups can be scattered.
    for word in [word for word in term.split() if len(word) > 2] or [term]:
        rows = rows.filter(_groups__contains=SoughtTrigrams(Value(word)))
    for word in term.split():
        rows = rows.filter(**{f"{field}__icontains": word})
    return rows
