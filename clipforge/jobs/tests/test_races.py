"""Several hands on one row at the same moment: real threads, real commits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from clipforge.common.errors import Conflict
from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import Funds, funds, jobs_of, lapse_lease
from clipforge.jobs import lifecycle, sweeping
from clipforge.jobs import services as job_services
from credits.models import CreditHold, CreditTransaction, TransactionType
from projects import services
from projects.models import Project

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 12


def both(first: Callable[[], object], second: Callable[[], object]) -> tuple[object, object]:
    """Let go of both at the same moment. Only a Conflict may come out besides results."""
    one, other = run_together(2, lambda number: (first, second)[number]())
    for result in (one, other):
        if isinstance(result, Exception) and not isinstance(result, Conflict):
            raise result
    return one, other


def hold_of(project: Project) -> CreditHold:
    assert project.hold_id is not None
    return CreditHold.objects.get(pk=project.hold_id)


def test_of_twenty_workers_exactly_one_claims():
    project = make_project(status="QUEUED")
    results = run_together(20, lambda _: lifecycle.claim(Project, project.pk, fence=0))
    assert Counter(type(result) for result in results) == {Project: 1, type(None): 19}
    project.refresh_from_db()
    assert (project.status, project.fence, project.attempts) == ("ANALYZING", 1, 1)
    assert CreditHold.objects.get().fence == 1


def test_of_twenty_successes_exactly_one_is_charged():
    project = make_project(make_organization(credits_=10), status="ANALYZING")
    results = run_together(20, lambda _: lifecycle.succeed(project, status="READY", actor="worker"))
    assert Counter(results) == {True: 1, False: 19}
    assert CreditTransaction.objects.filter(type=TransactionType.SPEND).count() == 1
    assert funds(project.org) == Funds(available=10, held=0)


def test_of_cancel_and_success_at_once_exactly_one_happens():
    org = make_organization(credits_=100)
    charged = 0
    for _ in range(ROUNDS):
        project = make_project(org, status="ANALYZING")
        done, cancelled = both(
            partial(lifecycle.succeed, project, status="READY", actor="worker"),
            partial(lifecycle.cancel, project, actor="client"),
        )
        project.refresh_from_db()
        hold = hold_of(project)
        if done is True:
            assert isinstance(cancelled, Conflict)
            assert (project.status, hold.status) == ("READY", "CAPTURED")
            charged += 1
        else:
            assert done is False
            assert isinstance(cancelled, Project)
            assert cancelled.hold is not None
            assert (cancelled.status, cancelled.hold.status) == ("CANCELLED", "RELEASED")
            assert (project.status, hold.status) == ("CANCELLED", "RELEASED")
    assert funds(org) == Funds(available=100 + ROUNDS - charged, held=0)


def test_of_cancel_and_claim_at_once_the_cancel_wins_either_way():
    org = make_organization(credits_=100)
    for _ in range(ROUNDS):
        project = make_project(org, status="QUEUED")
        claimed, cancelled = both(
            partial(lifecycle.claim, Project, project.pk, fence=0),
            partial(lifecycle.cancel, project, actor="client"),
        )
        assert isinstance(cancelled, Project)
        project.refresh_from_db()
        assert project.status == "CANCELLED"
        assert project.fence == (1 if claimed is None else 2)
        if claimed is not None:
            assert isinstance(claimed, Project)
            assert not lifecycle.beat(claimed, stage="decoding", progress=0.1)
    assert funds(org) == Funds(available=100 + ROUNDS, held=0)


def test_of_sweep_and_success_at_once_exactly_one_happens():
    org = make_organization(credits_=100)
    charged = 0
    for _ in range(ROUNDS):
        project = make_project(org, status="ANALYZING")
        lapse_lease(project)
        done, swept = both(
            partial(lifecycle.succeed, project, status="READY", actor="worker"),
            partial(sweeping.sweep, Project),
        )
        project.refresh_from_db()
        if done is True:
            assert swept == (0, 0)
            assert project.status == "READY"
            charged += 1
        else:
            assert (done, swept) == (False, (1, 0))
            assert (project.status, jobs_of(project)) == ("QUEUED", [0, 2])
            lifecycle.cancel(project, actor="test")
    assert funds(org) == Funds(available=100 + ROUNDS - charged, held=0)


def test_two_sweepers_at_once_requeue_each_row_once():
    projects = [make_project(status="ANALYZING") for _ in range(5)]
    for project in projects:
        lapse_lease(project)
    sweep = partial(sweeping.sweep, Project)
    requeued = [result[0] for result in both(sweep, sweep) if isinstance(result, tuple)]
    assert (len(requeued), sum(requeued)) == (2, 5)
    assert [jobs_of(project) for project in projects] == [[0, 2]] * 5


def test_two_retries_at_once_reserve_once():
    for _ in range(ROUNDS // 2):
        org = make_organization(credits_=10)
        project = make_project(org, status="FAILED")
        before = funds(org)
        retry = partial(job_services.retry_job, job=project, actor="client")
        results = both(retry, retry)
        assert Counter(type(result) for result in results) == {Project: 1, Conflict: 1}
        assert jobs_of(project) == [0, 2]
        assert funds(org) == Funds(available=before.available - 1, held=before.held + 1)


def test_cancels_at_once_release_once_and_all_say_so():
    project = make_project(make_organization(credits_=10), status="ANALYZING")
    results = run_together(5, lambda _: lifecycle.cancel(project, actor="client"))
    for result in results:
        assert isinstance(result, Project), result
        assert result.hold is not None
        assert (result.status, result.fence, result.hold.status) == ("CANCELLED", 2, "RELEASED")
    assert funds(project.org) == Funds(available=11, held=0)


def test_deletes_at_once_delete_once():
    project = make_project(make_organization(credits_=10), status="QUEUED")
    results = run_together(3, lambda _: services.delete_project(project=project, actor="client"))
    assert Counter(type(result).__name__ for result in results) == {"NoneType": 1, "NotFound": 2}
    assert not Project.objects.exists()
    assert funds(project.org) == Funds(available=11, held=0)
