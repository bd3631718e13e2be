"""Jobs for customers: submit, retry, cancel, queue position."""

from __future__ import annotations

import contextlib
import datetime
import uuid
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.forms.models import model_to_dict
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.exceptions import TaskNotFound

from clipforge.common.errors import Conflict, NotFound
from clipforge.common.models import uuid7
from clipforge.devtools.testing.factories import (
    make_api_key,
    make_export,
    make_grant,
    make_organization,
    make_project,
    make_tier_limits,
)
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.state import (
    Funds,
    announced_versions,
    funds,
    jobs_of,
    nothing_changes,
)
from clipforge.jobs import caching, lifecycle, places
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs import services as job_services
from clipforge.jobs.errors import TooManyAtOnce
from clipforge.jobs.models import JobPlace, JobShare
from clipforge.orgs.models import Organization, Tier
from credits import services as credit_services
from credits.errors import InsufficientCredits, KeyCapReached
from credits.models import CreditHold, CreditTransaction, TransactionType
from credits.pricing import Charge
from credits.quotes import Terms
from exports.models import Export
from projects.models import Project

pytestmark = pytest.mark.django_db

STATUSES = ["UPLOADED", "QUEUED", "ANALYZING", "READY", "EMPTY", "FAILED", "CANCELLED"]


def charge(amount: int) -> Charge:
    return Charge(amount, 1, "test", {"minutes": amount})


def unsaved(org: Organization) -> Project:
    return Project(
        id=uuid7(),
        org=org,
        title="Talk",
        size=1,
        duration=60,
        width=640,
        height=360,
        has_audio=True,
    )


def submit(item: Project, amount: int = 3) -> None:
    lifecycle.submit(item, charge=charge(amount), reason="for a test", actor="test")


def retry(item: Project, amount: int = 3) -> Project:
    return lifecycle.retry(item, charge=charge(amount), reason="for a test", actor="test")


# --- submit ---------------------------------------------------------------------------


def test_submitted_work_is_queued_with_a_hold_of_its_price_and_one_job():
    project = unsaved(make_organization(credits_=5))
    submit(project)
    stored = Project.objects.get(pk=project.pk)
    assert (stored.status, stored.fence, stored.attempts) == ("QUEUED", 0, 0)
    assert stored.queued_at == project.queued_at
    assert stored.hold is not None
    assert (stored.hold.status, stored.hold.amount, stored.hold.fence) == ("HELD", 3, 0)
    assert (stored.hold.reference_type, stored.hold.reference_id) == ("project", str(project.pk))
    assert jobs_of(project) == [0]
    assert funds(project.org) == Funds(available=2, held=3)


def test_a_job_that_cannot_be_paid_leaves_no_row_no_hold_and_no_job():
    project = unsaved(make_organization(credits_=2))
    with nothing_changes(), pytest.raises(InsufficientCredits) as refusal:
        submit(project)
    assert refusal.value.extra == {"needed": 3, "available": 2}
    assert jobs_of(project) == []


def test_a_key_is_told_what_is_left_of_its_cap():
    org = make_organization(credits_=5)
    key = make_api_key(org, monthly_cap=2).api_key
    actor = f"key:{key.prefix}"
    with nothing_changes(), pytest.raises(KeyCapReached) as refusal:
        lifecycle.submit(unsaved(org), charge=charge(3), reason="for a test", actor=actor)
    told = refusal.value.extra
    assert (told["needed"], told["available"], told["cap"]) == (3, 2, 2)


def test_submitting_and_cancelling_are_news_of_the_balance_once():
    project = unsaved(make_organization(credits_=5))
    with announced_versions() as heard:
        submit(project)
        assert heard == [2]
        for _ in range(2):
            lifecycle.cancel(project, actor="test")
            assert heard == [2, 3]


def test_a_place_of_a_kind_that_this_release_does_not_know_gets_its_turn_without_an_entry():
    org = make_organization(credits_=6, tier="FREE")
    first, following = unsaved(org), unsaved(org)
    submit(first)
    JobPlace.objects.create(job=uuid7(), kind="of the next release", org=org, fence=0)
    JobShare.objects.filter(pk=org.pk).update(waiting=1)
    make_tier_limits(concurrent_jobs=3)
    submit(following)
    assert JobPlace.objects.filter(org=org, tag__isnull=False).count() == 3
    assert (jobs_of(first), jobs_of(following)) == ([0], [0])
    assert ProcrastinateJob.objects.filter(status="todo").count() == 2


