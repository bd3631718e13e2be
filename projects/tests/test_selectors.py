"""Locks of the reads of projects and moments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clipforge.devtools.testing.factories import make_moment, make_project
from projects.selectors import get_moment, get_project

pytestmark = pytest.mark.django_db


def said(read: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    with CaptureQueriesContext(connection) as queries:
        read(*arguments, **options)
    (only,) = (each["sql"] for each in queries)
    return str(only)


def test_a_project_is_locked_where_that_is_asked_for_and_can_be_referred_to_meanwhile():
    project = make_project()
    assert "FOR " not in said(get_project, project.org, project.pk)
    locked = said(get_project, project.org, project.pk, lock=True)
    assert locked.endswith('FOR NO KEY UPDATE OF "projects_project"')


def test_a_moment_is_read_with_its_project_locked_where_that_is_asked_for():
    moment = make_moment(make_project())
    assert "FOR " not in said(get_moment, moment.org, moment.pk)
    locked = said(get_moment, moment.org, moment.pk, lock=True)
    assert locked.endswith('FOR NO KEY UPDATE OF "projects_project", "projects_moment"')
