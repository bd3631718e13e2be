"""A price that is known only once the job runs takes the place of the one that was reserved."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.state import Funds, funds, nothing_changes
from clipforge.jobs import lifecycle
from clipforge.jobs.failures import HoldLost
from credits import services as credit_services
from credits.errors import InsufficientCredits
from credits.invariants import broken_invariants
from credits.models import CreditHold
from credits.pricing import Charge
from projects.models import Project

pytestmark = pytest.mark.django_db

EARLIER = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


@pytest.fixture
def project() -> Project:
    """It runs, with 1 of 11 credits reserved."""
    project = make_project(make_organization(credits_=10), status="ANALYZING")
    Project.objects.filter(pk=project.pk).update(updated_at=EARLIER)
    project.refresh_from_db()
    return project


def hold_of(project: Project) -> CreditHold:
    assert project.hold_id is not None
    return CreditHold.objects.get(pk=project.hold_id)


def reserve_anew(project: Project, amount: int) -> bool:
    return lifecycle.reserve_anew(project, charge=Charge(amount, 1, "test", {}))


def test_another_price_is_reserved_for_whoever_ordered_it_and_the_first_is_given_back(
    project: Project,
):
    first = hold_of(project)
    assert reserve_anew(project, 4)
    first.refresh_from_db()
    assert (first.status, first.resolved_by) == ("RELEASED", lifecycle.ACTOR)
    stored = Project.objects.get(pk=project.pk)
    assert project.hold_id == stored.hold_id != first.pk
    hold = hold_of(stored)
    assert (hold.amount, hold.status, hold.fence) == (4, "HELD", 1)
    assert (hold.actor, hold.reason) == (first.actor, f"Analysis of {project.title}")
    assert hold.actor != lifecycle.ACTOR
    assert funds(project.org) == Funds(available=7, held=4)
    assert stored.updated_at > EARLIER
    assert lifecycle.succeed(project, status="READY", actor="worker")
    assert funds(project.org) == Funds(available=7, held=0)
    assert broken_invariants(project.org) == []


def test_the_same_price_stays_reserved_as_it_is(project: Project):
    before = project.hold_id
    assert reserve_anew(project, 1)
    assert Project.objects.get(pk=project.pk).hold_id == before
    assert list(CreditHold.objects.values_list("status", "amount")) == [("HELD", 1)]


def test_a_price_that_cannot_be_paid_changes_nothing(project: Project):
    with nothing_changes(), pytest.raises(InsufficientCredits):
        reserve_anew(project, 12)
    assert CreditHold.objects.get().pk == project.hold_id


@pytest.mark.parametrize("change", [{"fence": 2}, {"status": "CANCELLED"}, {"hold": None}])
def test_for_a_job_that_is_no_longer_ours_nothing_is_reserved(
    project: Project, change: dict[str, Any]
):
    if "hold" in change:
        project.hold = None
    else:
        Project.objects.filter(pk=project.pk).update(**change)
    with nothing_changes():
        assert not reserve_anew(project, 4)


@pytest.mark.parametrize("how", ["settled", "of another fence"])
def test_where_the_hold_is_gone_nothing_is_reserved(project: Project, how: str):
    assert project.hold_id is not None
    if how == "settled":
        credit_services.release(hold_id=project.hold_id, actor="staff")
    else:
        CreditHold.objects.filter(pk=project.hold_id).update(fence=9)
    with nothing_changes(), pytest.raises(HoldLost):
        reserve_anew(project, 4)
