"""The end of sources and finished files: told, exact to the byte, and whole however often it is interrupted."""

from __future__ import annotations

import datetime
import threading
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from clipforge.common import storage
from clipforge.common.errors import NotFound
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import (
    make_client,
    make_export,
    make_moment,
    make_organization,
    make_project,
    make_tier_limits,
    make_user,
)
from clipforge.devtools.testing.faults import crash_at
from clipforge.devtools.testing.races import run_together, until_a_lock_is_waited_for
from clipforge.devtools.testing.state import nothing_changes, stored_files
from clipforge.events.models import Event
from clipforge.jobs import retention, store_markers
from clipforge.jobs.events import file_ending
from clipforge.orgs import stored
from clipforge.orgs.models import Membership, Organization
from exports import pinning, tasks
from exports.jobs import RENDER
from exports.models import Export
from projects import tasks as project_tasks
from projects.jobs import ANALYSIS
from projects.models import Project

pytestmark = pytest.mark.django_db(transaction=True)

SECOND = datetime.timedelta(seconds=1)
DAY = datetime.timedelta(days=1)


def end(row: Export | Project, at: datetime.datetime | None = None) -> None:
    type(row).objects.filter(pk=row.pk).update(expires_at=at or timezone.now() - SECOND)


def events() -> list[tuple[str, Any]]:
    rows = Event.objects.filter(type__regex="ending|expiring").order_by("pk")
    return [(row.type, row.object_id) for row in rows]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"s" * 1000)
    return path


# --- files go --------------------------------------------------------------------------


def test_a_source_past_its_retention_goes_and_moments_and_exports_stay(source: Path):
    project = make_project(source=source)
    make_moment(project)
    export = make_export(project, content=b"clip")
    end(project)
    project_tasks.expire_sources(timestamp=0)
    project.refresh_from_db()
    assert (project.status, project.source_key, project.stored_bytes) == ("EXPIRED", "", 0)
    assert stored_files() == [Path(export.file_key)]
    api = make_client(project.org)
    shown = api.get(f"/api/v1/projects/{project.pk}").json()
    assert shown["status"] == "EXPIRED"
    assert len(api.get(f"/api/v1/projects/{project.pk}/moments").json()["results"]) == 1
    clip = api.get(f"/api/v1/exports/{export.pk}").json()
    assert (clip["status"], clip["renewable_until"]) == ("READY", None)
    again = {"project": str(project.pk), "start": 0, "end": 10}
    assert_problem(api.post("/api/v1/exports", again, format="json"), 409, "source_expired")


@pytest.mark.parametrize("status", ["QUEUED", "RENDERING"])
def test_a_source_that_an_export_waits_for_stays_until_that_has_ended(source: Path, status: str):
    project = make_project(source=source)
    export = make_export(project, status=status)
    end(project)
    with nothing_changes():
        assert retention.expire(ANALYSIS) == 0
    Export.objects.filter(pk=export.pk).update(status="FAILED")
    project_tasks.expire_sources(timestamp=0)
    assert stored_files() == []


@pytest.mark.parametrize("status", ["QUEUED", "ANALYZING"])
def test_a_source_that_is_being_analysed_stays(source: Path, status: str):
    end(make_project(source=source, status=status))
    with nothing_changes():
        project_tasks.expire_sources(timestamp=0)


@pytest.mark.parametrize("status", ["READY", "EMPTY", "FAILED", "CANCELLED"])
def test_every_source_that_nobody_works_on_goes(source: Path, status: str):
    end(make_project(source=source, status=status))
    project_tasks.expire_sources(timestamp=0)
    assert stored_files() == []


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_run_goes_on_until_nothing_is_due_and_passes_over_what_cannot_be_deleted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, newest_first: bool
):
    monkeypatch.setattr(retention, "BATCH", 2)
    project = make_project()
    exports = [make_export(project) for _ in range(7)]
    if newest_first:
        exports.reverse()
    for number, export in enumerate(exports):
        end(export, timezone.now() - (10 - number) * SECOND)
    stuck = storage.path_of(exports[1].file_key)
    stuck.unlink()
    (stuck / "a folder").mkdir(parents=True)  # where the file was: it cannot be unlinked
    tasks.expire_exports(timestamp=0)
    keys = dict(Export.objects.values_list("pk", "file_key"))
    assert [bool(keys[export.pk]) for export in exports] == [False, True, *[False] * 5]
    assert caplog.text.count("a file could not be deleted") == 1
    (stuck / "a folder").rmdir()
    stuck.rmdir()
    tasks.expire_exports(timestamp=0)
    assert set(Export.objects.values_list("status", "file_key")) == {("EXPIRED", "")}


