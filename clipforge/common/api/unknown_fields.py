"""Members of a body that nobody asked for: refused by name, so that a misspelling costs nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.utils.text import Truncator
from rest_framework.request import Request

from clipforge.common.errors import Invalid

CODE = "unknown_field"

# Members that a refusal names: of a hundred thousand, the first tell enough.
MOST_NAMED = 20
# Characters of a name in a sentence. The pointer has all of it.
MOST_SHOWN = 60


class Stranger(NamedTuple):
    """A member of the body that is not known, by the names and numbers that lead to it."""

    path: tuple[str | int, ...]
    known: tuple[str, ...]

    @property
    def pointer(self) -> str:
        """RFC 6901."""
        return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in self.path)

    @property
    def sentence(self) -> str:
        return f"There is no such member. Known here: {', '.join(sorted(self.known)) or 'none'}."


def refuse_strangers(found: Iterable[Stranger]) -> None:
    """Raises Invalid (`unknown_field`) that points at each of them, unless there are none."""
    named = list(itertools.islice(found, MOST_NAMED))
    if not named:
        return
    names = ", ".join(Truncator(str(each.path[-1])).chars(MOST_SHOWN) for each in named[:3])
    raise Invalid(
        f"Unknown in the body: {names}. Known there: {', '.join(sorted(named[0].known)) or 'none'}. "
        "Nothing was done or charged.",
        code=CODE,
        errors=[{"pointer": each.pointer, "code": CODE, "detail": each.sentence} for each in named],
    )


def refuse_body(request: Request) -> None:
    """For operations that read no body. Raises Invalid for one that says anything."""
    data: Any = request.data
    if isinstance(data, Mapping):
        refuse_strangers(Stranger((name,), ()) for name in data)
    elif data:
        raise Invalid("Send no body: nothing would be read of it.")
