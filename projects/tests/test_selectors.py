"""Locks of the reads of projects and moments."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clipforge.devtools.testing.clocks import MICROSECOND
from clipforge.devtools.testing.factories import make_moment, make_project, make_transcript
from projects import moments as project_moments
from projects.failures import NoTranscript
from projects.models import MomentFeedback
from projects.selectors import (
    features,
    feedback,
    get_moment,
    get_project,
    get_transcript,
    lock_clippable,
    moments,
    transcript,
)
from projects.tests.kept import keep_features

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


def test_the_moments_of_a_project_are_its_own():
    moment, _ = (make_moment(make_project()) for _ in range(2))
    assert list(moments(moment.project)) == [moment]


def test_ratings_since_a_moment_are_those_of_that_moment_too():
    moment = make_moment(make_project())
    project_moments.change_moment(moment=moment, placed=None, changes={"rating": "up"})
    rated = MomentFeedback.objects.get().rated_at
    assert feedback(since=rated).count() == 1
    assert feedback(since=rated + MICROSECOND).count() == 0


def test_features_and_transcript_are_those_of_that_project():
    first, second, bare = (make_project() for _ in range(3))
    for project in (first, second):
        keep_features(project, content=str(project.pk).encode())
        make_transcript(project, str(project.pk))
    for project in (first, second):
        assert features(project) == str(project.pk).encode()
        assert get_transcript(project).project_id == project.pk
    assert (features(bare), transcript(bare)) == (None, None)


def test_what_is_to_be_clipped_is_locked_in_the_order_of_ids_and_found_for_its_organization_only():
    org = make_project().org
    first, second, third = (make_project(org) for _ in range(3))
    moments = [make_moment(third), make_moment(second)]
    other = make_moment(make_project())
    make_moment(first)  # not asked for
    with CaptureQueriesContext(connection) as said:
        found = lock_clippable(
            org,
            project_ids=[second.pk, first.pk, other.project_id],
            moment_ids=[moments[1].pk, moments[0].pk, other.pk],
        )
    assert list(found.projects) == [first.pk, second.pk, third.pk]
    assert list(found.moments) == [moment.pk for moment in moments]
    assert all(project.org is org for project in found.projects.values())
    for moment, project in zip(found.moments.values(), (third, second), strict=True):
        assert moment.project is found.projects[project.pk]
    _, projects, placed = (query["sql"] for query in said.captured_queries)
    assert projects.endswith('ASC FOR NO KEY UPDATE OF "projects_project"')
    assert placed.endswith("ASC FOR NO KEY UPDATE")
