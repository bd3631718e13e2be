"""Whose turn it is: the real functions, and the real queue that workers take from."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from clipforge.common.models import uuid7
from clipforge.devtools.testing.factories import (
    make_client,
    make_export,
    make_organization,
    make_project,
    make_tier_limits,
)
from clipforge.devtools.testing.faults import environment
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.seeds import vacuum
from clipforge.jobs import lifecycle, places, queue, sweeping
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs import services as job_services
from clipforge.jobs.errors import TooManyAtOnce
from clipforge.jobs.models import JobClock, JobPlace, JobShare
from clipforge.orgs.models import Organization, TierLimits
from credits import services as credit_services
from exports.models import Export
from projects.models import Project

pytestmark = pytest.mark.django_db


# A worker's process: does what is queued, with so many slots, and ends.
WORK = """
import asyncio, sys
import django
django.setup()
from clipforge.jobs import worker

async def work():
    app = worker._worker_app()
    async with app.open_async():
        await app.run_worker_async(queues=["analysis"], concurrency=int(sys.argv[1]), wait=False)

asyncio.run(work())
"""


@dataclass
class Ticket:
    """All that a place knows of a job."""

    org_id: uuid.UUID
    pk: uuid.UUID = field(default_factory=uuid7)
    fence: int = 0
    REFERENCE_TYPE: str = "project"


def enter(org: Organization, count: int = 1) -> list[Any]:
    tickets: list[Any] = [Ticket(org.pk) for _ in range(count)]
    for ticket in tickets:
        places.enter(ticket)
    return tickets


def crowd(org: Organization, count: int) -> None:
    """So many jobs of the organization, in two statements; the first get their entries as ever."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_jobshare (org_id, waiting) VALUES (%(org)s, %(count)s);"
            "INSERT INTO jobs_jobplace (job, kind, org_id, fence)"
            " SELECT gen_random_uuid(), 'project', %(org)s, 0 FROM generate_series(1, %(count)s)",
            {"org": org.pk, "count": count},
        )
    places._leave(org.pk, None)


