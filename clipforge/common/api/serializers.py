"""The serializer bases of every app. Each refuses members of a body that it does not know."""

from __future__ import annotations

import contextlib
import copy
import functools
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models
from django.utils.datastructures import MultiValueDict
from rest_framework import serializers
from rest_framework.fields import empty

from clipforge.common.api.plans import NOT_PLANNED, plan_of, planned
from clipforge.common.api.unknown_fields import Stranger, refuse_strangers

if TYPE_CHECKING:
    _Base = serializers.Serializer[Any]
else:
    _Base = object

# What follows the name of a field in the fields of a form that are inside it: `lines[0]price`, `to.name`.
_INSIDE = re.compile(r"[.\[]")


class Strict(_Base):
    """Validates a body only if every member of it is one that the serializer writes, at any depth.

    A misspelt member must not be dropped while the work that it was about is done and charged.
    """

    # Members as an example, in the schema of the API; those that are left out are filled in.
    example: ClassVar[Mapping[str, Any]] = {}

    def is_valid(self, *, raise_exception: bool = False) -> bool:
        """Raises Invalid (`unknown_field`) for a body with other members, whatever `raise_exception` is."""
        refuse_strangers(strangers(self, getattr(self, "initial_data", None)))
        return super().is_valid(raise_exception=raise_exception)

    @planned
    def to_representation(self, instance: Any) -> dict[str, Any]:
        """As DRF's, by a plan that is made once."""
        plan = plan_of(type(self))
        if plan is not None:
            with contextlib.suppress(*NOT_PLANNED):
                return plan.show(self, instance)
        shown: dict[str, Any] = super().to_representation(instance)
        return shown


class Serializer(Strict, serializers.Serializer[Any]):
    """The base of what is no row."""


class Text(serializers.CharField):
    """As DRF's CharField, but a number is not taken for its digits."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class MaybeText(Text):
    """A text that is there or null: the database keeps an absent one as an empty one."""

    def to_representation(self, value: Any) -> Any:
        return super().to_representation(value) or None


class Flag(serializers.BooleanField):
    """As DRF's BooleanField, but in JSON no number and no word is taken for a truth value."""

    def to_internal_value(self, data: Any) -> Any:
        is_form = isinstance(getattr(self.root, "initial_data", None), MultiValueDict)
        if not isinstance(data, bool) and not is_form:
            self.fail("invalid", input=data)
        return super().to_internal_value(data)


class Decimals(serializers.FloatField):
    """A number with three decimals at most: of seconds, milliseconds."""

    def to_representation(self, value: Any) -> Any:
        return round(float(value), 3)


class ModelSerializer(Strict, serializers.ModelSerializer[Any]):
    """As DRF's, but makes its fields from the model once, not for each request: half of the time."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: Text,
        models.TextField: Text,
        models.FloatField: Decimals,
        models.BooleanField: Flag,
    }

    @planned
    def get_fields(self) -> dict[str, Any]:
        return copy.deepcopy(_fields_of(type(self)))

    def build_standard_field(self, field_name: str, model_field: Any) -> Any:
        kind, options = super().build_standard_field(field_name, model_field)
        read_only = field_name in getattr(self.Meta, "read_only_fields", ())
        if kind is Text and model_field.blank and read_only:
            return MaybeText, {**options, "allow_null": True}
        return kind, options


@functools.cache
def _fields_of(kind: type[serializers.ModelSerializer[Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = serializers.ModelSerializer.get_fields(kind())
    return fields


def strangers(field: Any, data: Any, path: tuple[str | int, ...] = ()) -> Iterator[Stranger]:
    """The members of `data` that `field`, a serializer or what is in one, does not write."""
    match field, data:
        case serializers.Serializer(), Mapping():
            known = {name: each for name, each in field.fields.items() if not each.read_only}
            for name in data:
                if _field_of(name, known, data) is None:
                    yield Stranger((*path, name), tuple(known))
            for name, each in known.items():
                if (value := each.get_value(data)) is not empty:
                    yield from strangers(each, value, (*path, name))
        case ((serializers.ListSerializer() | serializers.ListField()), list()):
            for number, value in enumerate(data):
                yield from strangers(field.child, value, (*path, number))
        case serializers.DictField(), Mapping():
            for name, value in data.items():
                yield from strangers(field.child, value, (*path, name))


def _field_of(name: str, known: Mapping[str, Any], data: Mapping[str, Any]) -> Any:
    """The field that this member of the body is for; a form writes what is inside one beside the others."""
    if name in known or not hasattr(data, "getlist"):
        return known.get(name)
    field = known.get(_INSIDE.split(name, maxsplit=1)[0])
    return field if hasattr(field, "child") or hasattr(field, "fields") else None
