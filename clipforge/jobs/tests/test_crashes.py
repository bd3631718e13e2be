"""A crash after every single statement of the life of a job: row, hold and job change together or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.faults import crash_at
from clipforge.devtools.testing.state import funds, jobs_of, lapse_lease
from clipforge.jobs import lifecycle, sweeping
from clipforge.jobs import services as job_services
from credits.invariants import broken_invariants
from credits.models import CreditHold, CreditTransaction
from projects import services
from projects.models import Project
from projects.pricing import analysis_charge

pytestmark = pytest.mark.django_db(transaction=True)

Act = Callable[[], object]
MANY = 60


def submitting() -> tuple[Project, Act]:
    made = make_project(make_organization(credits_=5), status="UPLOADED")
    Project.objects.all().delete()
    return made, lambda: lifecycle.submit(made, charge=analysis_charge(60), reason="r", actor="a")


def claiming() -> tuple[Project, Act]:
    item = make_project(status="QUEUED")
    return item, lambda: lifecycle.claim(Project, item.pk, fence=item.fence)


def succeeding() -> tuple[Project, Act]:
    item = make_project(status="ANALYZING")
    return item, lambda: lifecycle.succeed(item, status="READY", actor="a")


def ending_empty() -> tuple[Project, Act]:
    item = make_project(status="ANALYZING")
    return item, lambda: lifecycle.succeed(item, status="EMPTY", actor="a", charged=False)


def failing() -> tuple[Project, Act]:
    item = make_project(status="ANALYZING")
    return item, lambda: lifecycle.fail(item, error=("timed_out", "It took long."), actor="a")


def handing_back() -> tuple[Project, Act]:
    item = make_project(status="ANALYZING")
    return item, lambda: lifecycle.hand_back(item)


def cancelling() -> tuple[Project, Act]:
    item = make_project(status="ANALYZING")
    return item, lambda: lifecycle.cancel(item, actor="a")


def retrying() -> tuple[Project, Act]:
    item = make_project(status="FAILED")
    return item, lambda: job_services.retry_job(job=item, actor="a")


def sweeping_up() -> tuple[Project, Act]:
    item = make_project(status="ANALYZING")
    lapse_lease(item)
    return item, lambda: sweeping.sweep(Project)


def giving_up() -> tuple[Project, Act]:
    item = make_project(status="ANALYZING")
    Project.objects.filter(pk=item.pk).update(attempts=3)
    lapse_lease(item)
    return item, lambda: sweeping.sweep(Project)


def deleting() -> tuple[Project, Act]:
    item = make_project(status="ANALYZING")
    deleted = Project.objects.get(
        pk=item.pk
    )  # this one forgets its id, also where it is rolled back
    return item, lambda: services.delete_project(project=deleted, actor="a")


STEPS = [
    *[submitting, claiming, succeeding, ending_empty, failing, handing_back],
    *[cancelling, retrying, sweeping_up, giving_up, deleting],
]


def stand(item: Project) -> dict[str, Any]:
    rows = Project.objects.filter(pk=item.pk)
    holds = CreditHold.objects.for_org(item.org).order_by("pk")
    ledger = CreditTransaction.objects.for_org(item.org).order_by("org_seq")
    return {
        "row": list(rows.values_list("status", "fence", "attempts", "error_code")),
        "its hold": list(rows.values_list("hold__status", "hold__fence")),
        "holds": list(holds.values_list("amount", "captured", "status", "fence")),
        "ledger": list(ledger.values_list("type", "amount")),
        "jobs": jobs_of(item),
        "funds": funds(item.org),
    }


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_anywhere_leaves_all_or_nothing(step):
    done, act = step()
    act()
    after = stand(done)
    for nth in range(1, MANY):
        Project.objects.all().delete()
        item, act = step()
        before = stand(item)
        crashed = crash_at(nth, act)
        assert stand(item) in ([before, after] if crashed else [after]), f"after statement {nth}"
        assert broken_invariants(item.org) == [], f"after statement {nth}"
        if not crashed:
            assert nth > 2, "nothing was interrupted"
            return
    raise AssertionError(f"not at its end after {MANY} statements")