class Workers:
    """So many workers that take from the queue as procrastinate does, one job each."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.running: list[tuple[int, Ticket]] = []
        self.started: list[uuid.UUID] = []  # whose, in order

    def begin(self) -> None:
        """Each that is free takes a job, as long as there is one."""
        while len(self.running) < self.count and (taken := self._take()):
            self.running.append(taken)

    def end_one(self) -> None:
        """The job that has run longest ends, and whoever did it takes another."""
        entry, ticket = self.running.pop(0)
        with connection.cursor() as cursor:
            cursor.execute("SELECT procrastinate_finish_job_v1(%s, 'succeeded', true)", [entry])
        job: Any = ticket
        places.leave(job)
        self.begin()

    def _take(self) -> tuple[int, Ticket] | None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id, args FROM procrastinate_fetch_job_v2(ARRAY['analysis']::varchar[], NULL)"
            )
            entry, arguments = cursor.fetchone()
            if entry is None:
                return None
            pk = uuid.UUID(json.loads(arguments)["project_id"])
            place = JobPlace.objects.filter(pk=pk).first()
            if place is None:  # its job has ended: `claim` says no
                cursor.execute("SELECT procrastinate_finish_job_v1(%s, 'failed', true)", [entry])
                return self._take()
        ticket: Any = Ticket(place.org_id, pk)
        places.start(ticket)
        self.started.append(ticket.org_id)
        return entry, ticket


# --- fairness ---------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 8, 20])
def test_behind_ten_thousand_of_another_a_job_waits_for_one_that_runs_at_the_most(count: int):
    crowd(big := make_organization(tier="BUSINESS"), 10_000)
    workers = Workers(count)
    workers.begin()
    for _ in range(30):
        workers.end_one()
    assert len(workers.running) == min(count, 8)
    small = make_organization(tier="FREE")
    enter(small)
    workers.begin()
    if count <= 8:  # all are busy: whichever ends first
        assert set(workers.started) == {big.pk}
        workers.end_one()
    assert workers.started[-1] == small.pk


def test_a_share_of_the_workers_is_as_large_as_what_the_tier_runs_at_once():
    orgs = {tier: make_organization(tier=tier) for tier in ("FREE", "PRO", "ENTERPRISE")}
    for org in orgs.values():
        enter(org, 100)
    workers = Workers(1)
    workers.begin()
    for _ in range(104):
        workers.end_one()
    starts = Counter(workers.started)
    assert [starts[org.pk] for org in orgs.values()] == [5, 20, 80]


def test_between_two_starts_of_one_each_other_starts_as_its_tier_has_more_and_one():
    """The bound on waiting: whoever the others are, and however much they queue."""
    small = make_organization(tier="FREE")
    others = [make_organization(tier=tier) for tier in ("BUSINESS", "BUSINESS", "PRO", "FREE")]
    crowd(small, 50)
    for org in others:
        crowd(org, 500)
    workers = Workers(1)
    workers.begin()
    for _ in range(200):
        workers.end_one()
    starts = [number for number, org in enumerate(workers.started) if org == small.pk]
    assert len(starts) >= 8
    for one, next_ in itertools.pairwise(starts):
        between = Counter(workers.started[one + 1 : next_])
        for org, more in zip(others, (8, 8, 4, 1), strict=True):
            assert between[org.pk] <= more + 1


def test_an_organization_that_was_alone_does_not_pay_for_it_later():
    enter(alone := make_organization(tier="FREE"), 30)
    workers = Workers(1)
    workers.begin()
    for _ in range(20):
        workers.end_one()
    enter(late := make_organization(tier="FREE"), 10)
    for _ in range(8):
        workers.end_one()
    assert Counter(workers.started[-8:]) == {alone.pk: 4, late.pk: 4}


def test_of_one_organization_the_order_is_that_of_asking():
    tickets = enter(org := make_organization(tier="STARTER"), 6)
    workers = Workers(2)
    workers.begin()
    order = [ticket.pk for _, ticket in workers.running]
    for _ in range(4):
        workers.end_one()
        order.append(workers.running[-1][1].pk)
    assert order == [ticket.pk for ticket in tickets]
    assert set(workers.started) == {org.pk}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("count", [1, 3])
def test_real_workers_take_a_single_job_before_the_crowd_of_another(count: int):
    """Of a worker with so many slots. The jobs fail at once: there are no files."""
    big = make_organization(tier="PRO", credits_=100)
    for _ in range(12):
        make_project(big, status="QUEUED")
    single = make_project(make_organization(tier="FREE", credits_=1), status="QUEUED")

    subprocess.run([sys.executable, "-c", WORK, str(count)], env=environment(), check=True)
    begun = list(Project.objects.order_by("started_at"))
    assert {project.status for project in begun} == {"FAILED"}
    assert len(begun) == 13
    assert begun.index(single) <= count
    spans: list[Any] = [
        (each.started_at, each.finished_at) for each in begun if each.org_id == big.pk
    ]
    assert max(sum(begin <= at < end for begin, end in spans) for at, _ in spans) <= 4
    assert JobPlace.objects.count() == 0


# --- what runs, and what waits --------------------------------------------------------------


def test_no_more_run_than_the_tier_allows_however_many_workers_are_free():
    enter(make_organization(tier="PRO"), 10)
    workers = Workers(50)
    workers.begin()
    assert len(workers.running) == 4
    for _ in range(6):
        workers.end_one()
        assert len(workers.running) == 4
    workers.end_one()
    assert len(workers.running) == 3


@pytest.mark.django_db(transaction=True)
def test_of_twenty_at_once_as_many_as_may_run_get_entries():
    org = make_organization(tier="PRO")
    assert run_together(20, lambda _: enter(org)) != []
    assert JobPlace.objects.filter(tag__isnull=False).count() == 4
    assert JobShare.objects.get().waiting == 16
    active = list(JobPlace.objects.filter(tag__isnull=False))
    run_together(4, lambda n: places._leave(org.pk, active[n].pk))
    assert JobPlace.objects.filter(tag__isnull=False).count() == 4
    assert (JobShare.objects.get().waiting, JobPlace.objects.count()) == (12, 16)


def test_so_many_may_wait_beyond_those_that_run_and_a_new_figure_holds_at_once():
    make_tier_limits(concurrent_jobs=1, queued_jobs=2)
    org = make_organization(credits_=10)

    def submit() -> None:
        project = make_project(org, status="UPLOADED")
        Project.objects.filter(pk=project.pk).delete()
        job_services.submit_job(job=project, actor="test")

    for _ in range(3):
        submit()
    with pytest.raises(TooManyAtOnce) as refused:
        submit()
    assert refused.value.extra == TooManyAtOnce(running=3, quota=3).extra
    TierLimits.objects.update(queued_jobs=3)
    submit()
    assert JobShare.objects.get().waiting == 3


@pytest.mark.django_db(transaction=True)
def test_of_twenty_at_once_exactly_as_many_as_may_run_and_wait_are_taken(still: Any):
    from django.core.files.uploadedfile import SimpleUploadedFile

    make_tier_limits(concurrent_jobs=2, queued_jobs=3, uploads_per_minute=100)
    org = make_organization(tier="FREE", credits_=100)
    content = still.read_bytes()

    def upload(_: int) -> int:
        file = SimpleUploadedFile("talk.mp4", content)
        asked = make_client(org).post("/api/v1/projects", {"file": file}, format="multipart")
        return int(asked.status_code)

    assert Counter(run_together(20, upload)) == {201: 5, 429: 15}
    assert (JobPlace.objects.count(), JobShare.objects.get().waiting) == (5, 3)


def test_a_raised_limit_is_used_by_the_next_sweep_and_a_lowered_one_stops_nothing():
    org = make_organization(tier="FREE", credits_=10)
    queued = [make_project(org, status="QUEUED").pk for _ in range(5)]

    def active() -> set[Any]:
        return set(JobPlace.objects.filter(tag__isnull=False).values_list("job", flat=True))

    assert active() == {queued[0]}
    TierLimits.objects.filter(tier="FREE").update(concurrent_jobs=3)
    sweeping.sweep(Project)
    assert active() == set(queued[:3])
    TierLimits.objects.filter(tier="FREE").update(concurrent_jobs=1)
    sweeping.sweep(Project)
    assert active() == set(queued[:3])


@pytest.mark.parametrize(
    ("at_once", "found"),
    [(0, [None, None, None]), (1, [0, None, None]), (2, [0, 120, None]), (1000, [0, 1, 2])],
)
def test_a_job_takes_the_less_virtual_time_the_more_run_at_once(
    at_once: int, found: list[int | None]
):
    TierLimits.objects.filter(tier="FREE").update(concurrent_jobs=at_once)
    org = make_organization(tier="FREE")
    enter(org, 3)
    assert tags(org) == found
    step = {0: 240, 1: 240, 2: 120, 1000: 1}[at_once]
    share = JobShare.objects.get()
    assert (share.step, share.waiting) == (step, found.count(None))
    assert share.finish == step * (3 - found.count(None))


def test_a_job_that_asks_again_while_it_waits_has_one_place():
    org = make_organization(tier="FREE")
    _, second, _ = enter(org, 3)
    places.enter(second)
    assert (JobPlace.objects.count(), JobShare.objects.get().waiting) == (3, 2)
    places.leave(second)
    assert (JobPlace.objects.count(), JobShare.objects.get().waiting) == (2, 1)


# --- jobs and their places ---------------------------------------------------------------


@pytest.mark.parametrize("end", ["cancel", "fail", "succeed", "abandon"])
def test_whatever_ends_gives_the_next_its_turn(end: str):
    org = make_organization(tier="FREE", credits_=10)
    first, second = (make_project(org, status="QUEUED") for _ in range(2))
    claimed: Any = None
    if end in {"fail", "succeed"}:
        claimed = lifecycle.claim(Project, first.pk, fence=0)
    match end:
        case "cancel":
            lifecycle.cancel(first, actor="test")
        case "abandon":
            lifecycle.abandon(first, actor="test")
        case "fail":
            lifecycle.fail(claimed, error=("timed_out", "Too long."), actor="test")
        case "succeed":
            lifecycle.succeed(claimed, status="READY", actor="test")
    assert list(JobPlace.objects.values_list("job", "started")) == [(second.pk, False)]
    workers = Workers(2)
    workers.begin()
    assert second.pk in [ticket.pk for _, ticket in workers.running]


def test_a_job_that_waits_is_cancelled_and_gives_nobody_a_turn():
    org = make_organization(tier="FREE", credits_=10)
    first, second = (make_project(org, status="QUEUED") for _ in range(2))
    lifecycle.cancel(second, actor="test")
    assert list(JobPlace.objects.values_list("job", flat=True)) == [first.pk]
    assert JobShare.objects.get().waiting == 0


def test_a_job_that_waits_and_is_requeued_by_hand_still_waits_for_its_turn():
    org = make_organization(tier="FREE", credits_=10)
    first, second = (make_project(org, status="QUEUED") for _ in range(2))
    lifecycle.requeue(second)
    workers = Workers(2)
    workers.begin()
    assert [ticket.pk for _, ticket in workers.running] == [first.pk]
    assert JobPlace.objects.get(pk=second.pk).fence == 1


def test_a_place_whose_job_ended_without_it_is_freed_by_the_sweep():
    """As under a release that knows no places."""
    org = make_organization(tier="FREE", credits_=10)
    first, second = (make_project(org, status="QUEUED") for _ in range(2))
    Project.objects.filter(pk=first.pk).update(status="CANCELLED")
    sweeping.sweep(Project)
    (place,) = JobPlace.objects.all()
    assert (place.pk, place.tag is None) == (second.pk, False)


def test_the_sweep_of_one_kind_leaves_the_places_of_another():
    export = make_export(make_project(make_organization(credits_=10)), status="QUEUED")
    places.tidy(Project)
    assert list(JobPlace.objects.values_list("job", flat=True)) == [export.pk]
    places.tidy(Export)
    assert JobPlace.objects.count() == 1


def test_the_room_of_an_organization_is_what_its_own_jobs_leave():
    small, big = make_organization(tier="FREE"), make_organization(tier="PRO")
    enter(small, 3)
    enter(big, 6)
    assert places._with_room() == []
    TierLimits.objects.filter(tier="FREE").update(concurrent_jobs=2)
    assert places._with_room() == [small.pk]


def test_a_job_waits_if_its_own_place_does():
    org = make_organization(tier="FREE", credits_=10)
    first, second = (make_project(org, status="QUEUED") for _ in range(2))
    rows = Project.objects.annotate(waits=places.waiting_of("pk")).values_list("pk", "waits")
    assert dict(rows) == {first.pk: False, second.pk: True}


def test_a_job_that_is_retried_while_the_sweep_looks_keeps_its_new_place():
    """Without it the job would wait for a turn that never comes."""
    org = make_organization(tier="FREE", credits_=10)
    first, second = (make_project(org, status="QUEUED") for _ in range(2))
    Project.objects.filter(pk=first.pk).update(status="CANCELLED")
    retried: list[Project] = []

    def retry(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        found = execute(sql, params, many, context)
        if not retried and sql.startswith("SELECT") and "jobs_jobplace" in sql:
            retried.append(first)
            job_services.retry_job(job=first, actor="test")
        return found

    with connection.execute_wrapper(retry):
        places.tidy(Project)
    assert retried == [first]
    assert dict(JobPlace.objects.values_list("job", "fence")) == {first.pk: 1, second.pk: 0}
    assert JobShare.objects.get().waiting == 1


def test_a_job_that_a_worker_hands_back_keeps_its_turn_before_all_others():
    """Claimed under fence 1, and back under fence 2; nobody of its organization begins instead."""
    org = make_organization(tier="FREE", credits_=10)
    running, waiting = (make_project(org, status="QUEUED") for _ in range(2))
    claimed = lifecycle.claim(Project, running.pk, fence=0)
    assert claimed is not None
    assert lifecycle.hand_back(claimed)
    found = JobPlace.objects.order_by("queued_at", "job").values_list(
        "job", "fence", "started", "tag"
    )
    assert list(found) == [(running.pk, 2, False, -1), (waiting.pk, 0, False, None)]
    assert places.position(waiting.pk, most=1000) == 1


@pytest.mark.parametrize("job", [0, 1])
def test_a_place_comes_back_under_its_fence_and_says_whether_it_has_a_turn(job: int):
    org = make_organization(tier="FREE")
    tickets = enter(org, 2)
    places.start(tickets[0])
    assert places.may_return(tickets[job], 7) is (job == 0)
    found = dict(JobPlace.objects.values_list("job", "fence"))
    assert found == {tickets[job].pk: 7, tickets[1 - job].pk: 0}
    assert places.may_return(Ticket(org.pk), 1)  # type: ignore[arg-type] # no place: as ever
    assert tags(org) == [-1 if job == 0 else 0, None]


def test_of_jobs_that_were_queued_at_the_same_moment_the_first_made_is_next():
    org = make_organization(tier="FREE")
    first, *others = (Ticket(org.pk) for _ in range(4))
    places.enter(first)  # type: ignore[arg-type]
    for ticket in (others[1], others[2], others[0]):
        places.enter(ticket)  # type: ignore[arg-type]
    JobPlace.objects.update(queued_at="2026-01-01T00:00Z")
    assert [places.position(ticket.pk, most=1000) for ticket in others] == [1, 2, 3]
    for done, next_ in zip((first, *others), others, strict=False):
        places.leave(done)  # type: ignore[arg-type]
        assert JobPlace.objects.get(tag__isnull=False).pk == next_.pk


def waiting() -> dict[uuid.UUID, int]:
    return dict(JobShare.objects.values_list("pk", "waiting"))


def test_what_waits_is_counted_for_its_organization_whatever_comes_again_or_has_no_place():
    orgs = [make_organization(tier="FREE") for _ in range(2)]
    tickets = [enter(org, 3) for org in orgs]
    assert waiting() == {orgs[0].pk: 2, orgs[1].pk: 2}
    places.enter(tickets[0][2])  # it has a place that waits already
    places.leave(Ticket(orgs[0].pk))  # type: ignore[arg-type] # it has none
    assert waiting() == {orgs[0].pk: 2, orgs[1].pk: 2}
    places.leave(tickets[0][2])
    places.enter(tickets[1][0])  # it had its turn, and waits for another
    assert waiting() == {orgs[0].pk: 1, orgs[1].pk: 2}
    assert [tags(org) for org in orgs] == [[0, None], [240, None, None]]


def test_a_count_without_places_is_put_right_by_the_next_turn():
    (ticket,) = enter(org := make_organization(tier="FREE"))
    JobShare.objects.update(waiting=3)
    places.leave(ticket)
    assert waiting() == {org.pk: 0}


def test_a_job_without_a_place_is_done_as_ever():
    org = make_organization(credits_=10)
    project = make_project(org, status="QUEUED")
    JobPlace.objects.all().delete()
    assert job_selectors.queue_position(project) == 1
    claimed = lifecycle.claim(Project, project.pk, fence=0)
    assert claimed is not None
    assert lifecycle.hand_back(claimed)
    again = lifecycle.claim(Project, project.pk, fence=2)
    assert again is not None
    assert lifecycle.succeed(again, status="READY", actor="test")


# --- cancelled before they began ------------------------------------------------------------


def entries() -> dict[uuid.UUID, int]:
    """The priority of each entry that waits, by its job."""
    waiting = queue.waiting_entries().values_list("args", "priority")
    return {uuid.UUID(args["project_id"]): priority for args, priority in waiting}


def tags(org: Organization) -> list[int | None]:
    """Of the places of an organization, in the order of asking."""
    places_ = JobPlace.objects.filter(org=org).order_by("queued_at", "job")
    return list(places_.values_list("tag", flat=True))


def test_whoever_cancels_eighty_jobs_before_they_begin_is_next_all_the_same():
    crowd(make_organization(tier="ENTERPRISE"), 200)
    workers = Workers(1)
    workers.begin()
    org = make_organization(tier="FREE")
    for _ in range(80):
        places.give_back(*enter(org))
    (ticket,) = enter(org)
    assert places.position(ticket.pk, most=1000) == 0
    workers.end_one()
    assert workers.started[-1] == org.pk


def test_those_behind_it_move_up_in_the_order_of_asking_and_their_entries_with_them():
    org = make_organization(tier="PRO")  # four at once, each takes 60
    first, *others = enter(org, 6)
    assert tags(org) == [0, 60, 120, 180, None, None]
    places.give_back(first)
    assert tags(org) == [0, 60, 120, 180, None]
    places.give_back(others[1])
    assert tags(org) == [0, 60, 120, 180]
    left = [others[number].pk for number in (0, 2, 3, 4)]
    assert {pk: entries()[pk] for pk in left} == dict(zip(left, (0, -60, -120, -180), strict=True))
    assert (JobShare.objects.get().finish, JobShare.objects.get().waiting) == (240, 0)
    places.give_back(others[4])
    assert (tags(org), JobShare.objects.get().finish) == ([0, 60, 120], 180)


def test_no_place_moves_up_to_before_virtual_time_now():
    """Where workers of another queue went on meanwhile: the first was tagged long before the second."""
    org = make_organization(tier="PRO")
    (first,) = enter(org)
    JobClock.objects.update_or_create(pk=1, defaults={"at": 1000})
    enter(org, 2)
    assert tags(org) == [0, 1000, 1060]
    places.give_back(first)
    assert tags(org) == [1000, 1000]
    assert JobShare.objects.get().finish == 1060


def test_where_virtual_time_has_passed_all_of_them_none_moves_and_the_next_comes_after_the_last():
    org = make_organization(tier="PRO")
    first, *_ = enter(org, 3)
    JobClock.objects.update_or_create(pk=1, defaults={"at": 2000})
    places.give_back(first)
    assert tags(org) == [60, 120]
    assert JobShare.objects.get().finish == 180


def test_what_was_begun_out_of_turn_keeps_no_time_from_those_to_come():
    """Where a worker of another queue began the last of three before the others."""
    org = make_organization(tier="PRO")  # each takes 60
    _first, second, third = enter(org, 3)
    places.start(third)
    places.give_back(second)
    assert tags(org) == [0, 120]
    assert JobPlace.objects.get(pk=third.pk).tag == 120
    assert JobShare.objects.get().finish == 120


def test_of_a_job_that_has_begun_no_time_is_given_back():
    org = make_organization(tier="PRO")
    first, _second = enter(org, 2)
    places.start(first)
    with connection.cursor() as cursor:
        cursor.execute("SELECT jobs_give_back(%s, %s)", [org.pk, first.pk])
    assert (tags(org), JobShare.objects.get().finish) == ([0, 60], 120)


def test_of_those_behind_it_what_was_begun_stays_where_it_is():
    org = make_organization(tier="PRO")  # each takes 60
    first, second, third = enter(org, 3)
    places.start(second)
    JobClock.objects.update(at=0)
    places.give_back(first)
    assert JobPlace.objects.get(pk=second.pk).tag == 60
    assert JobPlace.objects.get(pk=third.pk).tag == 60


@pytest.mark.parametrize("state", ["begun", "returned", "waiting"])
def test_a_job_that_began_or_waits_gives_no_time_back(state: str):
    org = make_organization(tier="STARTER", credits_=10)  # two at once, each takes 120
    queued = [make_project(org, status="QUEUED") for _ in range(4)]
    if state != "waiting":
        claimed = lifecycle.claim(Project, queued[0].pk, fence=0)
        assert claimed is not None
        if state == "returned":
            lifecycle.hand_back(claimed)
    lifecycle.cancel(queued[3 if state == "waiting" else 0], actor="test")
    kept = {"begun": [120, 240, None], "returned": [120, 240, None], "waiting": [0, 120, None]}
    assert tags(org) == kept[state]
    assert JobShare.objects.get().finish == {"waiting": 240}.get(state, 360)


@pytest.mark.parametrize("end", ["cancel", "abandon", "without its hold"])
def test_however_a_job_ends_before_it_began_its_time_is_given_back(end: str):
    org = make_organization(tier="FREE", credits_=10)
    first, second = (make_project(org, status="QUEUED") for _ in range(2))
    match end:
        case "cancel":
            lifecycle.cancel(first, actor="test")
        case "abandon":
            lifecycle.abandon(first, actor="test")
        case _:
            assert first.hold_id is not None
            credit_services.release(hold_id=first.hold_id, actor="test")
            assert lifecycle.claim(Project, first.pk, fence=0) is None
    assert (tags(org), entries()[second.pk]) == ([0], 0)
    assert JobShare.objects.get().finish == 240


def test_a_job_of_another_organization_gives_nothing_back():
    org, other = (make_organization(tier="FREE") for _ in range(2))
    (ticket,) = enter(org)
    others = enter(other, 2)
    JobPlace.objects.filter(pk=others[0].pk).update(tag=120)
    places.give_back(Ticket(other.pk, ticket.pk))  # type: ignore[arg-type]
    assert JobShare.objects.get(pk=org.pk).finish == 240
    assert (tags(other), JobShare.objects.get(pk=other.pk).finish) == ([120, None], 240)


@pytest.mark.django_db(transaction=True)
def test_time_is_not_given_back_while_another_moves_the_places_of_the_organization():
    """Also where there is nothing to give back: that is known once the other has ended."""
    (ticket,) = enter(org := make_organization(tier="FREE"))
    places.start(ticket)
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT FROM jobs_jobshare WHERE org_id = %s FOR NO KEY UPDATE", [org.pk])
        with pytest.raises(OperationalError, match="lock timeout"):
            briefly("SELECT jobs_give_back(%s, %s)", [org.pk, ticket.pk])


class Model:
    """Start-time fair queueing, as the functions do it, of jobs of which none is cancelled."""

    def __init__(self, at_once: dict[uuid.UUID, int]) -> None:
        self.at_once = at_once
        self.clock = 0
        self.finish = dict.fromkeys(at_once, 0)
        self.waiting: dict[uuid.UUID, list[Ticket]] = {org: [] for org in at_once}
        self.tag: dict[uuid.UUID, int] = {}
        self.active: dict[uuid.UUID, set[uuid.UUID]] = {org: set() for org in at_once}
        self.started: set[uuid.UUID] = set()

    def do(self, act: str, ticket: Ticket) -> None:
        org = ticket.org_id
        match act:
            case "enter":
                self.waiting[org].append(ticket)
            case "start":
                self.started.add(ticket.pk)
                self.clock = max(self.clock, self.tag[ticket.pk])
            case "end":
                self.active[org].discard(ticket.pk)
        while self.waiting[org] and len(self.active[org]) < self.at_once[org]:
            pk = self.waiting[org].pop(0).pk
            self.active[org].add(pk)
            self.tag[pk] = max(self.finish[org], self.clock)
            self.finish[org] = self.tag[pk] + 240 // self.at_once[org]

    def state(self) -> tuple[dict[uuid.UUID, int], dict[uuid.UUID, int]]:
        """The tags of those that have an entry, and when each organization's next may start."""
        open_ = set().union(*self.active.values()) - self.started
        next_ = {org: max(finish, self.clock) for org, finish in self.finish.items()}
        return {pk: self.tag[pk] for pk in open_}, next_


