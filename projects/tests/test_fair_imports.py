"""Imports are fair between organizations: neither theirs nor the analyses after them go before all others."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.db import connection

from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.state import lapse_lease
from clipforge.jobs import lifecycle, sweeping
from clipforge.jobs import services as job_services
from clipforge.jobs.models import JobPlace, JobShare
from clipforge.jobs.worker import PREPARATIONS_AT_ONCE
from clipforge.orgs.models import Organization
from projects import services
from projects.jobs import ANALYSIS
from projects.models import Project

pytestmark = pytest.mark.django_db

IMPORTS, ANALYSES = "imports", "analysis"


def order(org: Organization) -> Project:
    """A source at an address: its worker has found out that it is to be fetched."""
    address = f"https://media.example/{uuid.uuid4()}.mp4"
    return services.import_project(org=org, source_url=address, title="", actor="test")


def take(queue: str) -> Project | None:
    """The next of the queue, claimed as a worker claims it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, args FROM procrastinate_fetch_job_v2(ARRAY[%s]::varchar[], NULL)", [queue]
        )
        entry, arguments = cursor.fetchone()
        if entry is None:
            return None
        cursor.execute("SELECT procrastinate_finish_job_v1(%s, 'succeeded', true)", [entry])
    known: dict[str, Any] = json.loads(arguments)
    return lifecycle.claim(Project, uuid.UUID(known["project_id"]), fence=known["fence"])


def hand_over_all() -> None:
    """The worker of analyses takes what there is, until it finds one to analyse."""
    assert ANALYSIS.preparation is not None
    while (project := take(ANALYSES)) is not None:
        assert lifecycle.hand_over(project, task=ANALYSIS.preparation.task)


def is_imported(project: Project) -> None:
    Project.objects.filter(pk=project.pk).update(source_key="a/source")
    assert lifecycle.hand_over(project, task=ANALYSIS.task)


def taken(queue: str) -> Project:
    project = take(queue)
    assert project is not None
    return project


def crowd_of_imports() -> list[Project]:
    """Sixteen of one organization at work; as many of them as a worker imports at once have begun."""
    big = make_organization(tier="ENTERPRISE", credits_=100)
    for _ in range(16):
        order(big)
    hand_over_all()
    return [taken(IMPORTS) for _ in range(PREPARATIONS_AT_ONCE)]


def test_the_import_of_another_waits_for_one_that_runs_at_the_most():
    crowd_of_imports()
    single = order(make_organization(tier="FREE", credits_=5))
    hand_over_all()
    assert taken(IMPORTS).pk == single.pk


def test_two_organizations_import_in_turn_by_what_their_tiers_run_at_once():
    orgs = [make_organization(tier=tier, credits_=100) for tier in ("STARTER", "PRO")]
    for org in orgs:
        for _ in range(12):
            order(org)
    imported = []
    for _ in range(9):
        hand_over_all()
        project = taken(IMPORTS)
        imported.append(project.org_id)
        job_services.cancel_job(job=project, actor="test")
    assert [imported.count(org.pk) for org in orgs] == [3, 6]


def test_the_analysis_of_another_waits_for_one_of_those_that_were_imported_at_the_most():
    for project in crowd_of_imports():
        is_imported(project)
    while (fetched := take(IMPORTS)) is not None:
        is_imported(fetched)
    busy = taken(ANALYSES)
    single = make_project(make_organization(tier="FREE", credits_=5), status="QUEUED")
    assert taken(ANALYSES).pk == single.pk
    rest = [taken(ANALYSES) for _ in range(15)]
    assert {each.org_id for each in rest} == {busy.org_id}
    assert take(ANALYSES) is None


def test_whoever_imports_is_analysed_as_often_as_whoever_uploads():
    one, other = (make_organization(tier="STARTER", credits_=100) for _ in range(2))
    for _ in range(30):
        order(one)
        make_project(other, status="QUEUED")
    analysed = []
    for _ in range(30):
        while not (project := taken(ANALYSES)).source_key:
            assert ANALYSIS.preparation is not None
            lifecycle.hand_over(project, task=ANALYSIS.preparation.task)
            is_imported(taken(IMPORTS))
        analysed.append(project.org_id)
        lifecycle.succeed(project, status="READY", actor="test")
    assert abs(analysed.count(one.pk) - 15) <= 1


@pytest.mark.parametrize("lost", ["stopped", "lapsed"])
def test_an_import_whose_worker_was_lost_keeps_its_turn_and_costs_no_time_twice(lost: str):
    first, *_ = crowd_of_imports()
    share = JobShare.objects.get()
    turn = JobPlace.objects.get(pk=first.pk).prepares_at
    if lost == "stopped":
        assert lifecycle.hand_back(first)
    else:
        lapse_lease(first)
        assert sweeping.sweep(Project) == (1, 0)
    hand_over_all()
    assert JobPlace.objects.get(pk=first.pk).prepares_at == turn
    again = JobShare.objects.get()
    assert (again.finish, again.prepared) == (share.finish, share.prepared)
    assert taken(IMPORTS).pk == first.pk  # before those that have not begun


def test_a_job_without_a_place_is_handed_over_before_all_others():
    crowd_of_imports()
    old = order(make_organization(tier="FREE", credits_=5))
    JobPlace.objects.filter(pk=old.pk).delete()
    hand_over_all()
    assert taken(IMPORTS).pk == old.pk


def test_an_organization_pays_for_its_imports_in_virtual_time_once():
    org = make_organization(tier="PRO", credits_=10)
    project = order(org)
    step = JobShare.objects.get().step
    assert JobShare.objects.get().finish == step == 60
    hand_over_all()
    assert (JobShare.objects.get().finish, JobShare.objects.get().prepared) == (0, step)
    fetched = taken(IMPORTS)
    assert fetched.pk == project.pk
    is_imported(fetched)
    assert (JobShare.objects.get().finish, JobPlace.objects.get().tag) == (step, 0)
