"""POST /projects/{id}/retry"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import TESTER, make_organization, make_project
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import Funds, funds, jobs_of, nothing_changes
from clipforge.orgs.models import Organization

pytestmark = pytest.mark.django_db


def url(project_id: object) -> str:
    return f"/api/v1/projects/{project_id}/retry"


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_work_without_a_result_is_queued_again(
    api: APIClient, organization: Organization, status: str
):
    project = make_project(organization, status=status)
    response = api.post(url(project.pk))
    body = response.json()
    assert (response.status_code, body["id"], body["status"]) == (200, str(project.pk), "QUEUED")
    assert body["credits"] == {"reserved": 1, "charged": 0}
    assert (body["error"], body["attempts"], body["queue_position"]) == (None, 0, 1)
    assert (body["started_at"], body["finished_at"]) == (None, None)
    assert funds(organization) == Funds(available=0, held=1)
    assert body == api.get(f"/api/v1/projects/{project.pk}").json()


@pytest.mark.parametrize("status", ["UPLOADED", "QUEUED", "ANALYZING", "READY", "EMPTY"])
def test_any_other_state_is_refused(api: APIClient, organization: Organization, status: str):
    project = make_project(organization, status=status)
    with nothing_changes():
        body = assert_problem(api.post(url(project.pk)), 409, "wrong_state")
    assert status in body["detail"]


def test_without_credits_nothing_changes(api: APIClient, organization: Organization):
    project = make_project(organization, status="FAILED", duration=180)
    make_project(organization, status="QUEUED")
    from credits import services as credit_services

    credit_services.adjust(
        org=organization, amount=-2, reason="spent", actor=TESTER, audit=False, idempotency_key="x"
    )
    with nothing_changes():
        body = assert_problem(api.post(url(project.pk)), 402, "insufficient_credits")
    assert (body["needed"], body["available"]) == (3, 1)


def test_the_same_key_replays_the_first_answer(api: APIClient, organization: Organization):
    project = make_project(organization, status="FAILED")
    first = api.post(url(project.pk), HTTP_IDEMPOTENCY_KEY="k")
    with nothing_changes():
        second = api.post(url(project.pk), HTTP_IDEMPOTENCY_KEY="k")
    assert (second.status_code, second.content) == (200, first.content)
    assert second["Idempotent-Replayed"] == "true"
    assert jobs_of(project) == [0, 2]


def test_the_same_key_for_something_else_is_refused(api: APIClient, organization: Organization):
    project, another = (make_project(organization, status="FAILED") for _ in range(2))
    assert api.post(url(project.pk), HTTP_IDEMPOTENCY_KEY="k").status_code == 200
    with nothing_changes():
        response = api.post(url(another.pk), HTTP_IDEMPOTENCY_KEY="k")
        assert_problem(response, 422, "idempotency_key_reused")
        response = api.post(url(project.pk), {}, HTTP_IDEMPOTENCY_KEY="k")
        assert_problem(response, 422, "idempotency_key_reused")


def test_another_organization_may_use_the_same_key(
    api: APIClient, organization: Organization, client_of: Callable[..., APIClient]
):
    mine = make_project(organization, status="FAILED")
    theirs = make_project(status="FAILED")
    assert api.post(url(mine.pk), HTTP_IDEMPOTENCY_KEY="k").status_code == 200
    other = client_of(theirs.org)
    assert other.post(url(theirs.pk), HTTP_IDEMPOTENCY_KEY="k").json()["id"] == str(theirs.pk)


def test_a_retry_is_eight_statements(api: APIClient, organization: Organization):
    project = make_project(organization, status="FAILED")
    with statements() as said:
        assert api.post(url(project.pk)).status_code == 200
    assert said == [
        "SELECT projects_project",  # whose it is
        "SELECT projects_project",  # locked
        "SELECT credits_reserve",  # hold, account and lots
        "UPDATE projects_project",
        "SELECT projects_project",  # its version, for what is cached of it
        "SELECT jobs_enter",  # its turn
        "SELECT -",  # procrastinate_defer_jobs_v1()
    ]


@pytest.mark.django_db(transaction=True)
def test_two_retries_at_once_reserve_once(client_of: Callable[..., APIClient]):
    org = make_organization(credits_=10)
    project = make_project(org, status="FAILED")
    clients = [client_of(org) for _ in range(2)]
    responses: list[Any] = run_together(2, lambda number: clients[number].post(url(project.pk)))
    codes = Counter(getattr(response, "status_code", response) for response in responses)
    assert codes == {200: 1, 409: 1}
    assert funds(org) == Funds(available=10, held=1)
    assert jobs_of(project) == [0, 2]


def test_it_needs_a_key(anonymous: APIClient):
    project = make_project(status="FAILED")
    with nothing_changes():
        assert_problem(anonymous.post(url(project.pk)), 401, "not_authenticated")


def test_another_organizations_project_is_not_told_from_none(api: APIClient):
    theirs = make_project(status="FAILED")
    with nothing_changes():
        assert_not_told_apart(lambda project_id: api.post(url(project_id)), theirs.pk)