@pytest.mark.parametrize(("at", "tag", "then"), [(None, 1, 1), (4, 5, 5), (5, 5, 5), (6, 5, 6)])
def test_virtual_time_is_at_least_the_tag_of_what_has_begun(at: int | None, tag: int, then: int):
    begun, other = enter(make_organization(tier="PRO"), 2)
    if at is not None:
        JobClock.objects.create(pk=1, at=at)
    JobPlace.objects.filter(pk=begun.pk).update(tag=tag)
    places.start(begun)
    assert JobClock.objects.get().at == then
    started = dict(JobPlace.objects.values_list("job", "started"))
    assert started == {begun.pk: True, other.pk: False}


@pytest.mark.parametrize("seed", range(8))
def test_jobs_that_are_cancelled_before_they_begin_leave_all_as_if_they_had_not_been(seed: int):
    """Against a model that never hears of them, after every step."""
    chance = random.Random(seed)
    tiers = {"FREE": 1, "STARTER": 2, "PRO": 4, "BUSINESS": 8}
    at_once = {make_organization(tier=tier).pk: count for tier, count in tiers.items()}
    history: list[tuple[str, Ticket]] = []
    queued: list[Ticket] = []
    running: list[Ticket] = []

    def step() -> tuple[str, Any]:
        act = chance.choice(["enter"] * 4 + ["start"] * 2 + ["end", "cancel", "cancel"])
        if act == "start" and (tagged := JobPlace.objects.filter(tag__isnull=False, started=False)):
            first = tagged.order_by("tag", "queued_at")[0].pk
            (ticket,) = (each for each in queued if each.pk == first)
            queued.remove(ticket)
            running.append(ticket)
            return act, ticket
        if act == "end" and running:
            return act, running.pop(0)
        if act == "cancel" and queued:
            return act, queued.pop(chance.randrange(len(queued)))
        queued.append(ticket := Ticket(chance.choice(list(at_once))))
        return "enter", ticket

    does: dict[str, Callable[[Any], object]] = {
        "enter": places.enter,
        "start": places.start,
        "end": places.leave,
        "cancel": places.give_back,
    }
    for _ in range(120):
        act, ticket = step()
        does[act](ticket)
        history.append((act, ticket))
        cancelled = {ticket.pk for act, ticket in history if act == "cancel"}
        model = Model(at_once)
        for act, ticket in history:
            if ticket.pk not in cancelled:
                model.do(act, ticket)
        clock = getattr(JobClock.objects.first(), "at", 0)
        open_ = JobPlace.objects.filter(tag__isnull=False, started=False)
        finish = {org: max(0, clock) for org in at_once} | {
            share.pk: max(share.finish, clock) for share in JobShare.objects.all()
        }
        assert (dict(open_.values_list("job", "tag")), finish) == model.state()
    waiting = entries()
    assert {pk: -waiting[pk] for pk in model.state()[0]} == model.state()[0]
    assert sum(share.waiting for share in JobShare.objects.all()) == sum(
        map(len, model.waiting.values())
    )


