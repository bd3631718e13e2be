"""The virtual time of preparations, beside that of jobs: what each function of the database does to it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from clipforge.common.models import uuid7
from clipforge.devtools.testing.factories import make_organization
from clipforge.jobs.models import JobClock, JobPlace, JobShare
from clipforge.orgs.models import Organization

pytestmark = pytest.mark.django_db

FAR = 2**30


def call(sql: str, *arguments: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return cursor.fetchone()[0]


def hand_over(place: JobPlace, *, prepared: bool) -> Any:
    return call("SELECT jobs_hand_over(%s, 3, %s)", place.job, prepared)


def clocks(jobs: int, preparations: int) -> None:
    for pk, at in ((1, jobs), (2, preparations)):
        JobClock.objects.update_or_create(pk=pk, defaults={"at": at})


def times() -> list[int]:
    return list(JobClock.objects.order_by("pk").values_list("at", flat=True))


def place_of(org: Organization, tag: int | None, prepares_at: int | None) -> JobPlace:
    place: JobPlace = JobPlace.objects.create(
        job=uuid7(),
        kind="project",
        org=org,
        fence=0,
        started=True,
        tag=tag,
        prepares_at=prepares_at,
    )
    return place


def stored(place: JobPlace) -> tuple[Any, ...]:
    place.refresh_from_db()
    return (place.fence, place.started, place.tag, place.prepares_at)


@pytest.fixture
def share() -> JobShare:
    made: JobShare = JobShare.objects.create(
        org=make_organization(), finish=900, prepared=0, step=60
    )
    return made


def test_a_job_is_handed_over_to_be_prepared_at_the_time_of_preparations(share: JobShare):
    clocks(100, 500)
    place = place_of(share.org, 840, None)
    assert hand_over(place, prepared=False) == 500
    assert stored(place) == (3, False, -1, 500)
    share.refresh_from_db()
    assert (share.finish, share.prepared) == (840, 560)


def test_what_comes_again_to_be_prepared_keeps_its_turn_and_gives_nothing_back_twice(
    share: JobShare,
):
    clocks(100, 500)
    place = place_of(share.org, -1, 420)
    assert hand_over(place, prepared=False) == 420
    assert stored(place) == (3, False, -1, 420)
    share.refresh_from_db()
    assert (share.finish, share.prepared) == (900, 480)


@pytest.mark.parametrize(("now", "turn"), [(899, 900), (901, 901)])
def test_what_is_prepared_draws_another_turn(share: JobShare, now: int, turn: int):
    clocks(now, 5000)
    place = place_of(share.org, -1, 420)
    assert hand_over(place, prepared=True) == turn
    assert stored(place) == (3, False, turn, 420)
    share.refresh_from_db()
    assert (share.finish, share.prepared) == (turn + 60, 0)


@pytest.mark.parametrize("prepared", [False, True])
def test_a_job_without_a_place_is_not_handed_over(share: JobShare, prepared: bool):
    clocks(100, 500)
    assert hand_over(JobPlace(job=uuid7()), prepared=prepared) is None
    share.refresh_from_db()
    assert (share.finish, share.prepared) == (900, 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((100, 500), [600, 700]),
        ((100, 900), [600, 900]),
        ((800, 500), [800, 700]),
        ((800, 900), [800, 900]),
    ],
)
def test_each_time_is_at_least_the_turn_of_what_has_begun(
    share: JobShare, before: tuple[int, int], after: list[int]
):
    clocks(*before)
    place = place_of(share.org, 600, 700)
    with connection.cursor() as cursor:
        cursor.execute("SELECT jobs_start(%s)", [place.job])
    assert times() == after


def test_the_time_of_preparations_begins_anew_with_that_of_jobs(share: JobShare):
    clocks(FAR, FAR + 40)
    JobShare.objects.update(finish=5, prepared=FAR - 50)
    ahead, behind, unprepared = (
        place_of(share.org, -1, FAR + 7),
        place_of(share.org, -1, 10),
        place_of(share.org, FAR + 9, None),
    )
    assert call("SELECT jobs_rewind()") is True
    assert times() == [0, 40]
    share.refresh_from_db()
    assert (share.finish, share.prepared) == (0, 0)
    assert [stored(each)[2:] for each in (ahead, behind, unprepared)] == [
        (-1, 7),
        (-1, 0),
        (9, None),
    ]