def test_a_run_that_dies_at_any_statement_leaves_nothing_that_is_wrong_and_the_next_one_ends_it():
    """Rows that are given out have their file, every file has its row, and the bytes are those of the rows."""
    org = make_organization()
    project = make_project(org, size=0)
    crashes = 0
    while True:
        exports = [make_export(project, content=b"x" * 10) for _ in range(2)]
        for export in exports:
            storage.publish(_picture(export), storage.companion_of(export.file_key, "poster.jpg"))
            end(export)
        crashed = crash_at(crashes + 1, lambda: tasks.expire_exports(timestamp=0))
        _everything_fits(org)
        tasks.expire_exports(timestamp=0)
        _everything_fits(org)
        assert (stored_files(), stored.usage(org.pk).bytes) == ([], 0)
        if not crashed:
            break
        crashes += 1
    assert crashes >= 12  # each of two files: two transactions of several statements


def _picture(export: Export) -> Path:
    part = storage.new_part()
    part.write_bytes(b"p" * 3)
    Export.objects.filter(pk=export.pk).update(stored_bytes=13)
    return part


def _everything_fits(org: Organization) -> None:
    rows = list(Export.objects.exclude(file_key=""))
    for row in rows:
        assert row.status == "EXPIRED" or storage.path_of(row.file_key).is_file()
    named = {str(Path(row.file_key).parent) for row in rows}
    assert {str(path.parent) for path in stored_files()} <= named
    assert stored.usage(org.pk).bytes == sum(row.stored_bytes for row in rows)
    assert set(Export.objects.filter(file_key="").values_list("status", flat=True)) <= {"EXPIRED"}


@pytest.mark.parametrize("kind", [ANALYSIS, RENDER], ids=["source", "export"])
def test_whoever_knows_a_row_hears_at_once_that_its_file_is_gone(kind: Any, source: Path):
    project = make_project(source=source)
    row = project if kind is ANALYSIS else make_export(project)
    api = make_client(row.org)
    url = f"/api/v1/{'projects' if kind is ANALYSIS else 'exports'}/{row.pk}"
    known = api.get(url)["ETag"]
    assert [api.get(url, headers={"If-None-Match": known}).status_code for _ in range(2)] == [
        304
    ] * 2
    end(row)
    assert retention.expire(kind) == 1
    assert api.get(url, headers={"If-None-Match": known}).json()["status"] == "EXPIRED"


def test_whoever_knows_a_row_hears_of_its_end_also_while_the_file_cannot_be_deleted():
    export = make_export()
    api, url = make_client(export.org), f"/api/v1/exports/{export.pk}"
    known = api.get(url)["ETag"]
    assert api.get(url, headers={"If-None-Match": known}).status_code == 304
    stuck = storage.path_of(export.file_key)
    stuck.unlink()
    (stuck / "a folder").mkdir(parents=True)
    end(export)
    assert retention.expire(RENDER) == 0
    assert api.get(url, headers={"If-None-Match": known}).json()["status"] == "EXPIRED"


def test_a_file_that_another_run_has_deleted_meanwhile_is_counted_once(
    monkeypatch: pytest.MonkeyPatch,
):
    end(make_export())
    delete, counted = storage.delete, []

    def meanwhile(key: str) -> None:
        monkeypatch.setattr(storage, "delete", delete)
        counted.append(retention.expire(RENDER))
        delete(key)

    monkeypatch.setattr(storage, "delete", meanwhile)
    assert (retention.expire(RENDER), counted) == (0, [1])


