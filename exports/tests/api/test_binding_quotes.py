"""`quote_id` and `max_credits` of orders: they cost what was said, or nothing is ordered."""

from __future__ import annotations

import datetime
import io
import threading
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.utils import timezone

from clipforge.devtools.testing.api import assert_not_told_apart, assert_problem, invalid_fields
from clipforge.devtools.testing.factories import (
    make_client,
    make_export,
    make_grant,
    make_moment,
    make_organization,
    make_project,
)
from clipforge.devtools.testing.races import run_together, until_a_lock_is_waited_for
from clipforge.devtools.testing.state import funds, nothing_changes
from clipforge.jobs import lifecycle
from clipforge.jobs import services as job_services
from clipforge.orgs.models import Organization
from credits import quotes
from credits.models import CreditHold, CreditQuote
from credits.tasks import forget_old_quotes
from exports.models import Export
from projects.selectors import lock_clippable

pytestmark = pytest.mark.django_db

QUOTES, EXPORTS, PROJECTS = "/api/v1/quotes", "/api/v1/exports", "/api/v1/projects"


@pytest.fixture
def organization() -> Organization:
    return make_organization(credits_=100)


@pytest.fixture
def project(organization: Organization) -> Any:
    return make_project(organization, duration=600.0)


@pytest.fixture
def video(still: Path) -> bytes:
    """Six seconds."""
    return still.read_bytes()


def quoted(api: Any, **asked: Any) -> str:
    return str(api.post(QUOTES, asked).json()["id"])


def order(api: Any, project: Any, *, seconds: float = 10, **more: Any) -> Any:
    return api.post(EXPORTS, {"project": str(project.pk), "start": 0, "end": seconds, **more})


def upload(api: Any, video: bytes, **more: Any) -> Any:
    form = {"file": SimpleUploadedFile("talk.mp4", video), **more}
    return api.post(PROJECTS, form, format="multipart")


def dearer(settings: Any, version: str = "2027-01", by: int = 3) -> None:
    """A price list in which everything costs so many times as much."""
    settings.PRICES = {
        "version": version,
        "analysis_per_source_minute": by,
        "export_per_output_minute": by,
        "export_resolution_factors": {1440: 4, 2160: 8},
    }


# --- a quote --------------------------------------------------------------------------


def test_what_is_ordered_with_a_quote_costs_that_though_prices_rose_between(api, project, settings):
    quote_id = quoted(api, export_seconds=45)
    version = settings.PRICES["version"]
    dearer(settings)
    made = order(api, project, seconds=50, quote_id=quote_id).json()
    assert made["credits"]["reserved"] == 1
    hold = CreditHold.objects.latest("created_at")
    assert (hold.amount, hold.unit_price, hold.price_version) == (1, 1, version)
    assert hold.inputs == {
        "item": "export_per_output_minute",
        "seconds": 50,
        "minutes": 1,
        "quote": quote_id,
    }
    assert order(api, project, seconds=50).json()["credits"]["reserved"] == 3


def test_what_is_captured_is_what_was_quoted(api, organization, project, settings):
    dearer(settings, "2026-11", by=5)
    quote_id = quoted(api, export_seconds=45)
    dearer(settings, "2026-12", by=1)
    export = Export.objects.get(pk=order(api, project, quote_id=quote_id).json()["id"])
    claimed = lifecycle.claim(Export, export.pk, fence=0)
    assert claimed is not None
    assert lifecycle.succeed(claimed, status="READY", actor="test")
    assert funds(organization).available == 95
    assert api.get(f"{EXPORTS}/{export.pk}").json()["credits"] == {"reserved": 0, "charged": 5}


def test_the_resolution_is_quoted_too_whatever_its_factor_is_then(
    api, organization, project, settings
):
    Organization.objects.filter(pk=organization.pk).update(tier="ENTERPRISE")
    quote_id = quoted(api, export_seconds=45, resolution=1440)
    dearer(settings)
    assert_problem(order(api, project, quote_id=quote_id), 409, "quote_mismatch")
    made = order(api, project, quote_id=quote_id, resolution=1440)
    assert made.json()["credits"]["reserved"] == 2


def test_an_upload_and_a_retry_cost_what_was_quoted(api, video, project, settings):
    quote_id = quoted(api, analysis_seconds=6, export_seconds=10, resolution=480)
    failed = make_export(project, status="FAILED")
    dearer(settings)
    made = upload(api, video, quote_id=quote_id)
    assert made.json()["credits"]["reserved"] == 1
    again = api.post(f"{EXPORTS}/{failed.pk}/retry", {"quote_id": quote_id})
    assert again.json()["credits"]["reserved"] == 1
    assert_problem(upload(api, video, quote_id=quote_id), 409, "quote_used")


