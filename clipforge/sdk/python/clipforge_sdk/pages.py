"""Lists, which come in pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Pages(Generic[T]):
    """Every row of a list: `for row in pages`. Each page is asked for when its first row is.

    It may be gone through several times, and asks anew each time.
    """

    def __init__(self, ask: Callable[[dict[str, Any]], Any]) -> None:
        self._ask = ask

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page

    def pages(self) -> Iterator[list[T]]:
        """The rows, a page at a time."""
        query: dict[str, Any] = {}
        while True:
            page = self._ask(query)
            yield page["results"]
            if page["next_cursor"] is None:
                return
            query = {"cursor": page["next_cursor"]}