@pytest.mark.django_db(transaction=True)
def test_cancelled_by_twenty_at_once_while_workers_begin_others_nothing_is_given_back_twice():
    org = make_organization(tier="BUSINESS", credits_=100)  # eight at once, each takes 30
    queued = [make_project(org, status="QUEUED") for _ in range(30)]

    def act(number: int) -> object:
        if number < 3:
            return lifecycle.claim(Project, queued[number].pk, fence=0)
        return lifecycle.cancel(queued[number], actor="test")

    results = run_together(20, act)
    assert [type(each) for each in results] == [Project] * 20
    open_ = JobPlace.objects.filter(tag__isnull=False, started=False).order_by("queued_at")
    found = list(open_.values_list("job", "tag"))
    assert found == [(queued[20 + n].pk, 90 + 30 * n) for n in range(5)]
    waiting = entries()
    assert [-waiting[pk] for pk, _ in found] == [tag for _, tag in found]
    assert (JobShare.objects.get().finish, JobShare.objects.get().waiting) == (240, 5)


# --- positions ----------------------------------------------------------------------------


def test_positions_are_the_order_in_which_one_worker_starts_them():
    orgs = [make_organization(tier=tier) for tier in ("FREE", "PRO", "ENTERPRISE", "FREE")]
    tickets = [ticket for org in orgs for ticket in enter(org, 6)]
    owners = {ticket.pk: ticket.org_id for ticket in tickets}
    positions = {ticket.pk: places.position(ticket.pk, most=1000) for ticket in tickets}
    workers = Workers(1)
    order = []
    workers.begin()
    while workers.running:
        order.append(workers.running[-1][1].pk)
        workers.end_one()
    # Places of the same turn are told the same or the next figure.
    assert all(abs(positions[pk] - number) <= len(orgs) for number, pk in enumerate(order))
    for org in orgs:
        own = [positions[pk] for pk in order if owners[pk] == org.pk]
        assert own == sorted(own)