@pytest.mark.parametrize("seconds", [59.999, 60.999, 1])
def test_what_is_priced_are_started_minutes(api, project, seconds):
    assert order(api, project, seconds=seconds, quote_id=quoted(api, export_seconds=45)).json()[
        "credits"
    ] == {"reserved": 1, "charged": 0}


@pytest.mark.parametrize(
    "asked",
    [
        {"export_seconds": 61},
        {"export_seconds": 10, "resolution": 720},
        {"analysis_seconds": 10},
    ],
)
def test_a_quote_of_other_work_is_refused_and_nothing_changes(api, project, asked):
    quote_id = quoted(api, **asked)
    with nothing_changes():
        refused = order(api, project, quote_id=quote_id)
        assert_problem(refused, 409, "quote_mismatch")


def test_each_line_pays_once_and_the_refusal_names_what_it_paid_for(api, project):
    quote_id = quoted(api, exports=[{"seconds": 10}, {"seconds": 20}, {"seconds": 61}])
    first = order(api, project, quote_id=quote_id).json()
    assert order(api, project, quote_id=quote_id).status_code == 201
    with nothing_changes():
        body = assert_problem(order(api, project, quote_id=quote_id), 409, "quote_used")
    assert body["existing"] == first["id"]
    longer = order(api, project, seconds=70, quote_id=quote_id)
    assert longer.json()["credits"]["reserved"] == 2


def test_a_refused_order_leaves_the_quote_as_it_was(api, project):
    quote_id = quoted(api, export_seconds=10)
    assert_problem(
        order(api, project, quote_id=quote_id, max_credits=0), 409, "max_credits_exceeded"
    )
    assert order(api, project, quote_id=quote_id).status_code == 201


def test_credits_that_are_not_there_leave_it_too(anonymous):
    org = make_organization(credits_=0)
    client, project = make_client(org), make_project(org)
    quote_id = quoted(client, export_seconds=10)
    assert_problem(order(client, project, quote_id=quote_id), 402, "insufficient_credits")
    make_grant(org, 1)
    assert order(client, project, quote_id=quote_id).status_code == 201


@pytest.mark.parametrize(("after", "status"), [(-0.001, 201), (0, 409), (0.001, 409)])
def test_a_quote_ends_on_the_microsecond(api, project, after, status):
    quote_id = quoted(api, export_seconds=10)
    ends = CreditQuote.objects.get().expires_at
    with time_machine.travel(ends + datetime.timedelta(seconds=after), tick=False):
        answer = order(api, project, quote_id=quote_id)
    assert answer.status_code == status
    if status == 409:
        assert_problem(answer, 409, "quote_expired")


def test_a_quote_of_another_organization_is_none(api, project):
    client = make_client(make_organization())
    foreign = quoted(client, export_seconds=10)
    assert_not_told_apart(lambda pk: order(api, project, quote_id=str(pk)), foreign)


