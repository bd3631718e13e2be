"""The columns of the lists of the admin: what a row belongs to as a link, and states in colour and words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import ForeignKey, Model
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from clipforge.common.states import state_of

Column = Callable[[Any], Any]


def columns_of(model: type[Model], names: Any) -> list[Any]:
    """The columns of these names: relations become links and statuses badges, but for the first, which
    leads to the row."""
    first, *rest = names
    return [first, *(_column(model, name) for name in rest)]


def name_of(column: Any) -> str:
    """The name by which `list_display` has it."""
    return str(getattr(column, "of_field", column))


def _column(model: type[Model], name: Any) -> Any:
    try:
        field: Any = model._meta.get_field(name) if isinstance(name, str) else None
    except FieldDoesNotExist:
        return name
    if isinstance(field, ForeignKey):
        return _named(_link(name, cast("Any", field.related_model)._meta), field)
    if name == "status" and field.choices:
        return _named(_badge(name), field)
    return name


def _named(column: Column, field: Any) -> Column:
    shown = admin.display(description=field.verbose_name, empty_value="–")(column)
    shown.of_field = field.name  # type: ignore[attr-defined]
    return shown


def _link(name: str, meta: Any) -> Column:
    def link(row: Any) -> Any:
        there = getattr(row, name)
        if there is None:
            return None
        try:
            url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[there.pk])
        except NoReverseMatch:
            return there
        return format_html('<a href="{}">{}</a>', url, there)

    return link


def _badge(name: str) -> Column:
    def badge(row: Any) -> Any:
        status = getattr(row, name)
        word = getattr(row, f"get_{name}_display")()
        return format_html(
            '<span class="cf-badge cf-badge--{}">{}</span>', state_of(status), word or status
        )

    return badge
