"""The rules of what may be done about a job: one, which the service enforces and the preview shows."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest
from django.utils import timezone

from clipforge.common.errors import Conflict
from clipforge.devtools.testing.clocks import MICROSECOND, clocks_at
from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.state import lapse_lease, nothing_changes
from clipforge.jobs import rules
from clipforge.jobs import services as job_services
from clipforge.jobs.rules import Action, why_not
from clipforge.orgs.models import Organization
from clipforge.staff.work import services as work_services
from credits import services as credit_services
from projects.models import Project

pytestmark = pytest.mark.django_db

STATUSES = ["UPLOADED", "QUEUED", "ANALYZING", "READY", "EMPTY", "FAILED", "CANCELLED"]
SERVICES: dict[Action, Callable[[Project], object]] = {
    Action.RETRY: lambda job: job_services.retry_job(job=job, actor="test"),
    Action.REQUEUE: lambda job: job_services.requeue_job(job=job),
    Action.CANCEL: lambda job: job_services.cancel_job(job=job, actor="test"),
    Action.RELEASE: lambda job: job_services.release_hold_of(job=job, actor="test"),
}


def job(name: str) -> Project:
    """A job in a status, or in a worse state than a status says."""
    status, _, ill = name.partition(" ")
    org = make_organization(credits_=10)
    made = make_project(org, status=status)
    if ill == "suspended":
        Organization.objects.filter(pk=org.pk).update(is_active=False)
    if ill == "lapsed":
        lapse_lease(made)
    if ill == "unpaid":
        assert made.hold_id is not None
        assert credit_services.release(hold_id=made.hold_id, actor="test")
    if ill == "left":
        Project.objects.filter(pk=made.pk).update(status="FAILED", finished_at=timezone.now())
    return Project.objects.select_related("org", "hold").get(pk=made.pk)


ILL = ["FAILED suspended", "ANALYZING lapsed", "QUEUED unpaid", "QUEUED left"]
POSSIBLE = {
    Action.RETRY: {"FAILED", "CANCELLED", "QUEUED left"},
    Action.REQUEUE: {"QUEUED", "ANALYZING lapsed"},
    Action.CANCEL: {"QUEUED", "ANALYZING", "ANALYZING lapsed", "QUEUED unpaid"},
    Action.RELEASE: {"QUEUED left"},
}


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("name", [*STATUSES, *ILL])
def test_rule_service_and_preview_say_the_same(action: Action, name: str):
    found = job(name)
    refusal = why_not(action, found)
    assert (refusal is None) == (name in POSSIBLE[action])
    (item,) = work_services.plan(action, [f"project:{found.pk}"]).items
    assert item.refusal == (refusal.message if refusal else "")
    if refusal is None:
        SERVICES[action](found)
    elif (action, name) == (Action.CANCEL, "CANCELLED"):
        with nothing_changes():  # repeated by a client that saw no answer: it is as was asked
            SERVICES[action](found)
    else:
        with nothing_changes(), pytest.raises(Conflict) as error:
            SERVICES[action](found)
        assert (error.value.message, error.value.error_code) == tuple(refusal)


@pytest.mark.parametrize(
    ("after", "refused"), [(-MICROSECOND, True), (0 * MICROSECOND, True), (MICROSECOND, False)]
)
def test_a_lease_is_over_to_the_microsecond(after: datetime.timedelta, refused: bool):
    found = job("ANALYZING")
    assert found.lease_expires_at is not None
    with clocks_at(found.lease_expires_at + after):
        refusal = why_not(Action.REQUEUE, found)
    assert (refusal == rules.Refusal("Its worker gives signs of life.")) is refused