def test_a_file_of_a_store_that_the_database_does_not_know_stays(
    source: Path, monkeypatch: pytest.MonkeyPatch
):
    end(make_project(source=source))
    monkeypatch.setattr(store_markers, "is_known", lambda: False)
    with nothing_changes():
        assert retention.expire(ANALYSIS) == 0


# --- owners are told -------------------------------------------------------------------


def test_the_end_of_a_source_is_told_a_week_and_a_day_before_once_of_either():
    project = make_project()
    Project.objects.filter(pk=project.pk).update(created_at=timezone.now() - 30 * DAY)
    for left, told in (
        (7 * DAY + SECOND, 0),
        (7 * DAY - SECOND, 1),
        (DAY + SECOND, 1),
        (DAY - SECOND, 2),
    ):
        end(project, timezone.now() + left)
        for _ in range(2):
            project_tasks.tell_of_expiring(timestamp=0)
        assert len(events()) == told
    assert events() == [
        ("project.ending", project.pk),
        ("project.expiring", project.pk),
    ]


def test_what_is_kept_for_a_week_in_all_is_told_of_the_day_before_only():
    export = make_export()
    end(export, export.created_at + 8 * DAY)
    assert not retention.ending(RENDER, retention.WEEK).exists()
    end(export, timezone.now() + DAY - SECOND)
    tasks.tell_of_expiring(timestamp=0)
    assert events() == [("export.expiring", export.pk)]


@pytest.mark.parametrize(("kept", "told"), [(8 * DAY, False), (8 * DAY + SECOND, True)])
def test_what_is_kept_for_more_than_eight_days_in_all_is_told_of_a_week_before(
    kept: datetime.timedelta, told: bool
):
    export = make_export()
    created_at = timezone.now() - 2 * DAY
    Export.objects.filter(pk=export.pk).update(created_at=created_at)
    end(export, created_at + kept)
    assert retention.ending(RENDER, retention.WEEK).exists() is told


def test_what_is_deleted_while_others_are_told_of_is_not_told_of_and_no_other_instead():
    exports = [make_export() for _ in range(3)]
    for number, export in enumerate(exports):
        end(export, timezone.now() + DAY / 2 + number * SECOND)

    def delete_the_next(**_: Any) -> None:
        Export.objects.filter(pk=exports[1].pk).delete()

    file_ending.connect(delete_the_next)
    try:
        assert retention.tell(RENDER) == 2
    finally:
        file_ending.disconnect(delete_the_next)
    assert events() == [("export.expiring", exports[number].pk) for number in (0, 2)]


def test_owners_and_admins_get_one_mail_for_all_that_ends():
    org = make_organization(name="Acme")
    owner = make_user(email="owner@example.com")
    Membership.objects.create(user=owner, organization=org, role="owner")
    Membership.objects.create(user=make_user(), organization=org)
    for export in [make_export(make_project(org)) for _ in range(3)]:
        end(export, timezone.now() + DAY / 2)
    tasks.tell_of_expiring(timestamp=0)
    assert ProcrastinateJob.objects.filter(task_name=retention.MAIL).count() == 1
    retention.mail_ending("export", str(org.pk), retention.DAY)
    (sent,) = mail.outbox
    assert (sent.subject, sent.to) == (
        "Acme: 3 exports will be deleted within a day",
        ["owner@example.com"],
    )
    Export.objects.all().delete()
    retention.mail_ending("export", str(org.pk), retention.DAY)
    assert len(mail.outbox) == 1


