"""Retries that cannot succeed: they are not offered, the page says why, and the service refuses them."""

from __future__ import annotations

from typing import Any

import pytest

from clipforge.devtools.testing.factories import (
    TESTER,
    make_export,
    make_organization,
    make_project,
)
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.devtools.testing.state import nothing_changes
from clipforge.jobs.rules import Action
from clipforge.staff import job_actions
from clipforge.staff.customers.advice import after_failure
from clipforge.staff.work import services as work_services
from exports.models import Export
from projects.failures import LASTING
from projects.models import Project

pytestmark = pytest.mark.django_db


def failed(made: Any, code: str) -> Any:
    type(made)._default_manager.filter(pk=made.pk).update(error_code=code)
    made.refresh_from_db()
    return made


def key(job: Any) -> str:
    return f"{job.REFERENCE_TYPE}:{job.pk}"


@pytest.mark.parametrize("code", sorted(LASTING))
@pytest.mark.parametrize("kind", ["project", "export"])
def test_a_failure_for_what_is_in_the_file_or_the_order_is_not_tried_again(kind, code):
    project = make_project(make_organization(), status="FAILED" if kind == "project" else "READY")
    job = project if kind == "project" else make_export(project, status="FAILED")
    job = failed(job, code)
    refusal = job_actions.why_not(Action.RETRY, job)
    assert refusal == job_actions.WOULD_FAIL_AGAIN
    assert after_failure(code).retry == "No"


@pytest.mark.parametrize("code", ["timed_out", "worker_lost", "too_long", "out_of_memory"])
def test_a_failure_of_ours_or_of_a_limit_may_be_tried_again(code):
    job = failed(make_project(make_organization(), status="FAILED"), code)
    assert job_actions.why_not(Action.RETRY, job) is None
    assert after_failure(code).retry != "No"


def test_a_file_that_was_never_fetched_may_be_another_one_the_next_time():
    job = failed(make_project(make_organization(), status="FAILED"), "empty_file")
    assert job_actions.why_not(Action.RETRY, job) == job_actions.WOULD_FAIL_AGAIN
    Project.objects.filter(pk=job.pk).update(source_key="")
    job.refresh_from_db()
    assert job_actions.why_not(Action.RETRY, job) != job_actions.WOULD_FAIL_AGAIN


def test_what_was_cancelled_may_be_tried_again_whatever_it_failed_of_before():
    job = failed(make_export(make_project(make_organization()), status="CANCELLED"), "bad_range")
    assert job_actions.why_not(Action.RETRY, job) is None


def test_rescue_offers_no_retry_says_why_and_the_preview_says_the_same():
    support = signed_in(make_staff("support"))
    job = failed(make_export(make_project(make_organization()), status="FAILED"), "bad_range")
    page = support.get("/admin/rescue/").content.decode()
    assert f'value="retry {key(job)}"' not in page
    assert "so it would fail again" in page
    plan = work_services.plan(Action.RETRY, [key(job)])
    assert plan.possible == []
    assert plan.items[0].refusal == job_actions.WOULD_FAIL_AGAIN.message


def test_the_service_refuses_by_the_same_rule_what_was_possible_when_it_was_planned():
    user = make_staff("support")
    job = make_export(make_project(make_organization(credits_=5)), status="FAILED")
    plan = work_services.plan(Action.RETRY, [key(job)])
    assert [item.key for item in plan.possible] == [key(job)]
    token, sealed = work_services.unseal(work_services.seal(plan, user=user), user=user)
    failed(job, "bad_range")
    with nothing_changes():
        run = work_services.carry_out(
            token, sealed, reason="Tried once more", actor=TESTER.__class__.of_user(user)
        )
    assert run.results == [
        {
            "label": run.results[0]["label"],
            "key": key(job),
            "done": False,
            "why": job_actions.WOULD_FAIL_AGAIN.message,
        }
    ]
    assert Export.objects.get(pk=job.pk).status == "FAILED"