def test_the_same_request_again_takes_no_second_line(api, project):
    quote_id = quoted(api, export_seconds=10)
    headers = {"HTTP_IDEMPOTENCY_KEY": "once"}
    body = {"project": str(project.pk), "start": 0, "end": 10, "quote_id": quote_id}
    first, again = (api.post(EXPORTS, body, **headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again["Idempotent-Replayed"] == "true"
    assert Export.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("lines", [1, 3])
def test_of_orders_at_the_same_moment_as_many_succeed_as_there_are_lines(lines):
    org = make_organization(credits_=20)
    project = make_project(org)
    quote_id = quoted(make_client(org), exports=[{"seconds": 10}] * lines)
    client = make_client(org)
    answers = run_together(6, lambda _: order(client, project, quote_id=quote_id))
    codes = Counter(getattr(each, "status_code", each) for each in answers)
    assert codes == {201: lines, 409: 6 - lines}
    used = [line["used_by"] for line in CreditQuote.objects.get().lines]
    assert sorted(used) == sorted(str(pk) for pk in Export.objects.values_list("pk", flat=True))
    assert funds(org).held == lines


@pytest.mark.parametrize(("older", "left"), [(-1, 1), (1, 0)])
def test_quotes_are_forgotten_a_week_after_they_ended(api, older, left):
    quoted(api, export_seconds=10)
    ended = timezone.now() - quotes.RETENTION - datetime.timedelta(minutes=older)
    CreditQuote.objects.update(expires_at=ended)
    forget_old_quotes(0)
    assert CreditQuote.objects.count() == left


def test_more_of_them_than_one_batch_are_forgotten_in_one_run(api, monkeypatch):
    monkeypatch.setattr(quotes, "BATCH", 2)
    for _ in range(5):
        quoted(api, export_seconds=10)
    CreditQuote.objects.update(expires_at=timezone.now() - datetime.timedelta(days=30))
    forget_old_quotes(0)
    assert CreditQuote.objects.count() == 0


# --- max_credits ----------------------------------------------------------------------


@pytest.mark.parametrize(("most", "status"), [(1, 409), (2, 201), (3, 201)])
def test_an_export_costs_no_more_than_the_order_allows(api, project, most, status):
    answer = order(api, project, seconds=61, max_credits=most)
    assert answer.status_code == status


def test_what_costs_more_is_refused_with_both_numbers_and_nothing_is_kept(
    api, organization, project, video
):
    failed = make_project(organization, status="FAILED", duration=61)
    broken = make_export(project, status="FAILED")
    before = funds(organization)
    headers = {"HTTP_IDEMPOTENCY_KEY": "again"}
    with nothing_changes():
        body = assert_problem(
            order(api, project, seconds=61, max_credits=1), 409, "max_credits_exceeded"
        )
        assert (body["needed"], body["max_credits"]) == (2, 1)
        refused = api.post(f"{PROJECTS}/{failed.pk}/retry", {"max_credits": 1}, **headers)
        assert_problem(refused, 409, "max_credits_exceeded")
        refused = api.post(f"{EXPORTS}/{broken.pk}/retry", {"max_credits": 0}, **headers)
        assert_problem(refused, 409, "max_credits_exceeded")
        assert_problem(upload(api, video, max_credits=0), 409, "max_credits_exceeded")
    assert funds(organization) == before
    # The key was not used up: the same may be sent again with another bound.
    assert (
        api.post(f"{PROJECTS}/{failed.pk}/retry", {"max_credits": 2}, **headers).status_code == 200
    )
    assert upload(api, video, max_credits=1).status_code == 201


def test_the_bound_holds_for_the_price_of_the_day_not_for_that_of_a_quote_before(
    api, project, settings
):
    dearer(settings)
    assert_problem(order(api, project, max_credits=2), 409, "max_credits_exceeded")
    assert order(api, project, max_credits=3).status_code == 201


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"max_credits": -1}, "/max_credits"),
        ({"max_credits": 1.5}, "/max_credits"),
        ({"max_credits": None}, "/max_credits"),
        ({"quote_id": "x"}, "/quote_id"),
        ({"quote_id": None}, "/quote_id"),
    ],
)
def test_a_bound_that_is_none_is_refused(api, project, more, field):
    with nothing_changes():
        assert invalid_fields(order(api, project, **more)) == {field}


def test_an_upload_that_was_sent_before_with_another_bound_is_another_request(api, video):
    headers = {"HTTP_IDEMPOTENCY_KEY": "upload"}

    def send(**more: Any) -> Any:
        form = {"file": io.BytesIO(video), **more}
        form["file"].name = "talk.mp4"
        return api.post(PROJECTS, form, format="multipart", **headers)

    assert send(max_credits=5).status_code == 201
    assert send(max_credits=5)["Idempotent-Replayed"] == "true"
    assert_problem(send(max_credits=6), 422, "idempotency_key_reused")


def test_a_moment_can_be_ordered_with_a_quote(api, project):
    moment = make_moment(project)
    quote_id = quoted(api, export_seconds=moment.duration)
    answer = api.post(EXPORTS, {"moment": str(moment.pk), "quote_id": quote_id})
    assert answer.status_code == 201
    assert uuid.UUID(answer.json()["id"])


@pytest.mark.django_db(transaction=True)
def test_a_retry_and_a_batch_under_one_quote_wait_for_each_other_and_never_deadlock():
    """Both lock the project first, and then the quote."""
    organization = make_organization(credits_=100)
    failed = make_project(organization, status="FAILED", duration=60.0)
    quote_id = uuid.UUID(quoted(make_client(organization), analysis_seconds=60))
    terms = quotes.Terms(quote_id=quote_id)

    def act(number: int) -> Any:
        if number == 0:
            return job_services.retry_job(job=failed, actor="tests", terms=terms)
        with transaction.atomic():
            lock_clippable(organization, project_ids=[failed.pk], moment_ids=[])
            begun.set()
            until_a_lock_is_waited_for()
            return quotes.lock_quote(organization, quote_id)

    begun = threading.Event()

    def in_turn(number: int) -> Any:
        if number == 0:
            assert begun.wait(120)
        return act(number)

    retried, locked = run_together(2, in_turn)
    assert isinstance(locked, CreditQuote), locked
    assert getattr(retried, "status", retried) == "QUEUED"