def test_a_position_is_counted_by_the_rule():
    """Of jobs of one tier, which take 240 each: behind its own, what is tagged, and what will be."""
    first, second, third = (make_organization(tier="FREE") for _ in range(3))
    own = enter(first, 4)  # one has an entry at 0, three wait for 240, 480, 720
    begun, *_ = enter(second, 3)
    JobShare.objects.filter(pk=third.pk).delete()
    late = enter(third, 2)
    JobPlace.objects.filter(pk=late[0].pk).update(tag=600)
    JobShare.objects.filter(pk=third.pk).update(finish=840)

    def positions() -> list[int]:
        return [places.position(ticket.pk, most=1000) for ticket in own]

    # 240: its own first and the second's entry. 480: one more of both. 720: again, and the third's.
    assert positions() == [0, 2, 4, 7]
    places.start(begun)
    assert positions() == [0, 1, 3, 6]
    assert places.position(begun.pk, most=1000) == 0
    assert [places.position(ticket.pk, most=2) for ticket in own] == [0, 1, 2, 2]
    for tag, last in ((720, 6), (721, 5)):  # the turn of the last of them, and after it
        JobPlace.objects.filter(pk=late[0].pk).update(tag=tag)
        assert positions()[3] == last


@pytest.mark.parametrize(("finish", "second"), [(239, 3), (240, 2)])
def test_the_only_one_of_another_that_waits_is_counted_if_its_turn_is_before(
    finish: int, second: int
):
    first, other = (make_organization(tier="FREE") for _ in range(2))
    own = enter(first, 3)  # one has an entry at 0, two wait for 240 and 480
    enter(other, 2)
    JobShare.objects.filter(pk=other.pk).update(finish=finish)
    assert [places.position(ticket.pk, most=1000) for ticket in own] == [0, second, 4]


