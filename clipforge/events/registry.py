"""The types of event: what each is about, and the body it is told with.

An app registers the types of its objects in its module `api.events`, which is looked for as Django
looks for admin modules. Whoever records an event names its type and nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.module_loading import autodiscover_modules


@dataclass(frozen=True, kw_only=True)
class EventType:
    """A type of event. `name` is `object.what_happened`; customers' programs read it."""

    name: str
    # In the API's documentation: when it is told.
    told_when: str
    # The answer of the GET of the object, as JSON, from the row that is given.
    body: Callable[[Any], bytes]
    # The serializer of that answer, for the documentation.
    answer: Any

    @property
    def object_type(self) -> str:
        return self.name.partition(".")[0]


_types: dict[str, EventType] = {}


def register(event_type: EventType) -> None:
    """Make a type known. Raises ValueError for a name that is registered already."""
    if event_type.name in _types:
        raise ValueError(f"{event_type.name} is registered already")
    _types[event_type.name] = event_type


def all_types() -> list[EventType]:
    """In the order of the apps."""
    _discover()
    return list(_types.values())


def find_type(name: str) -> EventType:
    """Raises LookupError for a name that no app has registered."""
    _discover()
    return _types[name]


@functools.cache
def _discover() -> None:
    autodiscover_modules("api.events")