@pytest.mark.parametrize(
    ("days", "left", "within"),
    [(retention.DAY, DAY - SECOND, "a day"), (retention.WEEK, 7 * DAY - SECOND, "a week")],
)
def test_the_mail_goes_a_quarter_of_an_hour_later_for_that_kind_organization_and_time(
    days: int, left: datetime.timedelta, within: str
):
    org = make_organization()
    Organization.objects.filter(pk=org.pk).update(name="N" * 101)
    Membership.objects.create(
        user=make_user(email="owner@example.com"), organization=org, role="owner"
    )
    project = make_project(org)
    created_at = timezone.now() - 30 * DAY
    Project.objects.filter(pk=project.pk).update(created_at=created_at)
    end(project, timezone.now() + left)
    before = timezone.now()
    assert [retention.tell(ANALYSIS) for _ in range(2)] == [1, 0]
    queued = ProcrastinateJob.objects.get(task_name=retention.MAIL)
    assert queued.args == {"kind_name": "project", "org_id": str(org.pk), "days": days}
    assert (queued.queue_name, queued.queueing_lock) == (
        "maintenance",
        f"jobs.mail_ending:project:{org.pk}:{days}",
    )
    assert queued.scheduled_at is not None
    quarter = datetime.timedelta(minutes=15)
    assert before + quarter <= queued.scheduled_at <= timezone.now() + quarter
    retention.mail_ending(**queued.args)
    (sent,) = mail.outbox
    assert sent.subject == f"{'N' * 100}: 1 sources will be deleted within {within}"
    project.refresh_from_db()
    assert project.expires_at is not None
    assert sent.body == (
        f"1 sources of {'N' * 101} reach the end of their retention within {within}, the first on "
        f"{project.expires_at:%Y-%m-%d at %H:%M} UTC. Download what you want to keep. Each has its "
        "`expires_at` in the API.\n"
    )


def test_a_mail_tells_of_files_of_its_organization_that_were_told_of_at_that_time_only():
    orgs = [make_organization(name=name) for name in ("Acme", "Other")]
    for org in orgs:
        Membership.objects.create(user=make_user(), organization=org, role="owner")
    told, other, untold = (make_export(make_project(org)) for org in (*orgs, orgs[0]))
    for export in (told, other):
        end(export, timezone.now() + DAY / 2)
    assert retention.tell(RENDER) == 2
    end(untold, timezone.now() + DAY / 4)
    retention.mail_ending("export", str(orgs[0].pk), retention.DAY)
    retention.mail_ending("export", str(orgs[0].pk), retention.WEEK)
    retention.mail_ending("no kind", str(orgs[0].pk), retention.DAY)
    retention.mail_ending("export", str(told.pk), retention.DAY)
    assert [sent.subject for sent in mail.outbox] == [
        "Acme: 1 exports will be deleted within a day"
    ]


def test_of_an_organization_that_nobody_owns_no_mail_is_sent():
    export = make_export()
    end(export, timezone.now() + DAY / 2)
    assert retention.tell(RENDER) == 1
    retention.mail_ending("export", str(export.org_id), retention.DAY)
    assert mail.outbox == []


# --- pins ------------------------------------------------------------------------------


def pin(export: Export, pinned: object = True) -> Any:
    url = f"/api/v1/exports/{export.pk}"
    return make_client(export.org).patch(url, {"pinned": pinned}, format="json")


def pinned_ends(export: Export) -> Any:
    return Export.objects.values_list("pinned", "expires_at").get(pk=export.pk)


def test_a_pinned_export_stays_while_its_organization_pays_and_its_end_is_told_after_that():
    export = make_export()
    shown = pin(export).json()
    assert (shown["pinned"], shown["expires_at"]) == (True, None)
    assert pinning.follow_tiers() == 0
    Organization.objects.filter(pk=export.org_id).update(tier="FREE")
    assert [pinning.follow_tiers() for _ in range(2)] == [1, 0]
    export.refresh_from_db()
    assert export.expires_at is not None
    assert 9 * DAY - DAY / 24 < export.expires_at - timezone.now() <= 9 * DAY
    Organization.objects.filter(pk=export.org_id).update(tier="STARTER")
    assert [pinning.follow_tiers() for _ in range(2)] == [1, 0]
    assert pinned_ends(export) == (True, None)


def test_the_hourly_task_lets_pins_follow_their_tier():
    export = make_export()
    pin(export)
    Organization.objects.filter(pk=export.org_id).update(tier="FREE")
    tasks.expire_exports(timestamp=0)
    pinned, ends = pinned_ends(export)
    assert (pinned, ends is None) == (True, False)


