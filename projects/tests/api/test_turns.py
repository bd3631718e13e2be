"""Children that a request waits for: two at the same time in a process, and no more."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import make_moment, make_project
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import nothing_changes
from clipforge.media import curves as media_curves
from clipforge.orgs.models import Organization
from projects import turns
from projects.curves import curves_of
from projects.models import Project
from projects.tests.kept import keep_features

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(organization: Organization) -> Project:
    made = make_project(organization, duration=120.0)
    keep_features(made)
    return made


def test_without_a_turn_whatever_starts_a_child_is_503_and_does_nothing(
    api: APIClient, project: Project, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    moment = make_moment(project, start=1.0, end=11.0, pinned=True)
    path = f"/api/v1/projects/{project.pk}"

    def ask() -> list[Any]:
        placed = {"start": 20.0, "end": 40.0, "snap": "none"}
        return [
            api.get(f"{path}/curves"),
            api.post(f"{path}/moments/select", {"count": 2}, format="json"),
            api.post(f"{path}/moments", placed, format="json"),
            api.patch(f"/api/v1/moments/{moment.pk}", placed, format="json"),
        ]

    with turns.turn():  # the last one is free
        assert [answer.status_code for answer in ask()] == [200, 200, 201, 200]
        with turns.turn(), nothing_changes():
            for answer in ask():
                assert_problem(answer, 503, "children_busy")
                assert answer["Retry-After"] == "2"
    assert ask()[0].status_code == 200


@pytest.mark.django_db(transaction=True)
def test_two_children_run_at_the_same_time_and_never_three(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(turns, "PATIENCE", 120.0)
    lock, running, most, both = threading.Lock(), 0, 0, threading.Event()

    def counted(*args: Any) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if running >= turns.MOST_AT_ONCE:
            both.set()
        both.wait(120)
        try:
            return media_curves(*args)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr("projects.curves.media_curves", counted)
    assert len(run_together(6, lambda _: curves_of(project).step)) == 6
    assert most == turns.MOST_AT_ONCE
