"""POST /exports/{id}/retry"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem
from clipforge.devtools.testing.factories import (
    TESTER,
    make_export,
    make_organization,
    make_project,
)
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import Funds, funds, jobs_of, nothing_changes
from clipforge.orgs.models import Organization
from credits import services as credit_services
from projects.models import Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(organization: Organization) -> Project:
    return make_project(organization)


def url(export_id: object) -> str:
    return f"/api/v1/exports/{export_id}/retry"


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_work_without_a_result_is_queued_again(
    api: APIClient, organization: Organization, project: Project, status: str
):
    export = make_export(project, status=status)
    response = api.post(url(export.pk))
    body = response.json()
    assert (response.status_code, body["id"], body["status"]) == (200, str(export.pk), "QUEUED")
    assert body["credits"] == {"reserved": 1, "charged": 0}
    assert (body["error"], body["attempts"], body["queue_position"]) == (None, 0, 1)
    assert funds(organization) == Funds(available=0, held=1)
    assert body == api.get(f"/api/v1/exports/{export.pk}").json()


@pytest.mark.parametrize("status", ["QUEUED", "RENDERING", "READY", "EXPIRED"])
def test_any_other_state_is_refused(api: APIClient, project: Project, status: str):
    export = make_export(project, status=status)
    with nothing_changes():
        body = assert_problem(api.post(url(export.pk)), 409, "wrong_state")
    assert status in body["detail"]


def test_without_credits_nothing_changes(
    api: APIClient, organization: Organization, project: Project
):
    export = make_export(project, status="FAILED")
    credit_services.adjust(
        org=organization, amount=-1, reason="spent", actor=TESTER, audit=False, idempotency_key="x"
    )
    with nothing_changes():
        body = assert_problem(api.post(url(export.pk)), 402, "insufficient_credits")
    assert (body["needed"], body["available"]) == (1, 0)


def test_the_same_key_replays_the_first_answer(api: APIClient, project: Project):
    export = make_export(project, status="FAILED")
    first = api.post(url(export.pk), HTTP_IDEMPOTENCY_KEY="k")
    with nothing_changes():
        second = api.post(url(export.pk), HTTP_IDEMPOTENCY_KEY="k")
    assert (second.status_code, second.content) == (200, first.content)
    assert second["Idempotent-Replayed"] == "true"
    assert jobs_of(export) == [0, 2]


def test_the_same_key_for_something_else_is_refused(api: APIClient, project: Project):
    export, another = (make_export(project, status="FAILED") for _ in range(2))
    assert api.post(url(export.pk), HTTP_IDEMPOTENCY_KEY="k").status_code == 200
    with nothing_changes():
        response = api.post(url(another.pk), HTTP_IDEMPOTENCY_KEY="k")
        assert_problem(response, 422, "idempotency_key_reused")


def test_another_organization_may_use_the_same_key(
    api: APIClient, project: Project, client_of: Callable[..., APIClient]
):
    mine, theirs = make_export(project, status="FAILED"), make_export(status="FAILED")
    assert api.post(url(mine.pk), HTTP_IDEMPOTENCY_KEY="k").status_code == 200
    other = client_of(theirs.org)
    assert other.post(url(theirs.pk), HTTP_IDEMPOTENCY_KEY="k").json()["id"] == str(theirs.pk)


def test_a_retry_is_seven_statements(api: APIClient, project: Project):
    export = make_export(project, status="FAILED")
    with statements() as said:
        assert api.post(url(export.pk)).status_code == 200
    assert said == [
        "SELECT exports_export",  # whose it is, with the title of its project for the ledger
        "SELECT exports_export",  # locked
        "SELECT credits_reserve",  # hold, account and lots
        "UPDATE exports_export",
        "SELECT exports_export",  # its version, for what is cached of it
        "SELECT jobs_enter",  # its turn
        "SELECT -",  # procrastinate_defer_jobs_v1()
    ]


@pytest.mark.django_db(transaction=True)
def test_two_retries_at_once_reserve_once(client_of: Callable[..., APIClient]):
    org = make_organization(credits_=10)
    export = make_export(make_project(org), status="FAILED")
    clients = [client_of(org) for _ in range(2)]
    responses: list[Any] = run_together(2, lambda number: clients[number].post(url(export.pk)))
    codes = Counter(getattr(response, "status_code", response) for response in responses)
    assert codes == {200: 1, 409: 1}
    assert funds(org) == Funds(available=10, held=1)


def test_it_needs_a_key(anonymous: APIClient):
    export = make_export(status="FAILED")
    with nothing_changes():
        assert_problem(anonymous.post(url(export.pk)), 401, "not_authenticated")


def test_another_organizations_export_is_not_told_from_none(api: APIClient):
    theirs = make_export(status="FAILED")
    with nothing_changes():
        assert_not_told_apart(lambda export_id: api.post(url(export_id)), theirs.pk)