def test_one_that_is_no_longer_pinned_ends_with_its_retention_or_in_nine_days():
    export = make_export()
    pin(export)
    assert pin(export, False).json()["pinned"] is False
    export.refresh_from_db()
    assert export.finished_at is not None
    assert export.expires_at == export.finished_at + 60 * DAY
    pin(export)
    Export.objects.filter(pk=export.pk).update(finished_at=timezone.now() - 60 * DAY)
    pin(export, False)
    export.refresh_from_db()
    assert export.expires_at is not None
    assert 9 * DAY - DAY / 24 < export.expires_at - timezone.now() <= 9 * DAY


@pytest.mark.parametrize("follow", [False, True])
def test_a_pin_locks_the_export_and_not_its_organization(follow: bool):
    export = make_export()
    if follow:
        pin(export)
        Organization.objects.filter(pk=export.org_id).update(tier="FREE")
    with CaptureQueriesContext(connection) as said:
        if follow:
            assert pinning.follow_tiers() == 1
        else:
            pinning.pin_export(export=export, pinned=True, actor="test")
    locks = [query["sql"] for query in said.captured_queries if " FOR " in query["sql"]]
    assert [sql.partition(" FOR ")[2] for sql in locks] == ['UPDATE OF "exports_export"']


def test_a_pin_is_seen_at_once_and_the_same_pin_again_changes_nothing():
    export = make_export()
    api, url = make_client(export.org), f"/api/v1/exports/{export.pk}"
    known = api.get(url)["ETag"]
    assert [api.get(url, headers={"If-None-Match": known}).status_code for _ in range(2)] == [
        304
    ] * 2
    pin(export)
    shown = api.get(url, headers={"If-None-Match": known})
    assert shown.json()["pinned"] is True
    with nothing_changes():
        assert pin(export).json()["pinned"] is True


def test_what_is_unpinned_is_told_of_anew():
    export = make_export()
    pin(export)
    Export.objects.filter(pk=export.pk).update(notice_given=retention.DAY)
    pin(export, False)
    export.refresh_from_db()
    assert export.notice_given is None


def test_an_export_that_was_deleted_meanwhile_cannot_be_pinned():
    export = make_export()
    Export.objects.filter(pk=export.pk).delete()
    with pytest.raises(NotFound):
        pinning.pin_export(export=export, pinned=True, actor="test")


def test_a_pin_that_cannot_follow_its_tier_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    org = make_organization()
    exports = [make_export(make_project(org)) for _ in range(3)]
    for export in exports:
        pin(export)
    Organization.objects.filter(pk=org.pk).update(tier="FREE")
    set_, broken = pinning._set, exports[1]

    def fail_once(export: Export, **how: Any) -> None:
        if export == broken:
            raise ValueError
        set_(export, **how)

    monkeypatch.setattr(pinning, "_set", fail_once)
    assert pinning.follow_tiers() == 2
    assert caplog.text.count("a pin does not follow its tier") == 1
    ends = dict(Export.objects.values_list("pk", "expires_at"))
    assert [ends[export.pk] is None for export in exports] == [False, True, False]


def test_what_is_unpinned_while_pins_follow_their_tier_stays_unpinned():
    export = make_export()
    pin(export)
    Organization.objects.filter(pk=export.org_id).update(tier="FREE")
    is_unpinned = threading.Event()

    def act(number: int) -> object:
        if number:
            is_unpinned.wait(60)
            return pinning.follow_tiers()
        with transaction.atomic():
            pinning.pin_export(export=export, pinned=False, actor="test")
            is_unpinned.set()
            until_a_lock_is_waited_for()
        return None

    assert run_together(2, act) == [None, 0]
    assert pinned_ends(export)[0] is False


