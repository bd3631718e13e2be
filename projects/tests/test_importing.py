"""The import of a source: fetched, looked at, priced by its length, and then analysed like an upload."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from procrastinate.contrib.django import app

from clipforge.common import storage
from clipforge.common.fetching import Fetch
from clipforge.common.shutdown import stopping
from clipforge.devtools.testing.factories import (
    make_api_key,
    make_organization,
    make_tier_limits,
)
from clipforge.devtools.testing.file_servers import Served
from clipforge.devtools.testing.receivers import Receiver, receiving, status
from clipforge.devtools.testing.state import Funds, funds, lapse_lease, stored_files
from clipforge.jobs import kinds, lifecycle, sweeping
from clipforge.jobs import services as job_services
from clipforge.jobs.models import JobPlace
from clipforge.jobs.queue import QueueEntry
from clipforge.orgs import stored
from clipforge.orgs.models import Organization
from credits.models import CreditHold, CreditTransaction, TransactionType
from credits.quotes import Terms
from projects import importing, services, tasks
from projects.models import Project, ProjectImport

pytestmark = pytest.mark.django_db


@pytest.fixture
def org() -> Organization:
    return make_organization(credits_=10)


@pytest.fixture
def server(settings: Any) -> Iterator[Receiver]:
    settings.OUTBOUND_LOOPBACK = True
    with receiving() as started:
        yield started


@pytest.fixture
def film(still: Path) -> bytes:
    """Six seconds, 640x360, with sound."""
    return still.read_bytes()


@pytest.fixture
def running_worker() -> Iterator[None]:
    yield
    stopping.clear()


def order(org: Organization, server: Receiver, reply: Any, **options: Any) -> Project:
    server.replies["/talk.mp4"] = reply
    options = {"title": "", "actor": "test", **options}
    return services.import_project(org=org, source_url=server.url("/talk.mp4"), **options)


def work(project: Project, task: str) -> Project:
    """The task as a worker runs it."""
    project.refresh_from_db()
    app.tasks[task](project_id=str(project.pk), fence=project.fence)
    project.refresh_from_db()
    return project


def run_import(project: Project) -> Project:
    """A worker takes it, hands it over, and the import is done."""
    work(project, "projects.analyse")
    assert (project.status, project.attempts) == ("QUEUED", 0)
    return work(project, "projects.import")


def spends() -> list[int]:
    return [row.amount for row in CreditTransaction.objects.filter(type=TransactionType.SPEND)]


def entries() -> list[tuple[str, str]]:
    return [(entry.task_name, entry.queue_name) for entry in QueueEntry.objects.order_by("id")]


# --- one that succeeds --------------------------------------------------------------------


def test_an_import_becomes_the_project_that_an_upload_would_be(
    org: Organization, server: Receiver, film: bytes
):
    project = order(org, server, Served(film))
    assert (project.status, project.title, project.source_name) == ("QUEUED", "talk", "talk.mp4")
    assert (project.size, project.duration, project.source_key) == (0, 0, "")
    assert funds(org) == Funds(available=9, held=1)
    run_import(project)
    assert (project.status, project.attempts, project.error_code) == ("QUEUED", 0, "")
    assert (project.size, project.duration, project.width) == (len(film), 6.0, 640)
    assert (project.height, project.has_audio) == (360, True)
    assert project.sha256 == hashlib.sha256(film).hexdigest()
    assert stored_files() == [Path(f"{org.pk}/projects/{project.pk}/source")]
    assert storage.path_of(project.source_key).read_bytes() == film
    assert (project.stored_bytes, stored.usage(org.pk).bytes) == (len(film), len(film))
    assert (project.expires_at is not None, ProjectImport.objects.count()) == (True, 0)
    assert work(project, "projects.analyse").status in {"READY", "EMPTY"}
    assert project.attempts == 1


def test_its_entries_are_in_the_queue_of_imports_while_it_is_fetched(
    org: Organization, server: Receiver, film: bytes
):
    """So it takes no slot from what can be analysed."""
    project = order(org, server, Served(film))
    assert entries() == [("projects.analyse", "analysis")]
    work(project, "projects.analyse")
    assert entries()[1:] == [("projects.import", "imports")]
    work(project, "projects.import")
    assert entries()[2:] == [("projects.analyse", "analysis")]
    assert (kinds.preparation_queues(), "imports" in kinds.job_queues()) == (["imports"], False)
    assert JobPlace.objects.get().job == project.pk


# --- what it costs ------------------------------------------------------------------------


def test_the_price_of_its_length_is_reserved_for_whoever_ordered_it(
    org: Organization, server: Receiver, film: bytes, settings: Any
):
    settings.PRICES = {**settings.PRICES, "analysis_per_source_minute": 3}
    project = order(org, server, Served(film))
    assert funds(org) == Funds(available=7, held=3)
    settings.PRICES = {**settings.PRICES, "analysis_per_source_minute": 4}
    run_import(project)
    assert funds(org) == Funds(available=6, held=4)
    old, new = CreditHold.objects.order_by("created_at")
    assert (old.status, old.captured, new.status) == ("RELEASED", 0, "HELD")
    assert (new.actor, new.fence, new.pk) == ("test", project.fence, project.hold_id)
    assert new.inputs["seconds"] == 6.0
    assert spends() == []


@pytest.mark.parametrize(
    ("credits_", "most", "code"),
    [(6, None, "insufficient_credits"), (10, 6, "max_credits_exceeded")],
)
def test_where_it_costs_too_much_the_file_stays_and_a_retry_needs_no_import(
    server: Receiver, film: bytes, settings: Any, credits_: int, most: int | None, code: str
):
    org = make_organization(credits_=credits_)
    settings.PRICES = {**settings.PRICES, "analysis_per_source_minute": 3}
    served = Served(film)
    project = order(org, server, served, terms=Terms(max_credits=most))
    settings.PRICES = {**settings.PRICES, "analysis_per_source_minute": 7}
    run_import(project)
    assert (project.status, project.error_code) == ("FAILED", code)
    assert project.error_message.endswith("The file is kept; retry it.")
    assert funds(org) == Funds(available=credits_, held=0)
    assert (project.size, project.stored_bytes) == (len(film), len(film))
    assert (JobPlace.objects.count(), spends()) == (0, [])
    settings.PRICES = {**settings.PRICES, "analysis_per_source_minute": 6}
    job_services.retry_job(job=project, actor="test")
    assert funds(org) == Funds(available=credits_ - 6, held=6)
    project.refresh_from_db()
    assert (importing.is_due(project), len(served.asked)) == (False, 1)


def test_the_cap_of_the_key_that_ordered_it_holds_when_the_length_is_known(
    org: Organization, server: Receiver, film: bytes, settings: Any
):
    key = make_api_key(org, monthly_cap=3).api_key
    settings.PRICES = {**settings.PRICES, "analysis_per_source_minute": 3}
    project = order(org, server, Served(film), actor=f"key:{key.prefix}")
    settings.PRICES = {**settings.PRICES, "analysis_per_source_minute": 4}
    assert run_import(project).error_code == "key_cap_reached"
    assert funds(org) == Funds(available=10, held=0)


# --- one that fails -----------------------------------------------------------------------


def html() -> Any:
    return status(200, b"<html>A player</html>", Content_Type="text/html")


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (status(404, b""), "source_not_found"),
        (status(403, b""), "source_forbidden"),
        (html(), "not_a_file"),
        (status(302, b"", Location="https://169.254.169.254/latest"), "address_refused"),
        (Served(b"GIF89a no video at all" * 9000), "not_a_video"),
        (Served(b"\x00\x00\x00\x18ftypisom" + bytes(70_000)), "not_a_video"),
        (Served(b""), "empty_file"),
    ],
    ids=["404", "403", "page", "metadata", "picture", "rubbish", "empty"],
)
def test_what_cannot_be_imported_fails_with_a_code_and_leaves_nothing(
    org: Organization, server: Receiver, reply: Any, code: str
):
    project = run_import(order(org, server, reply))
    assert (project.status, project.error_code) == ("FAILED", code)
    assert code in kinds.error_codes()
    assert (funds(org), spends()) == (Funds(available=10, held=0), [])
    assert (stored_files(), stored.usage(org.pk).bytes) == ([], 0)
    assert (JobPlace.objects.count(), project.failure_detail) == (0, "")


def test_what_is_too_long_for_the_tier_fails_and_a_retry_fetches_it_anew(
    org: Organization, server: Receiver, film: bytes
):
    make_tier_limits(max_source_seconds=5)
    served = Served(film)
    project = run_import(order(org, server, served))
    assert (project.error_code, stored_files()) == ("too_long", [])
    make_tier_limits(max_source_seconds=6)
    job_services.retry_job(job=project, actor="test")
    assert run_import(project).size == len(film)
    assert len(served.asked) == 2


def test_a_range_outside_of_the_source_is_found_when_its_length_is_known(
    org: Organization, server: Receiver, film: bytes
):
    project = run_import(order(org, server, Served(film), wishes={"range": [6.0, 9.0]}))
    assert (project.error_code, stored_files()) == ("bad_range", [])


@pytest.mark.parametrize("says", [-1, None])
def test_the_storage_of_the_tier_holds_to_the_byte_also_where_no_length_is_said(
    org: Organization, server: Receiver, film: bytes, says: int | None
):
    make_tier_limits(storage_bytes=len(film) - 1)
    project = run_import(order(org, server, Served(film, says=says)))
    assert project.error_code == "storage_limit_reached"
    assert (stored.usage(org.pk).bytes, funds(org)) == (0, Funds(available=10, held=0))
    make_tier_limits(storage_bytes=len(film))
    job_services.retry_job(job=project, actor="test")
    assert run_import(project).size == len(film)


# --- one that is disturbed ----------------------------------------------------------------


def beginning(project: Project, film: bytes, size: int) -> Path:
    """The part that a worker left which was killed."""
    found = ProjectImport.objects.get(project=project)
    found.validator = '"v1"'
    found.save()
    part = importing.part_of(project, found)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(film[:size])
    return part


def test_the_worker_after_one_that_was_killed_goes_on_where_it_was(
    org: Organization, server: Receiver, film: bytes
):
    served = Served(film)
    project = order(org, server, served)
    work(project, "projects.analyse")
    claimed = lifecycle.claim(Project, project.pk, fence=project.fence)
    assert claimed is not None
    beginning(project, film, 5_000)
    lapse_lease(claimed)
    assert sweeping.sweep(Project) == (1, 0)
    work(project, "projects.analyse")
    work(project, "projects.import")
    assert (project.status, project.sha256) == ("QUEUED", hashlib.sha256(film).hexdigest())
    assert served.asked == [("bytes=5000-", '"v1"')]
    assert project.attempts == 1


def test_a_part_is_none_of_the_version_that_another_machine_has_fetched_of_since(
    org: Organization, server: Receiver, film: bytes
):
    """Machines have no part in common. To ours the job came back after the file had changed."""
    served = Served(film, etag='"v2"')
    project = order(org, server, served)
    beginning(project, b"of another file" * 1000, 5_000)
    ProjectImport.objects.filter(project=project).update(validator='"v2"')
    run_import(project)
    assert project.sha256 == hashlib.sha256(film).hexdigest()
    assert served.asked == [(None, None)]


def test_a_part_is_named_after_its_version_and_one_of_another_worker_is_left(
    org: Organization, server: Receiver, film: bytes
):
    project = order(org, server, Served(film))
    found = ProjectImport.objects.get(project=project)
    unnamed = importing.part_of(project, found)
    with importing._own(unnamed) as file:
        fetch = Fetch(found.url, file, at_most=len(film))
        fetch.validator = '"v1"'
        importing._note_version(project, found, fetch)
        assert (unnamed.exists(), importing.part_of(project, found).exists()) == (False, True)
        # As does one that was given up: what has the name by now is of another worker.
        importing.part_of(project, found).unlink()
        importing.part_of(project, found).write_bytes(b"of another")
        fetch.validator = '"v2"'
        importing._note_version(project, found, fetch)
    assert not importing.part_of(project, found).exists()


def test_one_that_was_given_up_and_lives_writes_where_nobody_looks(
    org: Organization, server: Receiver, film: bytes
):
    project = order(org, server, Served(film))
    part = beginning(project, film, 5_000)
    with importing._own(part) as of_the_dead:
        run_import(project)
        of_the_dead.write(b"late")
    assert project.sha256 == hashlib.sha256(film).hexdigest()
    assert storage.path_of(project.source_key).read_bytes() == film


def test_a_worker_that_has_to_stop_hands_it_back_with_what_is_there(
    org: Organization, server: Receiver, film: bytes, running_worker: None
):
    def stop(handler: BaseHTTPRequestHandler) -> None:
        stopping.set()
        halfway(handler)

    halfway = Served(film, breaks=[10_000])
    project = run_import(order(org, server, stop))
    assert (project.status, project.attempts, project.error_code) == ("QUEUED", 0, "")
    assert funds(org) == Funds(available=9, held=1)
    stopping.clear()
    server.replies["/talk.mp4"] = Served(film)
    assert run_import(project).size == len(film)


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_one_that_is_cancelled_or_deleted_meanwhile_leaves_nothing(
    org: Organization, server: Receiver, film: bytes, end: str
):
    served = Served(film)

    project = order(org, server, served)
    work(project, "projects.analyse")
    claimed = lifecycle.claim(Project, project.pk, fence=project.fence)
    assert claimed is not None
    importing._take_room(claimed, len(film))
    beginning(project, film, 5_000)
    found = ProjectImport.objects.get(project=project)
    if end == "cancel":
        job_services.cancel_job(job=project, actor="test")
    else:
        services.delete_project(project=project, actor="test")

    # Its worker notices by its beat, and stops.
    importing._clean_up_if_ended(claimed, found)
    assert (stored_files(), stored.usage(org.pk).bytes) == ([], 0)
    assert funds(org) == Funds(available=10, held=0)


def test_one_that_is_deleted_just_as_its_file_comes_leaves_nothing(
    org: Organization,
    server: Receiver,
    film: bytes,
    django_capture_on_commit_callbacks: Any,
):
    """The request read the row before its file was named."""
    project = order(org, server, Served(film))
    read_before = Project.objects.get(pk=project.pk)
    run_import(project)
    with django_capture_on_commit_callbacks(execute=True):
        services.delete_project(project=read_before, actor="test")
    assert (stored_files(), stored.usage(org.pk).bytes) == ([], 0)


def test_what_a_killed_worker_counted_is_given_back_by_the_hourly_task(
    org: Organization, server: Receiver, film: bytes
):
    project = order(org, server, Served(film))
    work(project, "projects.analyse")
    claimed = lifecycle.claim(Project, project.pk, fence=project.fence)
    assert claimed is not None
    importing._take_room(claimed, 5_000_000)
    part = beginning(project, film, 5_000)
    tasks.remove_uploads(0)
    assert (stored.usage(org.pk).bytes, part.exists()) == (5_000_000, True)
    job_services.cancel_job(job=project, actor="test")
    long_ago = 1_000_000_000
    os.utime(part, (long_ago, long_ago))
    tasks.remove_uploads(0)
    assert (stored.usage(org.pk).bytes, stored_files()) == (0, [])


def test_an_import_without_its_address_fails(org: Organization, server: Receiver, film: bytes):
    project = order(org, server, Served(film))
    ProjectImport.objects.all().delete()
    assert run_import(project).error_code == "source_missing"
