"""The deletion of a project with exports, also while these are rendered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from procrastinate.contrib.django import app
from rest_framework.test import APIClient

from clipforge.common.errors import NotFound
from clipforge.devtools.testing.factories import (
    make_export,
    make_moment,
    make_organization,
    make_project,
)
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.races import run_together, until_a_lock_is_waited_for
from clipforge.devtools.testing.state import Funds, funds, lapse_lease, stored_files
from clipforge.jobs import lifecycle, sweeping
from clipforge.jobs import services as job_services
from clipforge.orgs.models import Organization
from credits.models import CreditHold
from exports import services
from exports.models import Export
from projects import selectors
from projects.models import Project
from projects.services import delete_project

pytestmark = pytest.mark.django_db

ROUNDS = 8


def both(first: Callable[[], object], second: Callable[[], object]) -> list[object]:
    return run_together(2, lambda number: (first, second)[number]())


def test_exports_go_with_their_project_their_credits_and_their_files(
    api: APIClient,
    organization: Organization,
    still: Path,
    django_capture_on_commit_callbacks: Any,
):
    project = make_project(organization, source=still)
    moment = make_moment(project)
    exports = [
        make_export(project, status=status, moment=moment)
        for status in ("QUEUED", "RENDERING", "READY", "FAILED", "CANCELLED", "EXPIRED")
    ]
    other = make_export(make_project(organization), status="READY")
    assert funds(organization) == Funds(available=2, held=2)
    assert len(stored_files()) == 3

    with django_capture_on_commit_callbacks(execute=True):
        assert api.delete(f"/api/v1/projects/{project.pk}").status_code == 204

    assert list(Export.objects.all()) == [other]
    assert stored_files() == [Path(other.file_key)]
    assert funds(organization) == Funds(available=4, held=0)
    holds = CreditHold.objects.filter(reference_id__in=[str(e.pk) for e in exports[:2]])
    assert {hold.status for hold in holds} == {"RELEASED"}
    for export in exports[:2]:  # their jobs find nothing
        app.tasks["exports.render"](export_id=str(export.pk), fence=export.fence)


def test_finished_exports_cost_a_deletion_no_statements_of_their_own(
    api: APIClient, organization: Organization
):
    counts = []
    for number in (1, 6):
        project = make_project(organization)
        for _ in range(number):
            make_export(project, status="READY")
        with statements(control=True) as said:
            api.delete(f"/api/v1/projects/{project.pk}")
        counts.append(len(said))
    assert counts[0] == counts[1]


@pytest.mark.django_db(transaction=True)
def test_an_export_started_while_its_project_is_deleted_leaves_no_hold():
    org = make_organization(credits_=100)

    def start(project: Project) -> Export:
        with transaction.atomic():
            kept = selectors.get_project(org, project.pk, lock=True)
            return services.start_export(
                project=kept, start=0, end=10, aspect="1:1", resolution=480, actor="client"
            )

    for _ in range(ROUNDS):
        project = make_project(org)
        started, deleted = both(
            partial(start, project), partial(delete_project, project=project, actor="client")
        )
        assert deleted is None
        assert isinstance(started, Export | NotFound), started
        assert not Project.objects.exists()
        assert not Export.objects.exists()
        assert funds(org) == Funds(available=100, held=0)


@pytest.mark.django_db(transaction=True)
def test_an_export_that_finishes_while_its_project_is_deleted_causes_no_deadlock():
    """The worker has the row and wants the account; the deleter must not have it and want the row."""
    org = make_organization(credits_=10)
    project = make_project(org)
    make_export(project, status="RENDERING")
    finishing = make_export(project, status="RENDERING")
    has_the_row = threading.Event()

    def finish() -> bool:
        with transaction.atomic():
            Export.objects.select_for_update().get(pk=finishing.pk)
            has_the_row.set()
            until_a_lock_is_waited_for()
            return lifecycle.succeed(finishing, status="READY", actor="worker")

    def delete() -> None:
        assert has_the_row.wait(30)
        delete_project(project=project, actor="client")

    assert both(finish, delete) == [True, None]
    assert not Export.objects.exists()
    # Two were granted for the exports: one is spent, the other came back.
    assert funds(org) == Funds(available=11, held=0)


@pytest.mark.django_db(transaction=True)
def test_an_export_retried_while_its_project_is_deleted_leaves_no_hold():
    org = make_organization(credits_=100)
    for _ in range(ROUNDS):
        project = make_project(org)
        export = make_export(project, status="FAILED")
        retried, deleted = both(
            partial(job_services.retry_job, job=export, actor="client"),
            partial(delete_project, project=project, actor="client"),
        )
        assert deleted is None
        assert isinstance(retried, Export | NotFound), retried
        assert not Export.objects.exists()
        assert funds(org).held == 0


@pytest.mark.django_db(transaction=True)
def test_a_sweep_while_a_project_is_deleted_leaves_no_hold():
    org = make_organization(credits_=100)
    for _ in range(ROUNDS):
        project = make_project(org)
        for _ in range(2):
            lapse_lease(make_export(project, status="RENDERING"))
        swept, deleted = both(
            partial(sweeping.sweep, Export),
            partial(delete_project, project=project, actor="client"),
        )
        assert deleted is None
        assert isinstance(swept, tuple), swept
        assert not Export.objects.exists()
        assert funds(org).held == 0
