"""Plans of what serializers show: what of which member is read, and how it is written.

DRF finds this out anew for each row, and copies every field for each answer. A plan is made once
for a class of serializers, and shows the same.
"""

from __future__ import annotations

import datetime
import functools
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from rest_framework import serializers
from rest_framework.fields import ReadOnlyField
from rest_framework.settings import api_settings

# A member that is not there, or has to be called: DRF knows what to do about it.
NOT_PLANNED = (KeyError, AttributeError, TypeError, ObjectDoesNotExist)

Read = Callable[[Any], Sequence[Any]]
Write = Callable[[Any], Any]
M = TypeVar("M", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Plan:
    """`methods` are asked besides, with the serializer; their place among the names is kept by a None."""

    names: tuple[str, ...]
    read: Read
    writes: tuple[Write, ...]
    methods: tuple[tuple[str, Callable[[Any, Any], Any]], ...]

    def show(self, serializer: Any, instance: Any) -> dict[str, Any]:
        """Raises one of NOT_PLANNED for what DRF has to be asked about."""
        shown = {
            name: None if value is None else write(value)
            for name, value, write in zip(self.names, self.read(instance), self.writes, strict=True)
        }
        for name, method in self.methods:
            shown[name] = method(serializer, instance)
        return shown


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    source: str
    write: Write
    method: Callable[[Any, Any], Any] | None = None


@functools.cache
def plan_of(kind: type[serializers.Serializer[Any]]) -> Plan | None:
    """None for a serializer with a field that has to be asked in DRF's way."""
    if _is_changed(kind):
        return None
    steps = []
    for name, field in kind().fields.items():
        if field.write_only:
            continue
        step = _step_of(kind, name, field)
        if step is None:
            return None
        steps.append(step)
    read = _reader([step.source for step in steps], of_rows=_model_of(kind) is not None)
    return Plan(
        tuple(step.name for step in steps),
        read,
        tuple(step.write for step in steps),
        tuple((step.name, step.method) for step in steps if step.method),
    )


def planned(method: M) -> M:
    """Mark a method of a base class as one that plans know; those that override it are not."""
    method.is_planned = True  # type: ignore[attr-defined]
    return method


def _is_changed(kind: type[serializers.Serializer[Any]]) -> bool:
    """Whether its fields depend on more than its class."""
    theirs = serializers.Serializer.get_fields, serializers.ModelSerializer.get_fields
    return kind.get_fields not in theirs and not getattr(kind.get_fields, "is_planned", False)


def _model_of(kind: type[serializers.BaseSerializer[Any]]) -> Any:
    return getattr(getattr(kind, "Meta", None), "model", None)


def _reader(sources: list[str], *, of_rows: bool) -> Read:
    if of_rows and len(sources) > 1:
        return operator.attrgetter(*sources)
    if of_rows:
        return lambda row: [getattr(row, source) for source in sources]

    def read(thing: Any) -> list[Any]:
        if isinstance(thing, Mapping):
            values = [thing[source] for source in sources]
        else:
            values = [getattr(thing, source) for source in sources]
        if any(map(callable, values)):
            raise TypeError
        return values

    return read


def _step_of(kind: type[serializers.Serializer[Any]], name: str, field: Any) -> _Step | None:
    of_model, model = field.source, _model_of(kind)
    match field:
        case serializers.SerializerMethodField():
            if model is None:
                return None
            method = getattr(kind, field.method_name)
            return _Step(name, "pk", _nothing, method)  # a member that each row has
        case serializers.PrimaryKeyRelatedField(pk_field=None) if len(field.source_attrs) == 1:
            return _Step(name, f"{field.source}_id", _as_it_is)
        case serializers.ListSerializer() if type(field) is serializers.ListSerializer:
            write = _write_of_nested(field.child)
            write = write and functools.partial(_each, write)
        case serializers.Serializer():
            write = _write_of_nested(field)
        case serializers.BaseSerializer() | serializers.RelatedField() | ReadOnlyField():
            return None
        case _:
            write = _write_of(field)
    if write is None or len(field.source_attrs) != 1:
        return None
    if inspect.isfunction(getattr(model, of_model, None)):
        return None
    return _Step(name, of_model, write)


def _write_of_nested(serializer: Any) -> Write | None:
    """None for one that is asked with the serializer, or writes in a way of its own."""
    kind: Any = type(serializer)
    plan = plan_of(kind)
    if plan is None or plan.methods or not getattr(kind.to_representation, "is_planned", False):
        return None
    return functools.partial(plan.show, None)


def _each(write: Write, values: Any) -> list[Any]:
    # A relation has no length, and DRF reads it.
    return [write(value) for value in iter(values)]


# What these kinds of fields do, and nothing else, without the calls between.
_PLAIN: dict[type[serializers.Field[Any, Any, Any, Any]], Write] = {
    serializers.CharField: str,
    serializers.IntegerField: int,
    serializers.FloatField: float,
    serializers.EmailField: str,
}


def _write_of(field: Any) -> Write:
    kind = type(field)
    if kind is serializers.UUIDField and field.uuid_format == "hex_verbose":
        return str
    if kind is serializers.DateTimeField and _is_plain_time(field):
        return functools.partial(_time, field.to_representation)
    if kind.to_representation is serializers.CharField.to_representation:
        return str
    write: Write = _PLAIN.get(kind) or field.to_representation
    return write


def _is_plain_time(field: serializers.DateTimeField) -> bool:
    form = getattr(field, "format", api_settings.DATETIME_FORMAT)
    zone = getattr(field, "timezone", None)
    return form == "iso-8601" and zone is None and settings.TIME_ZONE == "UTC"


def _time(otherwise: Write, value: Any) -> Any:
    """As DRF writes it where no other zone is active, which the API never has."""
    if type(value) is datetime.datetime and value.tzinfo is datetime.UTC:
        return value.isoformat()[:-6] + "Z"
    return otherwise(value)


def _as_it_is(value: Any) -> Any:
    return value


def _nothing(_value: Any) -> None:
    return None