def test_only_pins_of_files_that_are_there_follow_a_tier():
    free = make_organization(tier="FREE")
    unpinned, gone = make_export(make_project(free)), make_export(make_project(free))
    Export.objects.filter(pk=gone.pk).update(pinned=True, expires_at=None, status="EXPIRED")
    Export.objects.filter(pk=unpinned.pk).update(expires_at=None)
    make_export()  # of one that pays, and not pinned: it ends as ever
    with nothing_changes():
        assert pinning.follow_tiers() == 0


def test_what_cannot_be_pinned():
    free = make_export(make_project(make_organization(tier="FREE")))
    gone = make_export(status="EXPIRED")
    with nothing_changes():
        assert_problem(pin(free), 403, "pin_not_in_tier")
        assert_problem(pin(gone), 409, "export_not_ready")
        assert_problem(pin(free, "perhaps"), 422, "invalid")
        other = make_client(make_organization())
        url = f"/api/v1/exports/{free.pk}"
        assert_problem(other.patch(url, {"pinned": True}, format="json"), 404, "not_found")


# --- what is stored --------------------------------------------------------------------


def used(org: Organization) -> tuple[int, dict[str, int]]:
    row = stored.usage(org.pk)
    assert make_client(org).get("/api/v1/me").json()["stored_bytes"] == row.bytes
    return row.bytes, row.areas


def test_bytes_are_counted_with_every_change_of_a_row_and_shown_at_once():
    org, other = make_organization(), make_organization()
    assert used(org) == (0, {})
    project = make_project(org, size=1000)
    export = make_export(project, content=b"x" * 200)
    make_project(other, size=7)
    # What services announce is shown at once; the factory is no service.
    with transaction.atomic():
        stored.settle(org.pk)
    assert used(org) == (1200, {"projects": 1000, "exports": 200})
    api = make_client(org)
    assert api.delete(f"/api/v1/exports/{export.pk}").status_code == 204
    assert used(org) == (1000, {"projects": 1000, "exports": 0})
    make_export(project, content=b"y" * 50)
    assert api.delete(f"/api/v1/projects/{project.pk}").status_code == 204
    assert used(org) == (0, {"projects": 0, "exports": 0})
    assert used(other)[0] == 7


def test_what_has_ended_is_no_longer_counted_at_once():
    org = make_organization()
    export = make_export(make_project(org, size=0), content=b"x" * 200)
    assert used(org) == (200, {"exports": 200})
    end(export)
    assert [retention.expire(RENDER) for _ in range(2)] == [1, 0]
    assert used(org) == (0, {"exports": 0})


def test_what_is_rolled_back_is_not_counted():
    org = make_organization()
    with transaction.atomic():
        make_project(org, size=1000)
        assert stored.settle(org.pk) == 1000
        transaction.set_rollback(True)
    assert used(org) == (0, {})


def test_of_ten_that_store_at_once_as_many_are_let_in_as_fit_to_the_byte():
    org = make_organization()
    make_tier_limits(storage_bytes=3000)

    def store(_: int) -> None:
        with transaction.atomic():
            make_project(org, size=1000)
            stored.require_within_limit(org)

    answers = run_together(10, store)
    assert [answer for answer in answers if answer is None] == [None] * 3
    assert {str(getattr(answer, "error_code", None)) for answer in answers} == {
        "None",
        "storage_limit_reached",
    }
    assert stored.usage(org.pk).bytes == 3000


def test_no_export_is_begun_once_nothing_more_may_be_stored():
    org = make_organization(credits_=5)
    project = make_project(org, size=1000)
    api = make_client(org)
    again = {"project": str(project.pk), "start": 0, "end": 10}
    make_tier_limits(storage_bytes=1000)
    with nothing_changes():
        problem = assert_problem(
            api.post("/api/v1/exports", again, format="json"), 507, "storage_limit_reached"
        )
    assert problem["limit"] == 1000
    make_tier_limits(storage_bytes=1001)
    assert api.post("/api/v1/exports", again, format="json").status_code == 201


def test_both_kinds_are_found_by_their_end():
    for kind, row in ((ANALYSIS, make_project()), (RENDER, make_export())):
        end(row, timezone.now() - SECOND)
        assert [found.pk for found in retention.due(kind)] == [row.pk]