def test_a_position_is_counted_from_virtual_time_now():
    first, second = (make_organization(tier="FREE") for _ in range(2))
    own = enter(
        first, 4
    )  # one has an entry at 0; in time that passed, three wait for 600, 840, 1080
    others = enter(second, 3)
    JobClock.objects.update_or_create(pk=1, defaults={"at": 600})
    JobShare.objects.filter(pk=second.pk).update(finish=720)
    # Both entries; then the second's next, at 720, before 840, and its last, at 960, before 1080.
    assert [places.position(ticket.pk, most=1000) for ticket in own] == [0, 2, 4, 6]
    assert [places.position(ticket.pk, most=1000) for ticket in others] == [1, 3, 5]


def test_where_nobody_else_has_jobs_a_position_is_the_number_of_its_own_before_it():
    tickets = enter(make_organization(tier="FREE"), 4)
    assert [places.position(ticket.pk, most=1000) for ticket in tickets] == [0, 1, 2, 3]


def test_a_job_behind_a_crowd_is_told_that_it_is_next():
    crowd(make_organization(tier="ENTERPRISE"), 1000)
    workers = Workers(2)
    workers.begin()
    (ticket,) = enter(make_organization(tier="FREE"))
    assert places.position(ticket.pk, most=1000) == 0


# --- cost ----------------------------------------------------------------------------------


