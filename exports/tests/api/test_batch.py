"""POST /exports/batch"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from clipforge.common.cache.backend import default_cache
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import (
    make_client,
    make_moment,
    make_organization,
    make_project,
    make_tier_limits,
)
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.redis_server import redis_server
from clipforge.devtools.testing.state import Funds, funds, jobs_of, lasting_breaker, nothing_changes
from clipforge.orgs import windows
from clipforge.orgs.models import Organization
from credits.models import CreditQuote
from exports.models import Export

pytestmark = pytest.mark.django_db

URL = "/api/v1/exports/batch"
ALL, EACH = "all_or_nothing", "per_item"


@pytest.fixture
def organization() -> Organization:
    return make_organization(tier="ENTERPRISE", credits_=10)


@pytest.fixture
def project(organization: Organization) -> Any:
    return make_project(organization, duration=600.0)


def clip(project: Any, seconds: float = 10, **more: Any) -> dict[str, Any]:
    return {"project": str(project.pk), "start": 0, "end": seconds, **more}


def send(api: Any, mode: str, *exports: Any, **more: Any) -> Any:
    headers = {key: more.pop(key) for key in list(more) if key.startswith("HTTP_")}
    return api.post(URL, {"mode": mode, "exports": list(exports), **more}, **headers)


def statuses(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [each["status"] for each in answer.json()["results"]]


def used(organization: Organization) -> int:
    return windows.used(default_cache().redis, organization)["exports"]


# --- what is ordered ------------------------------------------------------------------


@pytest.mark.parametrize("mode", [ALL, EACH])
def test_all_of_a_sound_batch_are_ordered_and_paid_with_a_hold_each(
    api, organization, project, mode
):
    moment = make_moment(project)
    answer = send(api, mode, {"moment": str(moment.pk)}, clip(project, 61, aspect="1:1"))
    body = answer.json()
    assert (answer.status_code, body["created"], body["refused"], body["credits"]) == (200, 2, 0, 3)
    assert [each["index"] for each in body["results"]] == [0, 1]
    first, second = (each["export"] for each in body["results"])
    assert (first["moment"], first["credits"]["reserved"]) == (str(moment.pk), 1)
    assert (second["aspect"], second["end"], second["credits"]["reserved"]) == ("1:1", 61, 2)
    assert api.get(f"/api/v1/exports/{first['id']}").json()["status"] == "QUEUED"
    assert funds(organization) == Funds(available=7, held=3)
    assert all(jobs_of(export) == [0] for export in Export.objects.all())


@pytest.mark.parametrize(("count", "status"), [(0, 422), (1, 200), (100, 200), (101, 422)])
@pytest.mark.parametrize("mode", [ALL, EACH])
def test_a_batch_has_one_to_a_hundred_exports(api, organization, project, mode, count, status):
    answer = send(api, mode, *[{"moment": str(uuid.uuid4())}] * count)
    refused_whole = mode == ALL or status == 422
    assert answer.status_code == (422 if refused_whole else 200)
    code = "batch_refused" if status == 200 else "invalid"
    if refused_whole:
        body = assert_problem(answer, 422, code)
        assert len(body["errors"]) == (count if status == 200 else 1)
    else:
        assert statuses(answer) == [404] * count


def test_the_second_of_two_alike_says_so(api, project):
    first, second = send(api, ALL, clip(project), clip(project)).json()["results"]
    assert second["export"]["duplicate_of"] == first["export"]["id"]


# --- all or nothing -------------------------------------------------------------------


def test_one_that_cannot_be_ordered_refuses_all_and_is_pointed_at(api, organization, project):
    unready = make_project(organization, status="QUEUED")
    foreign = make_moment(make_project(make_organization()))
    wrong = [
        clip(project),
        clip(project, 700),
        clip(unready),
        {"moment": str(foreign.pk)},
        {"moment": str(uuid.uuid4())},
        clip(project, captions="plain"),
    ]
    with nothing_changes():
        body = assert_problem(send(api, ALL, *wrong), 422, "batch_refused")
    assert [(each["pointer"], each["code"]) for each in body["errors"]] == [
        ("/exports/1", "bad_range"),
        ("/exports/2", "project_not_ready"),
        ("/exports/3", "not_found"),
        ("/exports/4", "not_found"),
        ("/exports/5", "captions_without_transcript"),
    ]
    assert body["errors"][2]["detail"] == body["errors"][3]["detail"]


def test_a_malformed_member_refuses_all_with_a_pointer_to_it(api, project):
    with nothing_changes():
        answer = send(api, ALL, clip(project), clip(project, resolution=99), {"moment": "x"}, 7)
        body = assert_problem(answer, 422, "invalid")
    pointers = {each["pointer"] for each in body["errors"]}
    assert pointers == {"/exports/1/resolution", "/exports/2/moment", "/exports/3"}


@pytest.mark.parametrize("mode", [ALL, EACH])
def test_an_unknown_member_refuses_the_whole_request_in_both_modes(api, project, mode):
    with nothing_changes():
        answer = send(api, mode, clip(project), clip(project, max_credits=1))
        body = assert_problem(answer, 422, "unknown_field")
    assert [each["pointer"] for each in body["errors"]] == ["/exports/1/max_credits"]


@pytest.mark.parametrize(("count", "passes"), [(10, True), (11, False)])
def test_all_are_paid_or_none_and_the_refusal_speaks_of_all(
    api, organization, project, count, passes
):
    orders = [clip(project)] * count
    if passes:
        assert statuses(send(api, ALL, *orders)) == [201] * 10
        assert funds(organization) == Funds(available=0, held=10)
        return
    with nothing_changes():
        body = assert_problem(send(api, ALL, *orders), 402, "insufficient_credits")
    assert (body["needed"], body["available"]) == (11, 10)
    assert funds(organization) == Funds(available=10, held=0)


@pytest.mark.parametrize(("count", "passes"), [(3, True), (4, False)])
def test_all_fit_the_jobs_that_may_run_and_wait_or_none_does(count, passes):
    make_tier_limits(concurrent_jobs=2, queued_jobs=2)
    org = make_organization(tier="ENTERPRISE", credits_=10)
    project, api = make_project(org), make_client(org)
    make_project(org, status="QUEUED")
    answer = send(api, ALL, *[clip(project)] * count)
    if passes:
        assert statuses(answer) == [201] * 3
        return
    body = assert_problem(answer, 429, "concurrent_jobs")
    assert (body["running"], body["quota"]) == (1, 4)
    assert Export.objects.count() == 0


# --- each for itself ------------------------------------------------------------------


def test_each_that_can_be_is_ordered_and_each_other_has_a_problem_with_pointers(
    api, organization, project
):
    orders = [
        clip(project),
        clip(project, 700),
        clip(project, resolution=99),
        {"moment": str(uuid.uuid4())},
        "x",
        clip(project, 20),
    ]
    answer = send(api, EACH, *orders)
    assert statuses(answer) == [201, 422, 422, 404, 422, 201]
    body = answer.json()
    assert (body["created"], body["refused"], body["credits"]) == (2, 4, 2)
    problems = [each["problem"] for each in body["results"]]
    assert [each and each["code"] for each in problems] == [
        None,
        "bad_range",
        "invalid",
        "not_found",
        "invalid",
        None,
    ]
    pointers = [each and [error["pointer"] for error in each["errors"]] for each in problems]
    assert pointers == [
        None,
        ["/exports/1"],
        ["/exports/2/resolution"],
        ["/exports/3"],
        ["/exports/4"],
        None,
    ]
    assert [each["export"] is None for each in body["results"]] == [
        each is not None for each in problems
    ]
    assert funds(organization) == Funds(available=8, held=2)


def test_a_cheaper_one_may_still_be_paid_after_one_that_could_not(api, organization, project):
    answer = send(api, EACH, clip(project, 480), clip(project, 180), clip(project, 120))
    assert statuses(answer) == [201, 402, 201]
    refused = answer.json()["results"][1]["problem"]
    assert (refused["needed"], refused["available"]) == (3, 2)
    assert funds(organization) == Funds(available=0, held=10)


def test_those_beyond_the_jobs_that_may_wait_are_refused_alone():
    make_tier_limits(concurrent_jobs=1, queued_jobs=1)
    org = make_organization(tier="ENTERPRISE", credits_=10)
    answer = send(make_client(org), EACH, *[clip(make_project(org))] * 3)
    assert statuses(answer) == [201, 201, 429]
    assert answer.json()["results"][2]["problem"]["code"] == "concurrent_jobs"
    assert funds(org).held == 2


# --- the price ------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "passes"), [(2, False), (3, True)])
def test_max_credits_bounds_all_together(api, organization, project, most, passes):
    orders = [clip(project), clip(project, 61)]
    if passes:
        assert statuses(send(api, ALL, *orders, max_credits=most)) == [201, 201]
        return
    with nothing_changes():
        answer = send(api, ALL, *orders, max_credits=most)
        body = assert_problem(answer, 409, "max_credits_exceeded")
    assert (body["needed"], body["max_credits"]) == (3, 2)
    each = send(api, EACH, *orders, clip(project, 20), max_credits=most)
    assert statuses(each) == [201, 409, 201]
    assert funds(organization).held == 2


def test_a_quote_pays_line_by_line(api, organization, project, settings):
    asked = {"exports": [{"seconds": 10}, {"seconds": 61}]}
    quote_id = api.post("/api/v1/quotes", asked).json()["id"]
    settings.PRICES = {**settings.PRICES, "export_per_output_minute": 3, "version": "dearer"}
    orders = [clip(project, 90), clip(project, 20)]
    with nothing_changes():
        body = assert_problem(
            send(api, ALL, *orders, clip(project), quote_id=quote_id), 422, "batch_refused"
        )
    assert [(each["pointer"], each["code"]) for each in body["errors"]] == [
        ("/exports/2", "quote_used")
    ]
    answer = send(api, EACH, *orders, clip(project), quote_id=quote_id)
    assert statuses(answer) == [201, 201, 409]
    assert answer.json()["credits"] == 3


@pytest.mark.parametrize("mode", [ALL, EACH])
def test_a_quote_that_is_none_or_over_refuses_the_whole_batch(api, project, mode):
    quote_id = api.post("/api/v1/quotes", {"export_seconds": 10}).json()["id"]
    CreditQuote.objects.update(expires_at="2026-01-01T00:00:00Z")
    with nothing_changes():
        assert_problem(send(api, mode, clip(project), quote_id=quote_id), 409, "quote_expired")
        unknown = send(api, mode, clip(project), quote_id=str(uuid.uuid4()))
        assert_problem(unknown, 404, "not_found")


# --- the limits -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", [ALL, EACH])
def test_each_export_counts_in_the_limit_of_exports_and_a_batch_fits_whole_or_not(mode):
    org = make_organization(tier="STARTER", credits_=30)
    project, api = make_project(org), make_client(org)
    first = send(api, mode, *[clip(project)] * 19)
    assert statuses(first) == [201] * 19
    assert used(org) == 19
    assert '"exports";r=1;' in first["RateLimit"]
    with nothing_changes():
        refused = send(api, mode, clip(project), clip(project))
        body = assert_problem(refused, 429, "rate_limited")
    assert (body["limit"], body["quota"], used(org)) == ("exports", 20, 19)
    assert int(refused["Retry-After"]) > 0
    assert statuses(send(api, mode, clip(project))) == [201]


def test_a_batch_that_is_larger_than_the_limit_is_told_that_it_never_fits():
    org = make_organization(tier="FREE", credits_=30)
    refused = send(make_client(org), ALL, *[clip(make_project(org))] * 11)
    body = assert_problem(refused, 429, "rate_limited")
    assert "This request alone takes more than that" in body["detail"]
    assert "Retry-After" not in refused


def test_it_is_limited_without_redis_too(settings):
    org = make_organization(tier="FREE", credits_=30)
    project, client = make_project(org), make_client(org)
    with redis_server() as redis:
        settings.CACHES = {
            name: {**options, "LOCATION": redis.url} for name, options in settings.CACHES.items()
        }
        lasting_breaker()
        redis.freeze()
        settings.WEB_PROCESSES = 1
        assert statuses(send(client, EACH, *[clip(project)] * 10)) == [201] * 10
        assert_problem(send(client, EACH, clip(project)), 429, "rate_limited")


# --- again, and at once ---------------------------------------------------------------


@pytest.mark.parametrize("mode", [ALL, EACH])
def test_one_key_covers_the_batch(api, organization, project, mode):
    send_it = [clip(project), clip(project, 20)]
    first, again = (send(api, mode, *send_it, HTTP_IDEMPOTENCY_KEY="batch") for _ in range(2))
    assert again.content == first.content
    assert again["Idempotent-Replayed"] == "true"
    assert (Export.objects.count(), funds(organization).held) == (2, 2)
    other = send(api, mode, clip(project), HTTP_IDEMPOTENCY_KEY="batch")
    assert_problem(other, 422, "idempotency_key_reused")


@pytest.mark.django_db(transaction=True)
def test_batches_at_the_same_moment_overspend_nothing():
    make_tier_limits()
    org = make_organization(tier="ENTERPRISE", credits_=25)
    projects = [make_project(org) for _ in range(2)]
    client = make_client(org)

    def one(number: int) -> Any:
        # In opposite orders: who locks the projects in the order of the batch would stand still.
        first, second = projects if number % 2 else projects[::-1]
        orders = [clip(first), clip(second)] * 5
        return send(client, ALL if number < 3 else EACH, *orders)

    answers = run_together(6, one)
    made = [
        answer.json()["created"] if answer.status_code == 200 else 0  # type: ignore[union-attr]
        for answer in answers
    ]
    assert {answer.status_code for answer in answers} <= {200, 402}  # type: ignore[union-attr]
    assert sum(made) == Export.objects.count() == 25
    assert all(count in {0, 10} for count in made[:3])
    assert funds(org) == Funds(available=0, held=25)


def test_it_needs_a_key(anonymous):
    assert_problem(anonymous.post(URL, {}), 401, "not_authenticated")


@pytest.mark.parametrize("body", [[], [1], "x", {"mode": "some", "exports": []}, {"mode": EACH}])
def test_what_is_no_batch_is_422(api, body):
    assert api.post(URL, body).status_code == 422
