"""Locks of the reads of projects and moments."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clipforge.devtools.testing.clocks import MICROSECOND
from clipforge.devtools.testing.factories import make_moment, make_project
from projects import moments as project_moments
from projects.failures import NoTranscript
from projects.models import MomentFeedback
from projects.selectors import feedback, get_moment, get_project, get_transcript, transcript

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


@pytest.mark.parametrize("read", [transcript, get_transcript])
def test_a_transcript_is_locked_where_that_is_asked_for(read: Callable[..., Any]):
    project = make_project()

    def read_of_none(*arguments: Any, **options: Any) -> None:
        with contextlib.suppress(NoTranscript):
            read(*arguments, **options)

    assert "FOR " not in said(read_of_none, project)
    assert said(read_of_none, project, lock=True).endswith("FOR NO KEY UPDATE")


def test_ratings_since_a_moment_are_those_of_that_moment_too():
    moment = make_moment(make_project())
    project_moments.change_moment(moment=moment, placed=None, changes={"rating": "up"})
    rated = MomentFeedback.objects.get().rated_at
    assert feedback(since=rated).count() == 1
    assert feedback(since=rated + MICROSECOND).count() == 0