def buffers(sql: str, params: list[Any]) -> int:
    """The pages that it touches, those of the statements inside of functions included."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
        (plan,) = cursor.fetchone()[0]
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


def test_with_a_hundred_thousand_queued_dispatch_is_flat():
    vacuum()  # of the rows that earlier tests rolled back
    costs: dict[str, list[int]] = {}
    for count in (1000, 100_000):
        crowd(org := make_organization(tier="ENTERPRISE"), count)
        with connection.cursor() as cursor:
            cursor.execute(
                "ANALYZE jobs_jobplace; ANALYZE jobs_jobshare; ANALYZE procrastinate_jobs"
            )
        fetch = "SELECT procrastinate_fetch_job_v2(ARRAY['analysis']::varchar[], NULL)"
        enter_ = "SELECT * FROM jobs_enter(%s, 'project', %s, 0)"
        for _ in range(2):  # the first makes the plans
            running = JobPlace.objects.filter(org=org, tag__isnull=False).first()
            assert running is not None
            ticket = Ticket(make_organization().pk)
            found = {
                "enter": buffers(enter_, [ticket.org_id, ticket.pk]),
                "enter behind": buffers(enter_, [org.pk, uuid7()]),
                "leave": buffers("SELECT * FROM jobs_leave(%s, %s)", [org.pk, running.pk]),
                "start": buffers("SELECT jobs_start(%s)", [ticket.pk]),
                "fetch": buffers(fetch, []),
                "position": buffers("SELECT jobs_position(%s, 1000)", [ticket.pk]),
            }
        for name, touched in found.items():
            costs.setdefault(name, []).append(touched)
    for name, (few, many) in costs.items():
        assert many <= 100, (name, costs)
        assert many <= few + 30, (name, costs)


# --- the end of virtual time -----------------------------------------------------------------


def briefly(sql: str, params: list[Any]) -> None:
    """Run it, and wait for no lock longer than twenty milliseconds."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '20ms'")
        cursor.execute(sql, params)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("call", ["jobs_enter", "jobs_leave", "jobs_start", "jobs_give_back"])