def test_a_job_that_cannot_be_queued_leaves_no_row_and_no_hold(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(app.tasks, "projects.analyse")
    project = unsaved(make_organization(credits_=5))
    with nothing_changes(), pytest.raises(TaskNotFound):
        submit(project)


def test_a_fault_after_submit_in_the_same_transaction_leaves_no_job_no_hold_and_no_row():
    project = unsaved(make_organization(credits_=5))

    @transaction.atomic
    def request() -> None:
        submit(project)
        assert jobs_of(project) == [0]
        raise RuntimeError("something later in the request failed")

    with nothing_changes(), pytest.raises(RuntimeError, match="later"):
        request()
    assert jobs_of(project) == []


def test_submitting_is_one_statement():
    project = unsaved(make_organization(credits_=5))
    with statements() as said:
        submit(project)
    assert said == [
        "SELECT jobs_submit",  # hold, account and lots, the row, its turn, its task
    ]


def test_what_is_submitted_is_stored_as_it_is():
    project = unsaved(make_organization(credits_=5))
    project.title = 'Ünïcode "quoted" \\ 100 % \U0001f3ac'
    project.duration = 12.345678901234567
    project.metadata = {"a": "b", "ü": "'"}
    project.warnings = [{"code": "x", "message": "X."}]
    project.expires_at = datetime.datetime(2027, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC)
    submit(project)
    stored = Project.objects.get(pk=project.pk)
    assert project.hold == stored.hold
    assert model_to_dict(stored) == model_to_dict(project)
    for name in ("created_at", "updated_at", "queued_at", "metadata", "warnings", "expires_at"):
        assert getattr(stored, name) == getattr(project, name)
    assert stored.version > 0
    assert (project._state.adding, project._state.db) == (False, "default")


def test_a_job_that_is_asked_for_is_news_of_its_lists_and_one_that_is_refused_is_none(
    monkeypatch: pytest.MonkeyPatch,
):
    told: list[Any] = []
    monkeypatch.setattr(caching, "added", lambda *args, **_options: told.append(args[-1]))
    org = make_organization(credits_=5)
    with pytest.raises(InsufficientCredits):
        submit(unsaved(org), 6)
    assert told == []
    submit(unsaved(org))
    assert told == [org.pk]


def test_a_column_is_looked_up_as_the_row_is_inserted():
    first = make_export(make_project(make_organization(credits_=5)))
    again = Export(org=first.org, project=first.project, start=0.0, end=10.0, resolution=480)
    twin = Export.objects.filter(pk=first.pk).values_list("pk", flat=True)[:1]
    job_services.submit_job(job=again, actor="test", looked_up={"duplicate_of": twin})
    assert Export.objects.get(pk=again.pk).duplicate_of == first.pk


@pytest.mark.django_db(transaction=True)  # which the database ends
def test_a_row_that_is_there_already_is_not_submitted():
    project = make_project(make_organization(credits_=5), status="UPLOADED")
    with nothing_changes(), pytest.raises(IntegrityError, match="projects_project_pkey"):
        submit(project)


def test_no_more_jobs_wait_or_run_than_the_tier_allows():
    make_tier_limits(concurrent_jobs=1, queued_jobs=1)
    org = make_organization(tier=Tier.STARTER, credits_=10)
    failed = make_project(org, status="FAILED")
    make_project(org, status="ANALYZING")
    job_services.submit_job(job=unsaved(org), actor="test")
    refused = TooManyAtOnce(running=2, quota=2)
    with nothing_changes(), pytest.raises(TooManyAtOnce) as refusal:
        job_services.submit_job(job=unsaved(org), actor="test")
    assert refusal.value.extra == refused.extra
    with nothing_changes(), pytest.raises(TooManyAtOnce) as refusal:
        job_services.retry_job(job=failed, actor="test")
    assert refusal.value.extra == refused.extra


# --- retry ----------------------------------------------------------------------------


@pytest.mark.parametrize("quoted", [False, True])
def test_a_retry_locks_the_row_before_its_quote_and_without_one_once(quoted: bool):
    project = make_project(make_organization(credits_=10), status="FAILED")
    quote_id = uuid.uuid4() if quoted else None
    with CaptureQueriesContext(connection) as queries, contextlib.suppress(NotFound):
        job_services.retry_job(job=project, actor="test", terms=Terms(quote_id=quote_id))
    locks = [each["sql"] for each in queries if "FOR UPDATE" in each["sql"]]
    assert [sql.count('FROM "projects_project"') for sql in locks][:2] == [1, 0][: len(locks)]
    assert len([sql for sql in locks if 'FROM "projects_project"' in sql]) == 1


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_work_without_a_result_is_queued_again_under_the_same_id(status: str):
    project = make_project(make_organization(credits_=10), status=status)
    before = Project.objects.get(pk=project.pk)
    assert funds(project.org) == Funds(available=11, held=0)

    again = retry(project)

    assert again.pk == project.pk
    stored = Project.objects.get(pk=project.pk)
    assert (stored.status, stored.fence, stored.attempts) == ("QUEUED", before.fence + 1, 0)
    assert (stored.error_code, stored.error_message, stored.stage) == ("", "", "")
    assert (stored.progress, stored.started_at, stored.finished_at) == (0, None, None)
    assert stored.hold is not None
    assert (stored.hold.status, stored.hold.amount) == ("HELD", 3)
    assert stored.hold.fence == stored.fence
    assert jobs_of(project) == [0, stored.fence]
    assert funds(project.org) == Funds(available=8, held=3)


@pytest.mark.parametrize("status", sorted({*STATUSES} - {"FAILED", "CANCELLED"}))
def test_work_that_is_open_or_has_a_result_cannot_be_retried(status: str):
    project = make_project(make_organization(credits_=10), status=status)
    with nothing_changes(), pytest.raises(Conflict, match=f"It is {status}") as refusal:
        retry(project)
    assert refusal.value.error_code == "wrong_state"


def test_a_failure_and_a_retry_cost_one_price():
    project = make_project(make_organization(credits_=9), status="FAILED")
    again = retry(project, amount=4)
    claimed = lifecycle.claim(Project, again.pk, fence=again.fence)
    assert claimed is not None
    assert lifecycle.succeed(claimed, status="READY", actor="worker")
    spends = CreditTransaction.objects.filter(type=TransactionType.SPEND)
    assert [(spend.amount, spend.reference_id) for spend in spends] == [(-4, str(project.pk))]
    assert funds(project.org) == Funds(available=6, held=0)


def test_a_retry_that_cannot_be_paid_changes_nothing():
    project = make_project(status="FAILED")
    with nothing_changes(), pytest.raises(InsufficientCredits) as refusal:
        retry(project, amount=5)
    assert refusal.value.extra == {"needed": 5, "available": 1}


def test_work_that_was_deleted_meanwhile_is_not_found():
    project = make_project(make_organization(credits_=10), status="FAILED")
    Project.objects.filter(pk=project.pk).delete()
    with nothing_changes():
        for act in (retry, lambda item: lifecycle.cancel(item, actor="test")):
            with pytest.raises(NotFound):
                act(project)


# --- cancel ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["QUEUED", "ANALYZING"])
def test_cancelling_open_work_gives_the_credits_back(status: str):
    project = make_project(make_organization(credits_=10), status=status)
    assert funds(project.org) == Funds(available=10, held=1)

    cancelled = lifecycle.cancel(project, actor="key:1234")

    assert (cancelled.status, cancelled.fence) == ("CANCELLED", project.fence + 1)
    assert cancelled.finished_at is not None
    assert cancelled.lease_expires_at is None
    assert cancelled.hold is not None
    assert (cancelled.hold.status, cancelled.hold.resolved_by) == ("RELEASED", "key:1234")
    assert funds(project.org) == Funds(available=11, held=0)


def test_a_cancel_gives_the_next_its_turn_and_one_of_an_unknown_kind_a_turn_without_an_entry():
    org = make_organization(credits_=6, tier="FREE")
    first, following = unsaved(org), unsaved(org)
    submit(first)
    submit(following)
    JobPlace.objects.create(job=uuid7(), kind="of the next release", org=org, fence=0)
    JobShare.objects.filter(pk=org.pk).update(waiting=2)
    assert jobs_of(following) == []
    lifecycle.cancel(first, actor="test")
    assert jobs_of(following) == [0]
    entries = ProcrastinateJob.objects.count()
    lifecycle.cancel(following, actor="test")
    assert JobPlace.objects.get(org=org).tag is not None
    assert ProcrastinateJob.objects.count() == entries


def test_those_behind_a_job_that_is_cancelled_before_it_began_move_up_and_their_entries_with_them():
    make_tier_limits(concurrent_jobs=3)
    org = make_organization(credits_=9)
    first, *others = (unsaved(org) for _ in range(3))
    for project in (first, *others):
        submit(project)

    def turns() -> list[Any]:
        places = JobPlace.objects.filter(job__in=[each.pk for each in others])
        return list(places.order_by("tag").values_list("tag", flat=True))

    before = turns()
    lifecycle.cancel(first, actor="test")
    after = turns()
    assert [tag < earlier for tag, earlier in zip(after, before, strict=True)] == [True, True]
    entries = ProcrastinateJob.objects.filter(
        args__project_id__in=[str(each.pk) for each in others]
    )
    assert sorted(-entry.priority for entry in entries) == after


def test_cancelling_what_is_cancelled_changes_nothing():
    project = make_project(status="CANCELLED")
    with nothing_changes():
        again = lifecycle.cancel(project, actor="test")
    assert again.status == "CANCELLED"
    assert again == project


@pytest.mark.parametrize("status", ["UPLOADED", "READY", "EMPTY", "FAILED"])
def test_what_is_not_open_cannot_be_cancelled(status: str):
    project = make_project(status=status)
    with nothing_changes(), pytest.raises(Conflict, match=f"It is {status} already"):
        lifecycle.cancel(project, actor="test")


@pytest.mark.parametrize("status", STATUSES)
def test_abandoning_settles_open_work_and_leaves_the_rest(status: str):
    project = make_project(make_organization(credits_=10), status=status)
    held_before = funds(project.org).held
    lifecycle.abandon(project, actor="test")
    project.refresh_from_db()
    assert project.status == ("CANCELLED" if status in {"QUEUED", "ANALYZING"} else status)
    assert held_before == (1 if status in {"QUEUED", "ANALYZING"} else 0)
    assert funds(project.org).held == 0


# --- the queue ------------------------------------------------------------------------


def test_the_position_counts_what_starts_before_of_all_organizations():
    first, second, third = (make_project(status="QUEUED") for _ in range(3))
    make_project(status="ANALYZING")
    assert [job_selectors.queue_position(item) for item in (first, second, third)] == [1, 2, 3]
    lifecycle.cancel(first, actor="test")
    assert [job_selectors.queue_position(item) for item in (second, third)] == [1, 2]


def test_what_does_not_wait_has_no_position_and_asks_nothing():
    projects = [make_project(status=status) for status in {*STATUSES} - {"QUEUED"}]
    with statements(control=True) as said:
        assert {job_selectors.queue_position(item) for item in projects} == {None}
    assert said == []


def test_positions_beyond_the_limit_are_not_counted_out(monkeypatch: Any):
    monkeypatch.setattr(places, "MAX_POSITION", 2)
    projects = [make_project(status="QUEUED") for _ in range(5)]
    assert [job_selectors.queue_position(item) for item in projects] == [1, 2, 3, 3, 3]


def test_work_that_comes_back_keeps_its_place_in_the_queue():
    first, second = make_project(status="ANALYZING"), make_project(status="QUEUED")
    assert lifecycle.hand_back(first)
    first.refresh_from_db()
    assert [job_selectors.queue_position(item) for item in (first, second)] == [1, 2]
    # And the queue does as it was promised.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (procrastinate_fetch_job_v2(ARRAY['analysis']::varchar[], NULL)).args"
            " ->> 'project_id'"
        )
        assert cursor.fetchall() == [(str(first.pk),)]


