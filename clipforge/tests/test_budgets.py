"""Budgets of a warm request: SQL statements and round trips to Redis."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from clipforge.common.cache import versioned_cache
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.redis import BYPASS_SECONDS, RedisError
from clipforge.devtools.testing.factories import (
    make_endpoint,
    make_export,
    make_grant,
    make_moment,
    make_project,
)
from clipforge.devtools.testing.queries import round_trips, statements
from clipforge.devtools.testing.redis_server import RedisServer, answers, redis_server
from clipforge.devtools.testing.service import eventually
from clipforge.devtools.testing.state import lasting_breaker
from clipforge.orgs import selectors as org_selectors
from projects.moments import change_moment
from projects.services import rename_project

pytestmark = pytest.mark.django_db(transaction=True)

ADMITTED = "EVALSHA orgs:key"


@pytest.mark.parametrize(
    ("path", "trips"),
    [
        ("/api/v1/me", [ADMITTED]),
        ("/api/v1/credits/balance", [ADMITTED]),  # which prefetches it
        ("/api/v1/pricing", [ADMITTED]),  # as here
    ],
)
def test_what_front_ends_poll_costs_no_sql_and_one_round_trip(
    api: Any, organization: Any, path: str, trips: list[str]
):
    make_grant(organization, 5)
    first = api.get(path).json()
    with statements(access=True, control=True) as said, round_trips() as asked:
        assert api.get(path).json() == first
    assert said == []
    assert asked == trips


# The lowest transaction that is under way, as the version of a page that is kept.
VERSION = "SELECT -"


@pytest.mark.parametrize(
    ("path", "family", "tables"),
    [
        ("/api/v1/projects", "jobs:lists", ["SELECT projects_project"]),
        ("/api/v1/exports", "jobs:lists", ["SELECT exports_export"]),
        (
            "/api/v1/projects/{}/moments",
            "projects:moments",
            ["SELECT projects_project", "SELECT projects_moment"],
        ),
    ],
)
def test_a_page_that_has_not_changed_costs_the_round_trip_that_admits_it_and_else_one_more(
    api: Any, organization: Any, path: str, family: str, tables: list[str]
):
    project = make_project(organization)
    moment = make_moment(project)
    make_export(project, moment=moment)
    url = path.format(project.pk)
    first = api.get(url)
    assert len(first.json()["results"]) == 1
    with statements(access=True, control=True) as said, round_trips() as asked:
        again = api.get(url)
    assert (said, asked) == ([], [ADMITTED])
    assert (again.content, again["ETag"]) == (first.content, first["ETag"])

    rename_project(project=project, title="Another")
    change_moment(moment=moment, placed=None, changes={"title": "Another"})
    with statements(access=True, control=True) as said, round_trips() as asked:
        assert api.get(url).status_code == 200
    assert said == [VERSION, *tables]
    assert asked == [ADMITTED, f"EVALSHA {family}"]


@pytest.mark.parametrize("path", ["credits/transactions", "credits/holds"])
def test_a_page_of_the_ledger_costs_one_statement_and_one_round_trip(
    api: Any, organization: Any, path: str
):
    make_grant(organization, 5)
    make_project(organization)
    url = f"/api/v1/{path}"
    assert api.get(url).status_code == 200
    with statements(access=True, control=True) as said, round_trips() as asked:
        assert len(api.get(url).json()["results"]) in {1, 2, 3}
    assert said == [f"SELECT credits_credit{path.removeprefix('credits/').removesuffix('s')}"]
    assert asked == [ADMITTED]


def test_starting_an_export_is_one_transaction_of_four_statements(api: Any, organization: Any):
    make_grant(organization, 5)
    project = make_project(organization)
    body = {"project": str(project.pk), "start": 0, "end": 10}
    api.post("/api/v1/exports", body, headers={"Idempotency-Key": "warm"})
    with statements(access=True, control=True) as said, round_trips() as asked:
        answer = api.post("/api/v1/exports", body, headers={"Idempotency-Key": "counted"})
    assert answer.status_code == 201
    assert said == [
        "BEGIN",
        "SELECT orgs_claim_key",
        "SELECT projects_project",  # locked against deletion
        "SELECT jobs_submit",
        "INSERT orgs_idempotencyrecord",
        "COMMIT",
    ]
    # The limits come with the admission; floors of what is announced: the lists and the balance.
    families = [each.split()[1] for each in asked]
    assert families == ["orgs:key", "jobs:lists", "credits:balance"]


def test_a_cancel_is_one_transaction_of_three_statements_after_the_look_whose_it_is(
    api: Any, organization: Any
):
    """The same whatever it tells, and whoever moves up by it: two endpoints, three jobs behind, and one that waits."""
    for number in (1, 2):
        make_endpoint(organization, f"https://a.example/{number}")
    project = make_project(organization)
    running = org_selectors.limits_of(organization).concurrent_jobs
    exports = [make_export(project, status="QUEUED") for _ in range(running + 2)]
    api.post(f"/api/v1/exports/{exports.pop().pk}/cancel")  # warm
    with statements(access=True, control=True) as said, round_trips() as asked:
        answer = api.post(f"/api/v1/exports/{exports[0].pk}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
    assert said == [
        "SELECT exports_export",
        "BEGIN",
        "SELECT jobs_cancel",
        "SELECT exports_export",  # the body of its event
        "SELECT events_record",
        "COMMIT",
    ]
    # Floors of what is announced, before the commit; and whoever waits for the job is told after it.
    families = [each.split()[1] for each in asked]
    assert families == ["orgs:key", "credits:balance", "jobs:shown", "jobs:news"]


# --- a Redis that is silent -------------------------------------------------------------


@pytest.fixture
def frozen(settings: Any) -> Iterator[RedisServer]:
    """The caches are in a Redis that accepts connections and does not answer."""
    with redis_server() as redis:
        settings.CACHES = {
            name: {**options, "LOCATION": redis.url} for name, options in settings.CACHES.items()
        }
        eventually("the cache is connected", lambda: answers(default_cache().redis))
        lasting_breaker()
        redis.freeze()
        yield redis


def test_a_request_waits_for_a_silent_redis_once_and_the_next_ones_not_at_all(
    api: Any, frozen: RedisServer
):
    with round_trips() as asked:
        assert api.get("/api/v1/credits/balance").status_code == 200
    assert asked == [ADMITTED]  # it waited for this one; the breaker kept it from the others
    with round_trips() as asked:
        for path in ("/api/v1/credits/balance", "/api/v1/me", "/api/v1/pricing"):
            assert api.get(path).status_code == 200
    assert asked == []


def test_what_moves_credits_tells_a_silent_redis_of_it_all_the_same_in_short(
    api: Any, organization: Any, frozen: RedisServer
):
    make_grant(organization, 5)
    project = make_project(organization)
    with contextlib.suppress(RedisError):
        default_cache().redis.ping()  # the breaker is open from here on
    with round_trips() as asked:
        answer = api.post("/api/v1/exports", {"project": str(project.pk), "start": 0, "end": 10})
    assert answer.status_code == 201
    # Once before the commit and once after it, of all that changed: others may be reading from it.
    assert len(asked) == 2
    owed = {key.partition(f":{organization.pk}")[0] for key in versioned_cache._pending}
    assert owed >= {"credits:balance", "jobs:lists:export", "jobs:lists:project"}
    assert BYPASS_SECONDS == 0.05
