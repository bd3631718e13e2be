"""Imports are fair between organizations: neither theirs nor the analyses after them go before all others."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import lapse_lease
from clipforge.jobs import lifecycle, places, sweeping
from clipforge.jobs import services as job_services
from clipforge.jobs.models import JobPlace, JobShare
from clipforge.jobs.places import PREPARATIONS_AT_ONCE
from clipforge.jobs.queue import WORKERS_OF_A_PROCESS
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


def workers_that_live(count: int) -> None:
    """As so many processes say of themselves, with four workers of the queue each."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM procrastinate_workers;"
            " INSERT INTO procrastinate_workers (last_heartbeat) SELECT now() FROM generate_series(1, %s)",
            [count * WORKERS_OF_A_PROCESS],
        )


# An organization has half of what a worker imports at once.
OF_ONE = PREPARATIONS_AT_ONCE // 2


def crowd_of_imports() -> list[Project]:
    """Sixteen of one organization at work; as many of them have begun as it may import at once."""
    workers_that_live(1)
    big = make_organization(tier="ENTERPRISE", credits_=100)
    for _ in range(16):
        order(big)
    hand_over_all()
    begun = [taken(IMPORTS) for _ in range(OF_ONE)]
    assert take(IMPORTS) is None
    return begun


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


# --- half of what is imported at once -------------------------------------------------------


def begun_of(org: Organization) -> list[Project]:
    """Begin all that can be begun now, which is this organization's."""
    begun = []
    while (project := take(IMPORTS)) is not None:
        begun.append(project)
    assert {each.org_id for each in begun} <= {org.pk}
    return begun


@pytest.mark.parametrize(("processes", "most"), [(0, 2), (1, 2), (2, 4), (5, 10)])
def test_an_organization_imports_half_of_what_all_workers_import_at_once(processes: int, most: int):
    workers_that_live(processes)
    big = make_organization(tier="ENTERPRISE", credits_=100)
    for _ in range(16):
        order(big)
    hand_over_all()
    assert len(begun_of(big)) == most
    # None that only waits for its turn looks lost.
    waiting = Project.objects.filter(status="QUEUED").filter(places.waiting_of("pk"))
    assert waiting.count() == 16 - most


def test_another_organization_begins_at_once_however_long_the_imports_of_the_first_take():
    crowd_of_imports()
    other = make_organization(tier="FREE", credits_=5)
    single = order(other)
    hand_over_all()
    assert [each.pk for each in begun_of(other)] == [single.pk]


ENDS: dict[str, Callable[[Project], object]] = {
    "imported": is_imported,
    "failed": lambda project: lifecycle.fail(project, error=("x", "X."), actor="test"),
    "cancelled": lambda project: job_services.cancel_job(job=project, actor="test"),
    "deleted": lambda project: services.delete_project(project=project, actor="test"),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_next_import_begins_when_one_has_ended_in_whatever_way(end: str):
    first, second = crowd_of_imports()
    turns = JobPlace.objects.filter(prepares=False).order_by("prepares_at", "job")
    next_, after = turns.values_list("job", flat=True)[:2]
    ENDS[end](first)
    assert taken(IMPORTS).pk == next_
    assert take(IMPORTS) is None
    ENDS[end](second)
    assert taken(IMPORTS).pk == after


def test_an_import_that_waits_for_its_turn_can_be_cancelled_and_takes_nobodys():
    first, _ = crowd_of_imports()
    turns = JobPlace.objects.filter(prepares=False).order_by("prepares_at", "job")
    gone, next_ = turns.values_list("job", flat=True)[:2]
    job_services.cancel_job(job=Project.objects.get(pk=gone), actor="test")
    assert take(IMPORTS) is None
    is_imported(first)
    assert taken(IMPORTS).pk == next_


def test_what_more_workers_could_import_begins_within_a_sweep():
    crowd_of_imports()
    workers_that_live(3)
    assert take(IMPORTS) is None
    sweeping.sweep(Project)
    org = Organization.objects.get()
    assert len(begun_of(org)) == 3 * OF_ONE - OF_ONE


def test_entries_of_an_earlier_release_are_prepared_and_not_counted():
    first, second = crowd_of_imports()
    JobPlace.objects.filter(pk__in=[first.pk, second.pk]).update(prepares=None)
    sweeping.sweep(Project)
    begun = begun_of(Organization.objects.get())
    assert len(begun) == OF_ONE
    for project in (first, second, *begun):
        is_imported(project)
    assert JobPlace.objects.filter(prepares=True).count() == OF_ONE


@pytest.mark.django_db(transaction=True)
def test_imports_that_end_at_once_begin_as_many_others_and_no_more():
    ending = crowd_of_imports()
    run_together(OF_ONE, lambda number: is_imported(ending[number]))
    org = Organization.objects.get()
    assert len(begun_of(org)) == OF_ONE
    assert JobPlace.objects.filter(prepares=True).count() == OF_ONE