def test_no_place_moves_while_virtual_time_begins_anew(call: str):
    (ticket,) = enter(org := make_organization(tier="FREE"))
    calls = {
        "jobs_enter": ("SELECT jobs_enter(%s, 'project', %s, 0)", [org.pk, ticket.pk]),
        "jobs_leave": ("SELECT jobs_leave(%s, %s)", [org.pk, ticket.pk]),
        "jobs_start": ("SELECT jobs_start(%s)", [ticket.pk]),
        "jobs_give_back": ("SELECT jobs_give_back(%s, %s)", [org.pk, ticket.pk]),
    }
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT pg_advisory_xact_lock(7316042)")
        with pytest.raises(OperationalError, match="lock timeout"):
            briefly(*calls[call])
    with connection.cursor() as cursor:
        cursor.execute(*calls[call])


@pytest.mark.django_db(transaction=True)
def test_virtual_time_does_not_begin_anew_while_a_place_moves():
    enter(make_organization(tier="FREE"))
    JobClock.objects.update_or_create(pk=1, defaults={"at": 2**30})
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT pg_advisory_xact_lock_shared(7316042)")
        with pytest.raises(OperationalError, match="lock timeout"):
            briefly("SELECT jobs_rewind()", [])
    assert JobClock.objects.get().at == 2**30


@pytest.mark.parametrize(("at", "anew"), [(2**30 - 1, False), (2**30, True), (2**30 + 1, True)])
def test_virtual_time_begins_anew_once_it_has_come_that_far(at: int, anew: bool):
    idle, behind, ahead = (make_organization(tier="FREE") for _ in range(3))
    tickets = [ticket for org in (idle, behind, ahead) for ticket in enter(org)]
    late, later = (enter(make_organization(tier="FREE"))[0].pk for _ in range(2))
    JobPlace.objects.filter(pk__in=(late, later)).delete()  # here are their entries all that counts
    JobShare.objects.exclude(pk__in=(idle.pk, behind.pk, ahead.pk)).delete()
    JobClock.objects.update_or_create(pk=1, defaults={"at": at})
    finishes = {idle.pk: 240, behind.pk: at + 1, ahead.pk: at + 240}
    tags = dict(zip([ticket.pk for ticket in tickets], (-1, at - 5, at + 7), strict=True))
    for pk, finish in finishes.items():
        JobShare.objects.filter(pk=pk).update(finish=finish)
    for ticket_pk, tag in tags.items():
        JobPlace.objects.filter(pk=ticket_pk).update(tag=tag)
    waiting = queue.waiting_entries().order_by("pk")
    keys = [entry.pk for entry in waiting]
    done = keys.pop(0)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = 'succeeded', priority = -7 WHERE id = %s",
            [done],
        )
        cursor.execute("UPDATE procrastinate_jobs SET priority = -%s WHERE id = %s", [at, keys[0]])
        cursor.execute("UPDATE procrastinate_jobs SET priority = 1 WHERE id = %s", [keys[1]])
        for key, priority in ((keys[2], -1), (keys[3], -7 - at)):
            cursor.execute(
                "UPDATE procrastinate_jobs SET priority = %s WHERE id = %s", [priority, key]
            )
        cursor.execute("SELECT jobs_rewind()")
        assert cursor.fetchone() == (anew,)
        cursor.execute("SELECT id, priority FROM procrastinate_jobs")
        priorities = dict(cursor.fetchall())
    assert JobClock.objects.get().at == (0 if anew else at)
    assert dict(JobShare.objects.values_list("pk", "finish")) == (
        {idle.pk: 0, behind.pk: 1, ahead.pk: 240} if anew else finishes
    )
    moved = dict(zip(tags, (-1, 0, 7), strict=True))
    assert dict(JobPlace.objects.values_list("job", "tag")) == (moved if anew else tags)
    assert priorities == {done: -7, keys[0]: 0 if anew else -at, keys[1]: 1} | (
        {keys[2]: 0, keys[3]: -7} if anew else {keys[2]: -1, keys[3]: -7 - at}
    )


def test_virtual_time_that_never_began_does_not_begin_anew():
    with connection.cursor() as cursor:
        cursor.execute("SELECT jobs_rewind()")
        assert cursor.fetchone() == (False,)


def test_virtual_time_begins_anew_without_changing_a_turn():
    enter(first := make_organization(tier="PRO"), 8)
    enter(second := make_organization(tier="FREE"), 3)
    far = 2**30
    JobClock.objects.update_or_create(pk=1, defaults={"at": far})
    for share in JobShare.objects.all():
        JobShare.objects.filter(pk=share.pk).update(finish=share.finish + far)
    for place in JobPlace.objects.filter(tag__isnull=False):
        JobPlace.objects.filter(pk=place.pk).update(tag=(place.tag or 0) + far)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET priority = priority - %s", [far])
        cursor.execute("SELECT jobs_rewind()")
        assert cursor.fetchone() == (True,)
        cursor.execute("SELECT jobs_rewind()")
        assert cursor.fetchone() == (False,)
    assert JobClock.objects.get().at == 0
    workers = Workers(1)
    workers.begin()
    for _ in range(9):
        workers.end_one()
    starts = Counter(workers.started)
    assert (starts[first.pk], starts[second.pk]) == (8, 2)
