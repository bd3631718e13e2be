"""The rescue queue: what failed and what is stuck, in one list."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from procrastinate.contrib.django import app

from clipforge.devtools.query_plans.explain import captured, cost_of
from clipforge.devtools.testing.factories import (
    make_export,
    make_organization,
    make_project,
    make_user,
)
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.devtools.testing.state import lapse_lease
from clipforge.jobs import failures, lifecycle
from clipforge.jobs.queue import QueueEntry, QueueEvent
from clipforge.orgs.models import Organization
from clipforge.staff.work import selectors as work_selectors
from clipforge.staff.work.selectors import (
    HOLD,
    Filters,
    RescuePage,
    RescuePosition,
    RescueRow,
    State,
)
from credits.models import CreditHold
from exports.models import Export
from projects.models import Project

pytestmark = pytest.mark.django_db

URL = "/admin/rescue/"
MOST_QUERIES = 12
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def engineer() -> Client:
    return signed_in(make_staff("engineer"))


def sql(statement: str, *params: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchone()[0] if cursor.description else None


def make_worker(*, silent_for: float = 0) -> int:
    """A worker of the queue that was last heard of so many seconds ago."""
    pk: int = sql(
        "INSERT INTO procrastinate_workers (last_heartbeat)"
        " VALUES (clock_timestamp() - make_interval(secs => %s)) RETURNING id",
        silent_for,
    )
    return pk


def job_of(item: Any) -> Any:
    return QueueEntry.objects.get(**{f"args__{item.REFERENCE_TYPE}_id": str(item.pk)})


def drop_job(item: Any) -> None:
    sql("DELETE FROM procrastinate_jobs WHERE id = %s", job_of(item).pk)


def orphan_job(item: Any, worker: int | None) -> Any:
    """Its job is being done, by a worker that does not answer."""
    job = job_of(item)
    sql(
        "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE id = %s",
        worker,
        job.pk,
    )
    return job


def make_failed_job(task: str = "credits.expire", **args: Any) -> Any:
    """A job that failed for good, as procrastinate leaves it."""
    app.configure_task(task, queue="maintenance").defer(**{"timestamp": 0, **args})
    job = QueueEntry.objects.latest("id")
    sql("UPDATE procrastinate_jobs SET status = 'doing', attempts = 1 WHERE id = %s", job.pk)
    sql("SELECT procrastinate_finish_job_v1(%s, 'failed', false)", job.pk)
    return job


def leave_hold(project: Project) -> CreditHold:
    """The work ended, and its hold was left behind."""
    Project.objects.filter(pk=project.pk).update(status="FAILED", finished_at=timezone.now())
    assert project.hold is not None
    return project.hold


def queued_since(item: Any, age: datetime.timedelta) -> None:
    type(item).objects.filter(pk=item.pk).update(queued_at=timezone.now() - age)


def find(**filters: Any) -> RescuePage:
    return work_selectors.find(Filters(**filters))


def states(found: RescuePage) -> list[tuple[str, State]]:
    return [(row.place.kind, row.state) for row in found.rows]


def only(found: RescuePage) -> RescueRow:
    (row,) = found.rows
    return row


# --- what is in it --------------------------------------------------------------------


def test_work_that_goes_well_is_not_in_it():
    make_worker()
    for status in ("UPLOADED", "QUEUED", "ANALYZING", "READY", "EMPTY", "CANCELLED"):
        make_project(status=status)
    for status in ("QUEUED", "RENDERING", "READY", "CANCELLED", "EXPIRED"):
        make_export(status=status)
    assert find().rows == []


def test_failed_work_says_why_and_what_became_of_its_credits():
    project = make_project(status="FAILED", title="Keynote")
    Project.objects.update(failure_detail="child ended with 1")
    row = only(find())
    assert (row.kind, row.state, row.title, row.org) == (
        "Project",
        State.FAILED,
        "Keynote",
        project.org,
    )
    assert (row.status, row.error_code, row.sentence) == (
        "FAILED",
        "timed_out",
        "It took too long.",
    )
    assert (row.attempts, row.detail, row.actions) == (1, "child ended with 1", ("retry",))
    assert row.hold is not None
    assert (row.hold.amount, row.hold.status) == (1, "RELEASED")
    assert row.place.since == project.finished_at


def test_an_export_is_known_by_its_project():
    make_export(make_project(title="Keynote"), status="FAILED")
    assert only(find()).title == "0.0–10.0 s, 9:16 of Keynote"


def test_work_that_used_up_its_attempts_is_a_dead_letter():
    project = make_project(status="ANALYZING")
    lifecycle.fail(project, error=failures.WORKER_LOST, actor="test")
    make_project(status="FAILED")
    assert states(find(states=frozenset({State.DEAD}))) == [("project", State.DEAD)]
    assert states(find(states=frozenset({State.FAILED}))) == [("project", State.FAILED)]
    assert only(find(states=frozenset({State.DEAD}))).place.pk == str(project.pk)


def test_a_job_that_failed_for_good_is_a_dead_letter():
    job = make_failed_job()
    row = only(find())
    assert (row.kind, row.state, row.title, row.org) == (
        "Queue entry",
        State.DEAD,
        "credits.expire",
        None,
    )
    assert (row.attempts, row.actions) == (job.attempts + 2, ("retry",))
    assert row.place.since == QueueEvent.objects.filter(job=job).latest("id").at
    assert str(job.pk) in row.sentence


def test_running_work_past_its_lease_is_stuck(settings):
    settings.WORK_LEASE_SECONDS = 60
    project = make_project(status="ANALYZING")
    lapse_lease(project)
    row = only(find())
    assert (row.state, row.status, row.actions) == (
        State.LAPSED,
        "ANALYZING",
        ("requeue", "cancel"),
    )
    project.refresh_from_db()
    assert project.lease_expires_at is not None
    assert row.life_at == project.lease_expires_at - datetime.timedelta(seconds=60)


def test_work_queued_for_over_an_hour_is_stuck_where_somebody_works():
    project = make_project(status="QUEUED")
    queued_since(project, 2 * HOUR)
    assert find().rows == []  # no worker runs: that is the fault, and the page says so
    make_worker(silent_for=31)
    assert find().rows == []
    make_worker()
    assert states(find()) == [("project", State.WAITING)]
    queued_since(project, HOUR - datetime.timedelta(minutes=1))
    assert find().rows == []


def test_queued_work_without_a_job_is_stuck_whether_or_not_somebody_works():
    export = make_export(status="QUEUED")
    queued_since(export, datetime.timedelta(minutes=2))
    assert find().rows == []
    drop_job(export)
    assert states(find()) == [("export", State.UNQUEUED)]
    make_worker()
    queued_since(export, 2 * HOUR)
    assert states(find()) == [("export", State.UNQUEUED)]  # which says more than that it waits


def test_a_job_of_an_earlier_attempt_is_no_job():
    project = make_project(status="QUEUED")
    queued_since(project, datetime.timedelta(minutes=2))
    Project.objects.update(fence=1)
    assert states(find()) == [("project", State.UNQUEUED)]


@pytest.mark.parametrize("silent_for", [31, None])
def test_a_job_whose_worker_is_gone_is_stuck_and_says_what_it_is_for(silent_for):
    project = make_project(status="QUEUED", title="Keynote")
    worker = None if silent_for is None else make_worker(silent_for=silent_for)
    job = orphan_job(project, worker)
    row = only(find())
    assert (row.state, row.org, row.title) == (
        State.ORPHANED,
        project.org,
        "projects.analyse of Keynote",
    )
    assert (row.key, row.actions) == (f"entry:{job.pk}", ("requeue",))


def test_a_job_whose_worker_is_alive_is_not_stuck():
    """Two of its signs of life were missed."""
    orphan_job(make_project(status="QUEUED"), make_worker(silent_for=20))
    assert find().rows == []


def test_a_hold_left_open_by_finished_work_is_stuck():
    hold = leave_hold(make_project(status="QUEUED"))
    found = find(kind=HOLD)
    row = only(found)
    assert (row.state, row.hold, row.actions) == (State.HELD, hold, ("release",))
    # And the work itself says that it has credits left open.
    assert only(find(kind="project")).actions == ("retry", "release")


def test_a_hold_whose_work_is_gone_is_stuck():
    project = make_project(status="QUEUED")
    Project.objects.all().delete()
    assert only(find()).hold == project.hold


def test_holds_of_open_work_and_of_what_is_no_work_of_ours_are_none_of_its_business():
    make_project(status="QUEUED")
    make_export(status="RENDERING")
    for reference in ("", "something"):
        hold = leave_hold(make_project(status="QUEUED"))
        CreditHold.objects.filter(pk=hold.pk).update(reference_id=reference)
    assert find(kind=HOLD).rows == []


# --- filters and pages ----------------------------------------------------------------


@pytest.fixture
def everything() -> Organization:
    """One of each sort, of organizations of their own; returns that of the failed export."""
    make_worker()
    make_project(status="FAILED")
    lapse_lease(make_project(status="ANALYZING"))
    queued_since(make_project(status="QUEUED"), 2 * HOUR)
    lost = make_export(status="QUEUED")
    queued_since(lost, HOUR)
    drop_job(lost)
    make_failed_job()
    orphan_job(make_project(status="QUEUED"), None)
    leave_hold(make_project(status="QUEUED"))
    failed = make_export(status="FAILED")
    Export.objects.filter(pk=failed.pk).update(error_code="worker_lost")
    return failed.org


def test_everything_is_in_one_list_the_latest_first(everything):
    found = find()
    assert sorted(states(found)) == sorted(
        [
            ("project", State.FAILED),
            ("project", State.FAILED),
            ("project", State.LAPSED),
            ("project", State.WAITING),
            ("export", State.UNQUEUED),
            ("export", State.DEAD),
            ("entry", State.DEAD),
            ("entry", State.ORPHANED),
            ("hold", State.HELD),
        ]
    )
    since = [row.place.since for row in found.rows]
    assert since == sorted(since, reverse=True)
    assert (found.older, found.capped) == (None, [])


def test_it_can_be_asked_for_a_kind_a_state_a_code_or_an_organization(everything):
    assert len(find(kind="project").rows) == 4
    assert len(find(states=work_selectors.STUCK).rows) == 5
    assert states(find(error_code="worker_lost")) == [("export", State.DEAD)]
    assert states(find(org=everything.pk)) == [("export", State.DEAD)]
    assert states(find(error_code="timed_out")) == [("project", State.FAILED)]
    assert find(org=uuid.uuid4()).rows == []


def test_what_an_organization_has_is_found_by_it_whatever_others_have(monkeypatch):
    project = make_project(status="QUEUED")
    orphan_job(project, None)
    hold = leave_hold(make_project(project.org, status="QUEUED"))
    # Of others there are more than a page has, and later ones.
    monkeypatch.setattr(work_selectors, "PAGE", 3)
    for _ in range(4):
        make_failed_job()
    orphan_job(make_project(status="QUEUED"), None)
    leave_hold(make_project(status="QUEUED"))
    found = find(org=project.org.pk)
    assert states(found) == [
        ("project", State.FAILED),
        ("hold", State.HELD),
        ("entry", State.ORPHANED),
    ]
    assert found.rows[1].hold == hold
    assert found.older is None


def test_pages_show_each_failure_once_also_those_of_one_moment(monkeypatch):
    monkeypatch.setattr(work_selectors, "PAGE", 3)
    org = make_organization()
    project = make_project(org)
    for _ in range(4):
        make_project(org, status="FAILED")
        make_export(project, status="FAILED")
    moment = timezone.now()
    Project.objects.filter(status="FAILED").update(finished_at=moment)
    Export.objects.filter(status="FAILED").update(finished_at=moment)
    seen, after = [], None
    while True:
        found = find(after=after)
        seen += [row.key for row in found.rows]
        if (after := found.older) is None:
            break
        assert RescuePosition.parse(str(after)) == after
    assert len(seen) == len(set(seen)) == 8
    assert len(found.rows) == 2


def test_of_what_should_be_rare_no_more_than_the_cap_is_read_and_the_page_says_so(
    monkeypatch, engineer
):
    monkeypatch.setattr(work_selectors, "CAPPED", 2)
    for _ in range(2):
        make_failed_job()
    assert find().capped == []
    make_failed_job()
    found = find()
    assert (found.capped, len(found.rows)) == ([State.DEAD], 3)
    text = engineer.get(URL).content.decode()
    assert "More than 2 of a sort: given up." in text


# --- the page -------------------------------------------------------------------------


def test_the_page_takes_12_queries_at_most_whatever_is_in_it(everything, engineer):
    for url in (URL, f"{URL}?org={everything.pk}", f"{URL}?state=stuck&kind=project"):
        with CaptureQueriesContext(connection) as queries:
            assert engineer.get(url).status_code == 200
        texts = "\n".join(query["sql"][:150] for query in queries)
        assert len(queries) <= MOST_QUERIES, f"{len(queries)}:\n{texts}"


@pytest.mark.usefixtures("vacuumed")
def test_no_statement_of_it_reads_a_whole_table(everything):
    # Of few rows the planner reads any index, or all of them, and sorts: here it may not.
    for way in ("seqscan", "bitmapscan", "sort"):
        sql(f"SET LOCAL enable_{way} = off")
    with captured() as statements:
        find()
    cost = cost_of(statements)
    # Its rows are few, and workers even fewer.
    assert cost.scans <= {"procrastinate_workers"}
    assert {
        "projects_project_failed",
        "exports_export_failed",
        "projects_project_leases",
        "projects_project_queue",
        "staff_jobs_failed",
        "credits_hold_expiry",
    } <= cost.indexes


@pytest.mark.usefixtures("vacuumed")
def test_however_long_the_queue_is_only_the_jobs_of_what_is_looked_at_are_read():
    queued_since(make_project(status="QUEUED"), datetime.timedelta(minutes=2))
    sql(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args)"
        " SELECT 'render', 'exports.render', jsonb_build_object('export_id', n, 'fence', 0)"
        " FROM generate_series(1, 3000) AS n"
    )
    sql("ANALYZE procrastinate_jobs")
    with captured() as statements:
        assert find(states=frozenset({State.UNQUEUED})).rows == []
    cost = cost_of(statements)
    assert "staff_jobs_of_work" in cost.indexes
    assert cost.read < 20


@pytest.mark.usefixtures("vacuumed")
def test_a_code_and_an_organization_have_indexes_of_their_own(everything):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
    for filters, index in (
        ({"error_code": "timed_out"}, "projects_project_failed_code"),
        (
            {"org": everything.pk, "states": frozenset({State.FAILED, State.DEAD})},
            "exports_export_failed_org",
        ),
    ):
        with captured() as statements:
            find(**filters)
        assert index in cost_of(statements).indexes


def test_what_customers_wrote_is_shown_as_they_wrote_it(engineer):
    org = make_organization(name="<script>alert(1)</script>")
    make_project(org, status="FAILED", title="<img src=x onerror=alert(2)>")
    Project.objects.update(failure_detail="<b>moov</b>", error_message="<i>why</i>")
    text = engineer.get(URL).content.decode()
    for raw in ("<script>alert", "<img src=x", "<b>moov", "<i>why"):
        assert raw not in text
    assert "&lt;b&gt;moov&lt;/b&gt;" in text


def test_the_page_says_that_no_worker_is_alive(engineer):
    assert "None has been seen." in engineer.get(URL).content.decode()
    make_worker(silent_for=3600)
    text = engineer.get(URL).content.decode()
    assert "cf-badge--bad" in text
    assert "No worker is alive" in text
    assert "1\xa0hour ago" in text
    make_worker()
    text = engineer.get(URL).content.decode()
    assert "No worker is alive" not in text
    assert "1 process alive" in text


@pytest.mark.parametrize(
    "query",
    [
        "kind=nonsense",
        "state=nonsense",
        "code=nonsense",
        "org=nonsense",
        "after=nonsense",
        "after=2026-01-01T00:00:00+00:00+project+nonsense",
        "after=2026-01-01T00:00:00%2B00:00+project+nonsense",
        "after=%00",
        "org=d406f194-393d-48e4-97bf-ea055ab69603",
    ],
)
def test_a_filter_that_makes_no_sense_is_answered_with_a_page(engineer, query):
    make_project(status="FAILED")
    assert engineer.get(f"{URL}?{query}").status_code == 200


def test_each_role_sees_the_list_and_the_buttons_of_what_it_may_do(everything):
    buttons = {
        role: [
            action
            for action in ("retry", "requeue", "cancel", "release")
            if f'name="action" value="{action}"'
            in signed_in(make_staff(role)).get(URL).content.decode()
        ]
        for role in ("support", "finance", "engineer", "admin")
    }
    all_of_them = ["retry", "requeue", "cancel", "release"]
    assert buttons == {
        "support": ["retry"],
        "finance": [],
        "engineer": all_of_them,
        "admin": all_of_them,
    }


def test_staff_without_a_role_are_refused_and_strangers_sent_to_sign_in():
    client = Client()
    client.force_login(make_user(is_staff=True))
    assert client.get(URL).status_code == 403
    assert Client().get(URL)["Location"] == f"/admin/login/?next={URL}"
    assert signed_in(make_staff("support")).post(URL).status_code == 405


# --- the queue's own pages --------------------------------------------------------------


def test_the_list_of_jobs_has_no_actions_for_anybody():
    make_failed_job()
    staff = Client()
    staff.force_login(make_user(is_staff=True, is_superuser=True))
    url = "/admin/procrastinate/procrastinatejob/"
    text = staff.get(url).content.decode()
    assert "credits.expire" in text
    assert 'name="action"' not in text
    job = QueueEntry.objects.get()
    for action in ("retry", "cancel", "abort", "delete_selected"):
        staff.post(url, {"action": action, "_selected_action": [job.pk], "index": 0})
    assert QueueEntry.objects.values_list("status", flat=True).get() == "failed"
    assert staff.post(f"{url}{job.pk}/change/", {}).status_code == 403
    assert staff.post(f"{url}{job.pk}/delete/", {"post": "yes"}).status_code == 403
    assert staff.post(f"{url}add/", {}).status_code == 403
