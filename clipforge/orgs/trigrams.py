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


# Letters of a text that is looked for with a slip: a shorter one is like too many, a longer one is no name.
SHORTEST_SLIP, LONGEST_SLIP = 5, 60
# Places at which a slip is looked for: each is a search through the index.
PLACES = 8


def nearly(rows: QuerySet[Any], field: str, term: str, *, most: int) -> list[Any]:
    """Rows of whose field some words are the text but for one slip: a letter wrong, missing, too many, or
    two that changed places. At most `most` are looked at, in one query.
    """
    term = " ".join(term.lower().split())
    arms = [
        rows.alias(_groups=Trigrams(field)).filter(_groups__contains=groups).order_by()
        for groups in _around_each_place(term)
    ]
    if not arms:
        return []
    first, *others = [arm.values("pk")[:most] for arm in arms]
    like = first.union(*others) if others else first
    return [row for row in rows.filter(pk__in=like)[:most] if _is_near(getattr(row, field), term)]


def _around_each_place(term: str) -> list[Any]:
    """The groups of letters left of and right of each part of the text that may have the slip in it."""
    if not SHORTEST_SLIP <= len(term) <= LONGEST_SLIP:
        return []
    # Each two letters that stand together are in one part.
    width = max(2, -(-len(term) // PLACES) + 1)
    found = []
    for start in range(0, len(term) - 1, width - 1):
        left, right = f" {term[:start]}", term[start + width :]
        groups = [text[at : at + 3] for text in (left, right) for at in range(len(text) - 2)]
        if len(groups) > 1:
            found.append(Value(sorted(set(groups)), output_field=ArrayField(TextField())))
    return found


def _is_near(text: str, term: str) -> bool:
    words, many = text.lower().split(), len(term.split())
    windows = (
        " ".join(words[at : at + count])
        for count in (many, many - 1, many + 1)
        for at in range(len(words) - count + 1)
        if count
    )
    return any(_one_slip(window, term) for window in windows)


def _one_slip(one: str, other: str) -> bool:
    """True where one becomes the other by a letter more, less or another, or by two that change places."""
    short, long = sorted((one, other), key=len)
    if len(long) - len(short) > 1 or short == long:
        return short == long
    same = next((at for at, letter in enumerate(short) if letter != long[at]), len(short))
    if len(short) < len(long):
        return short[same:] == long[same + 1 :]
    swapped = long[same + 1 : same + 2] + long[same : same + 1] + long[same + 2 :]
    return short[same + 1 :] == long[same + 1 :] or short[same:] == swapped