def test_a_reservation_that_lapsed_can_be_paid_again_by_a_retry():
    """Nothing of the first hold stands in the way of the second."""
    org = make_organization()
    project = make_project(org, status="QUEUED")
    assert project.hold_id is not None
    CreditHold.objects.filter(pk=project.hold_id).update(
        expires_at=timezone.now() - datetime.timedelta(seconds=1)
    )
    assert credit_services.expire_holds() == 1
    assert lifecycle.claim(Project, project.pk, fence=0) is None
    make_grant(org, 2)
    again = retry(project)
    assert again.status == "QUEUED"
    assert funds(org) == Funds(available=0, held=3)


def test_credits_are_reserved_for_open_jobs_only():
    for status in STATUSES:
        make_project(status=status)
    rows: Any = job_selectors.with_reserved(job_selectors.all_jobs(Project))
    reserved = {row.status: row.reserved for row in rows}
    assert reserved == {status: int(status in {"QUEUED", "ANALYZING"}) for status in STATUSES}


def test_a_job_that_is_queued_knows_its_position_without_asking_again():
    org = make_organization(credits_=10)
    asked = []
    for item in (unsaved(org) for _ in range(3)):
        submit(item)
        asked.append((item.ahead_when_queued, job_selectors.queue_position(item)))
    assert asked == [(0, 1), (1, 2), (2, 3)]
