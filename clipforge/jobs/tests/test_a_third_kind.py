"""A kind that registers itself appears everywhere: no shared module was told of it."""

from __future__ import annotations

import dataclasses
import datetime
import html
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from procrastinate.contrib.django import app

from clipforge.audit.models import AuditEntry
from clipforge.common import logs, storage
from clipforge.common.errors import Conflict, NotFound
from clipforge.devtools.query_plans.explain import Statement, captured, cost_of
from clipforge.devtools.query_plans.pages import pages
from clipforge.devtools.testing.factories import make_organization
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.devtools.testing.state import Funds, funds, lapse_lease
from clipforge.jobs import kinds, lifecycle, queue, registry, store_areas
from clipforge.jobs import services as job_services
from clipforge.jobs.kinds import JobKind, Preparation, RunControl
from clipforge.jobs.store_areas import Area
from clipforge.jobs.tests.third_kind import KIND, Transcript, third_kind
from clipforge.orgs.models import Organization
from clipforge.staff.dashboard import selectors as dashboard_selectors
from clipforge.staff.organizations import overview, timeline
from clipforge.staff.work import selectors as work_selectors
from clipforge.staff.work.selectors import Filters, State
from credits import reconciling
from credits.invariants import Breach
from projects.jobs import ANALYSIS

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kind")]

FIND, RESCUE, CONFIRM = "/admin/find/", "/admin/rescue/", "/admin/rescue/confirm/"


@pytest.fixture
def kind() -> Iterator[JobKind[Transcript]]:
    with third_kind() as registered:
        yield registered


@pytest.fixture
def org() -> Organization:
    return make_organization(name="Acme", credits_=10)


@pytest.fixture
def superuser() -> Client:
    return signed_in(make_staff("superuser"))


def submit(org: Organization, title: str = "Talk") -> Transcript:
    transcript = Transcript(org=org, title=title)
    job_services.submit_job(job=transcript, actor="test")
    return transcript


