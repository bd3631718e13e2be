"""Bulk updates of organizations, which are announced with the rows that they changed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from clipforge.common.models import rows_updated
from clipforge.devtools.testing.factories import make_organization
from clipforge.orgs.models import Organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def announced() -> Iterator[list[set[uuid.UUID]]]:
    """The rows of each update of organizations that was announced."""
    heard: list[set[uuid.UUID]] = []

    def listen(pks: list[uuid.UUID], **_signal: Any) -> None:
        heard.append(set(pks))

    rows_updated.connect(listen, sender=Organization)
    yield heard
    rows_updated.disconnect(listen, sender=Organization)


def test_an_update_is_announced_once_with_the_rows_that_it_changed(announced):
    first, second, _other = (make_organization(name=name) for name in ("A", "B", "C"))
    found = Organization.objects.filter(name__in=["A", "B"])
    assert found.update(is_active=False) == 2
    assert announced == [{first.pk, second.pk}]


def test_an_update_of_no_row_is_not_announced(announced):
    make_organization(name="A")
    assert Organization.objects.filter(name="B").update(is_active=False) == 0
    assert announced == []


def test_a_row_that_begins_to_match_meanwhile_is_neither_changed_nor_announced(announced):
    first = make_organization(name="A")
    late: list[Organization] = []

    def appear(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        """Before the UPDATE of it another organization appears."""
        if sql.startswith("UPDATE") and not late:
            late.append(Organization.objects.create(name="A", slug="late"))
        return execute(sql, *arguments)

    with connection.execute_wrapper(appear):
        assert Organization.objects.filter(name="A").update(is_active=False) == 1
    (other,) = late
    other.refresh_from_db()
    assert other.is_active
    assert announced == [{first.pk}]
