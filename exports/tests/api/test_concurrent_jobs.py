"""How much work an organization may have waiting or running at a time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import (
    make_client,
    make_export,
    make_organization,
    make_project,
    make_tier_limits,
)
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import funds, nothing_changes
from clipforge.jobs import lifecycle
from clipforge.orgs.models import TierLimits
from credits.models import CreditAccount
from exports.models import Export

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def none_may_wait(transactional_db: None) -> None:
    """How many wait beyond those that run: `clipforge/jobs/tests/test_places.py`."""
    make_tier_limits(queued_jobs=0)


def start(client: Any, project: Any) -> Any:
    body = {"project": str(project.pk), "start": 0, "end": 10}
    return client.post("/api/v1/exports", body)


def test_one_more_than_the_limit_is_429_with_its_own_code_and_reserves_nothing():
    org = make_organization(tier="STARTER", credits_=10)
    project, client = make_project(org), make_client(org)
    assert [start(client, project).status_code for _ in range(2)] == [201, 201]
    with nothing_changes():
        refused = start(client, project)
        body = assert_problem(refused, 429, "concurrent_jobs")
    assert (body["limit"], body["quota"], body["running"]) == ("concurrent_jobs", 2, 2)
    assert int(refused["Retry-After"]) > 0
    assert funds(org).held == 2


def test_an_analysis_counts_as_an_export_does():
    org = make_organization(tier="FREE", credits_=10)
    project = make_project(org)
    make_project(org, status="ANALYZING")
    assert_problem(start(make_client(org), project), 429, "concurrent_jobs")


@pytest.mark.parametrize("end", ["cancel", "fail", "succeed"])
def test_whatever_ends_makes_room(end: str):
    org = make_organization(tier="FREE", credits_=10)
    project, client = make_project(org), make_client(org)
    assert start(client, project).status_code == 201
    assert start(client, project).status_code == 429
    export = Export.objects.get()
    if end == "cancel":
        client.post(f"/api/v1/exports/{export.pk}/cancel")
    else:
        claimed = lifecycle.claim(Export, export.pk, fence=0)
        assert claimed is not None
        if end == "fail":
            lifecycle.fail(claimed, error=("timed_out", "Too long."), actor="test")
        else:
            lifecycle.succeed(claimed, status="READY", actor="test")
    assert CreditAccount.objects.get().open_holds == 0
    assert start(client, project).status_code == 201


def test_a_retry_needs_room_too():
    org = make_organization(tier="FREE", credits_=10)
    project, client = make_project(org), make_client(org)
    failed = make_export(project, status="FAILED")
    assert start(client, project).status_code == 201
    assert_problem(client.post(f"/api/v1/exports/{failed.pk}/retry"), 429, "concurrent_jobs")


def test_a_new_figure_holds_at_once():
    org = make_organization(tier="FREE", credits_=10)
    project, client = make_project(org), make_client(org)
    assert start(client, project).status_code == 201
    TierLimits.objects.filter(tier="FREE").update(concurrent_jobs=2)
    assert start(client, project).status_code == 201
    TierLimits.objects.filter(tier="FREE").update(concurrent_jobs=1)
    assert start(client, project).status_code == 429


def test_of_twenty_at_once_exactly_as_many_as_there_is_room_for_are_started():
    org = make_organization(tier="PRO", credits_=100)
    project = make_project(org)
    clients = [make_client(org) for _ in range(20)]
    answers = run_together(20, lambda number: start(clients[number], project))
    codes = Counter(getattr(answer, "status_code", answer) for answer in answers)
    assert codes == {201: 4, 429: 16}
    assert CreditAccount.objects.get().open_holds == 4
    assert Export.objects.count() == 4


def test_not_enough_credits_is_said_first():
    org = make_organization(tier="FREE", credits_=1)
    project, client = make_project(org), make_client(org)
    assert start(client, project).status_code == 201
    assert_problem(start(client, project), 402, "insufficient_credits")