def work(transcript: Transcript) -> Transcript:
    """Let a worker take the next entry of its queues, do it and be done with it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, task_name, args FROM procrastinate_fetch_job_v2(%s::varchar[], NULL)",
            [kinds.job_queues()],
        )
        pk, task, arguments = cursor.fetchone()
        app.tasks[task](**json.loads(arguments))
        cursor.execute("SELECT procrastinate_finish_job_v1(%s, 'succeeded', true)", [pk])
    transcript.refresh_from_db()
    return transcript


def claimed(transcript: Transcript) -> Transcript:
    found = lifecycle.claim(Transcript, transcript.pk, fence=transcript.fence)
    assert found is not None
    return found


def words(response: Any) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return " ".join(html.unescape(text).split())


# --- the registration -------------------------------------------------------------------


@pytest.mark.parametrize("changed", [{}, {"task": "transcripts.other"}, {"model": ANALYSIS.model}])
def test_a_name_a_model_and_a_task_are_of_one_kind(changed: dict[str, Any]):
    with pytest.raises(ValueError, match="is registered already"):
        registry.register(dataclasses.replace(KIND, **changed))
    assert kinds.find_kind("transcript") is KIND
    assert [each.name for each in kinds.all_kinds()] == ["project", "export", "transcript"]


def test_what_is_not_registered_has_no_task():
    registry.unregister(KIND)
    try:
        assert kinds.find_kind("transcript") is None
        assert not [name for name in app.tasks if name.startswith("transcripts.")]
        with pytest.raises(LookupError):
            kinds.kind_of(Transcript)
    finally:
        registry.register(KIND)


def test_what_its_jobs_need_before_is_done_by_a_task_and_in_a_queue_of_its_own(
    org: Organization, caplog: pytest.LogCaptureFixture
):
    told: list[dict[str, Any]] = []

    def fetch(transcript: Transcript, control: RunControl) -> None:
        told.append(logs.context())
        Transcript.objects.filter(pk=transcript.pk).update(seconds=0)

    first = Preparation(
        queue="fetching", task="transcripts.fetch", is_due=lambda job: bool(job.seconds), run=fetch
    )
    prepared = dataclasses.replace(KIND, preparation=first)
    registry.unregister(KIND)
    registry.register(prepared)
    try:
        task: Any = app.tasks["transcripts.fetch"]
        assert (task.queue, task.retry_strategy) == ("fetching", registry.RETRY_EVERY_FAULT)
        transcript = submit(org)
        assert work(transcript).status == "QUEUED"  # handed over
        with pytest.raises(ValueError, match="badly formed"):
            task(job_id="not an id", fence=transcript.fence)
        assert "a job could not be prepared" in caplog.text
        logs.start_context(of="another")
        task(job_id=str(transcript.pk), fence=transcript.fence)
        fields = {"kind": "transcript", "job": str(transcript.pk), "org": str(org.pk)}
        assert told == [fields]
        logs.start_context(of="another")
        assert work(transcript).status == "READY"
        assert logs.context() == fields
    finally:
        registry.unregister(prepared)
        registry.register(KIND)
    assert "transcripts.fetch" not in app.tasks


# --- the worker and the sweeper ----------------------------------------------------------


def test_a_worker_takes_it_from_its_queue_runs_it_and_it_is_charged(org: Organization):
    transcript = submit(org)
    assert funds(org) == Funds(available=8, held=2)
    work(transcript)
    assert (transcript.status, transcript.charged, transcript.attempts) == ("READY", 2, 1)
    assert (transcript.stage, transcript.progress, transcript.size) == ("", 1, 10)
    assert funds(org) == Funds(available=8, held=0)


@pytest.mark.parametrize(
    ("title", "code"),
    [("Silence", "nothing_to_hear"), ("Whisper", "too_quiet"), ("Bug", "internal_error")],
)
def test_what_it_raises_is_the_failure_that_its_kind_says(org: Organization, title: str, code: str):
    transcript = work(submit(org, title))
    assert (transcript.status, transcript.error_code) == ("FAILED", code)
    assert "not charged" in transcript.error_message
    assert funds(org) == Funds(available=10, held=0)


def test_the_sweeper_takes_it_from_a_worker_that_stopped(org: Organization):
    transcript = claimed(submit(org))
    lapse_lease(transcript)
    app.tasks["transcripts.listen.sweep"](timestamp=0)
    transcript.refresh_from_db()
    assert (transcript.status, transcript.fence) == ("QUEUED", 2)
    crons = {task: each.cron for (task, _), each in app.periodic_registry.periodic_tasks.items()}
    assert crons["transcripts.listen.sweep"] == crons["projects.sweep"] == "* * * * * */15"


def test_a_task_that_cannot_even_claim_its_job_says_so_and_raises(
    caplog: pytest.LogCaptureFixture,
):
    with pytest.raises(ValueError, match="badly formed"):
        app.tasks["transcripts.listen"](job_id="not an id", fence=0)
    assert "a job could not be done" in caplog.text


def test_files_of_no_kind_are_removed_once_their_area_is_registered():
    area = Area(name="notes", row="note", model=Organization, size="stored_bytes", orphans_at=7)
    try:
        registry.register_area(area, maintenance="notes")
        assert area in store_areas.all_areas()
        assert app.periodic_registry.periodic_tasks["notes.remove_orphans", ""].cron == "7 * * * *"
        with pytest.raises(ValueError, match="is registered already"):
            registry.register_area(area, maintenance="other")
    finally:
        store_areas._others.pop("notes", None)
        app.tasks.pop("notes.remove_orphans", None)
        app.periodic_registry.periodic_tasks.pop(("notes.remove_orphans", ""), None)


def test_its_entry_moves_up_when_one_before_it_is_cancelled(org: Organization):
    org.tier = "STARTER"  # two at once, each takes 120
    org.save()
    first, second = submit(org), submit(org)

    def priority() -> Any:
        entries = queue.waiting_entries().filter(args__job_id=str(second.pk))
        return list(entries.values_list("priority", flat=True))

    assert priority() == [-120]
    lifecycle.cancel(first, actor="test")
    assert priority() == [0]


def test_files_of_none_are_removed_and_those_of_one_are_kept(org: Organization):
    transcript = submit(org)
    folders = [
        storage.path_of(f"{org.pk}/transcripts/{pk}")
        for pk in (transcript.pk, uuid.uuid4(), uuid.uuid4())
    ]
    a_day_ago = time.time() - 24 * 3600
    for folder, seconds in zip(folders, (-60, -60, 60), strict=True):
        folder.mkdir(parents=True)
        os.utime(folder, (a_day_ago + seconds, a_day_ago + seconds))
    app.tasks["transcripts.listen.remove_orphans"](timestamp=0)
    assert [folder.exists() for folder in folders] == [True, False, True]


# --- staff --------------------------------------------------------------------------------


def test_the_rescue_queue_lists_it_failed_lapsed_without_an_entry_and_orphaned(
    org: Organization, superuser: Client
):
    failed = work(submit(org, "Whisper"))
    lapsed = claimed(submit(org, "Lapsed"))
    lapse_lease(lapsed)
    lost = submit(org, "Lost")
    Transcript.objects.filter(pk=lost.pk).update(
        queued_at=timezone.now() - datetime.timedelta(minutes=2)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM procrastinate_jobs WHERE args ->> 'job_id' = %s", [str(lost.pk)]
        )
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = 'doing' WHERE args ->> 'job_id' = %s",
            [str(lapsed.pk)],
        )
    found = work_selectors.find(Filters(org=org.pk)).rows
    assert {(row.kind, row.state, row.title) for row in found} == {
        ("Transcript", State.FAILED, "Whisper"),
        ("Transcript", State.LAPSED, "Lapsed"),
        ("Transcript", State.UNQUEUED, "Lost"),
        ("Queue entry", State.ORPHANED, "transcripts.listen of Lapsed"),
    }
    text = words(superuser.get(RESCUE, {"kind": "transcript", "code": "too_quiet"}))
    assert "Transcript Whisper Acme" in text
    assert "It is too quiet." in text
    assert "Lapsed" not in text
    assert f"/admin/jobs/transcript/{failed.pk}/change/" in superuser.get(RESCUE).content.decode()


@pytest.mark.usefixtures("vacuumed")
def test_however_long_the_queue_is_its_entry_is_found_by_an_index(org: Organization):
    transcript = submit(org)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args)"
            " SELECT 'listening', 'transcripts.listen', jsonb_build_object('job_id', n, 'fence', 0)"
            " FROM generate_series(1, 3000) AS n"
        )
        cursor.execute("ANALYZE procrastinate_jobs")
    with captured() as statements:
        row = Transcript.objects.annotate(entry=queue.entry_of(KIND)).get(pk=transcript.pk)
    assert row.entry is not None  # type: ignore[attr-defined]

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append(Statement(sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        kinds.reorder(KIND, transcript.pk, transcript.fence, priority=-7)
    assert len(statements) == 2
    cost = cost_of(statements)
    assert "jobs_entries_of_jobs" in cost.indexes
    assert cost.read < 20


def test_staff_retry_it_at_its_price_and_the_audit_says_so(org: Organization, superuser: Client):
    transcript = work(submit(org, "Whisper"))
    asked = superuser.post(CONFIRM, {"action": "retry", "item": f"transcript:{transcript.pk}"})
    assert "Whisper Acme FAILED 2 reserved" in words(asked)
    (sealed,) = re.findall(r'name="plan" value="([^"]+)"', asked.content.decode())
    confirmed = {"plan": html.unescape(sealed), "reason": "the microphone was mended"}
    assert "1 done, 0 skipped." in words(superuser.post(CONFIRM, confirmed, follow=True))
    transcript.refresh_from_db()
    assert (transcript.status, transcript.fence) == ("QUEUED", 2)
    assert funds(org) == Funds(available=8, held=2)
    entry = AuditEntry.objects.get(verb="retry_work")
    assert (entry.object_type, entry.object_id) == ("jobs.transcript", str(transcript.pk))


def test_search_finds_it_by_its_id_and_by_how_its_title_begins(
    org: Organization, superuser: Client
):
    transcript = submit(org, "Keynote, uncut")
    page = f"/admin/jobs/transcript/{transcript.pk}/change/"
    for text in (str(transcript.pk), "keynote"):
        assert superuser.get(FIND, {"q": text}).headers["Location"] == page
    submit(org, "Keynote, cut")
    assert "Transcripts Keynote" in words(superuser.get(FIND, {"q": "keynote"}))


def test_the_timeline_tells_of_it_and_can_be_narrowed_to_it(org: Organization):
    work(submit(org, "Whisper"))
    (entry,) = timeline.timeline_page(org, kind="transcripts").entries
    assert entry.what == "Asked for the words of ‘Whisper’, 1:05 long"
    assert (entry.status, entry.state) == ("Failed: too_quiet", "bad")
    assert timeline.filters()["transcripts"] == "Transcripts"
    assert entry in timeline.timeline_page(org).entries
    assert timeline.position_of(entry.place.text) == entry.place


def test_the_page_of_its_organization_counts_it_and_lists_it(org: Organization, superuser: Client):
    work(submit(org, "Done"))
    work(submit(org, "Whisper"))
    claimed(submit(org, "Running"))
    submit(org, "Waiting")
    facts = overview.facts(org)
    assert (facts.waiting, facts.running, facts.failed_day, facts.failed_month) == (1, 1, 1, 1)
    assert facts.storage.sizes == {"sources": 0, "exports": 0, "transcripts": 10}
    assert overview.last_days(org)[-1].jobs == 4
    assert [row["title"] for row in overview.newest(org)["transcripts"]] == [
        *("Waiting", "Running", "Whisper", "Done")
    ]
    text = words(superuser.get(f"/admin/orgs/organization/{org.pk}/change/"))
    assert "Of State Length Created Waiting Queued 1:05" in text
    assert "10 bytes of transcripts" in text


def test_the_dashboard_counts_it(org: Organization, superuser: Client):
    lapse_lease(claimed(submit(org, "Lapsed")))
    submit(org, "Waiting")
    counts = dashboard_selectors.collect().counts
    assert counts is not None
    found = counts.jobs[-1]
    assert (found.kind, found.label) == ("transcript", "Transcriptions")
    assert (found.queued.value, found.running.value, found.lapsed.value) == (1, 1, 1)
    text = words(superuser.get("/admin/"))
    assert "Analyses Renders Transcriptions" in text
    assert "Given up: transcriptions" in text


# --- the ledger and the query plans ---------------------------------------------------------


@pytest.mark.breaks_ledger
def test_a_wrong_cost_of_it_is_a_breach(org: Organization):
    transcript = work(submit(org))
    assert reconciling.breaches() == []
    Transcript.objects.update(charged=7)
    says = f"transcript {transcript.pk}: charged is 7 but its hold captured 2"
    assert reconciling.breaches() == [Breach(8, org.pk, says)]


def test_its_plans_are_among_those_that_are_looked_at(org: Organization):
    submit(org)
    found = {page.name: page for page in pages() if "transcript" in page.name}
    assert {
        "lapsed transcripts",
        "aging transcripts, QUEUED",
        "aging transcripts, LISTENING",
        "queue position of transcript",
        "admin transcript",
        "admin transcript, one",
    } <= set(found)
    for page in found.values():
        page.run()


# --- what may be done about it ---------------------------------------------------------------


def test_it_is_cancelled_requeued_and_deleted_meanwhile_as_any_other(org: Organization):
    transcript = submit(org)
    again = job_services.requeue_job(job=transcript)
    assert (again.status, again.fence) == ("QUEUED", 1)
    cancelled = job_services.cancel_job(job=again, actor="test")
    assert cancelled.status == "CANCELLED"
    assert funds(org) == Funds(available=10, held=0)
    with pytest.raises(Conflict, match="It is CANCELLED already"):
        job_services.requeue_job(job=cancelled)
    Transcript.objects.all().delete()
    with pytest.raises(NotFound):
        job_services.cancel_job(job=cancelled, actor="test")
