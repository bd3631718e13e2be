"""Alarms: told once a condition lasts, again each day, and when it is over, by mail and by webhook."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone

from clipforge.devtools.testing.clocks import around
from clipforge.devtools.testing.factories import make_project
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import lapse_lease
from clipforge.staff.dashboard.selectors import CHECK_IS_STALE, VERY_LATE
from clipforge.staff.models import Alarm
from clipforge.staff.watching import alarms
from clipforge.staff.watching.conditions import CONDITIONS
from clipforge.staff.watching.watcher import DATABASE_AWAY, Watcher
from credits.models import LedgerCheck
from projects.models import Project

MINUTE = datetime.timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _people(settings) -> None:
    settings.ALARM_EMAILS = ["ops@clips.example", "on-call@clips.example"]
    settings.ALARM_WEBHOOK_URL = ""


@pytest.fixture
def well(db) -> None:
    """A worker lives, and the ledger was proven a moment ago."""
    a_worker_lives()
    LedgerCheck.objects.create(seconds=0.1, breaches=0, actor="test")


def a_worker_lives() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")


def passes(**ago: float) -> None:
    """As if what holds had begun, and people had been told, so much earlier."""
    for alarm in Alarm.objects.all():
        alarm.since = alarm.since and alarm.since - datetime.timedelta(**ago)
        alarm.told_at = alarm.told_at and alarm.told_at - datetime.timedelta(**ago)
        alarm.save()


def subjects(mailoutbox) -> list[str]:
    told = [mail.subject.removeprefix("ClipForge: ") for mail in mailoutbox]
    mailoutbox.clear()
    return told


def test_a_service_that_is_well_raises_no_alarm(well, mailoutbox):
    assert alarms.check() == []
    assert (mailoutbox, Alarm.objects.count()) == ([], 0)


def test_a_ledger_that_does_not_add_up_is_told_at_once_to_everybody_with_a_link(well, mailoutbox):
    LedgerCheck.objects.create(seconds=0.1, breaches=3, actor="test")
    assert alarms.check() == ["ledger_broken"]
    (mail,) = mailoutbox
    assert mail.subject == "ClipForge: The ledger does not add up."
    assert mail.to == ["ops@clips.example", "on-call@clips.example"]
    assert "found 3 breaches." in mail.body
    assert "What to do: clipforge/docs/runbook.md#ledger-broken" in mail.body


def test_people_are_told_once_then_each_day_and_when_it_is_over(well, mailoutbox):
    broken = LedgerCheck.objects.create(seconds=0.1, breaches=3, actor="test")
    alarms.check()
    assert subjects(mailoutbox) == ["The ledger does not add up."]
    passes(hours=23.9)
    alarms.check()
    assert subjects(mailoutbox) == []
    passes(hours=0.2)
    alarms.check()
    assert subjects(mailoutbox) == ["The ledger does not add up."]
    broken.delete()
    assert alarms.check() == []
    assert alarms.check() == []
    assert subjects(mailoutbox) == ["Over: The ledger does not add up."]
    LedgerCheck.objects.create(seconds=0.1, breaches=1, actor="test")
    alarms.check()
    assert subjects(mailoutbox) == ["The ledger does not add up."]


def test_that_no_worker_lives_is_told_after_two_minutes_and_a_deployment_is_not(db, mailoutbox):
    LedgerCheck.objects.create(seconds=0.1, breaches=0, actor="test")
    assert alarms.check() == ["no_worker"]
    passes(seconds=115)
    alarms.check()
    assert subjects(mailoutbox) == []
    passes(seconds=6)
    alarms.check()
    assert subjects(mailoutbox) == ["No worker lives."]
    a_worker_lives()
    assert alarms.check() == []
    assert subjects(mailoutbox) == ["Over: No worker lives."]


def test_what_did_not_last_was_told_to_nobody_and_neither_is_its_end(db, mailoutbox):
    LedgerCheck.objects.create(seconds=0.1, breaches=0, actor="test")
    alarms.check()
    a_worker_lives()
    alarms.check()
    assert (mailoutbox, Alarm.objects.get().since) == ([], None)


def a_task_was_given_up() -> None:
    make_project(status="QUEUED")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET status = 'failed'")


def a_job_waits() -> None:
    make_project(status="QUEUED")
    Project.objects.update(queued_at=timezone.now() - 61 * MINUTE)


def a_job_is_lost() -> None:
    lapse_lease(make_project(status="ANALYZING"))


def the_ledger_is_not_checked() -> None:
    LedgerCheck.objects.update(checked_at=timezone.now() - 181 * MINUTE)


def the_check_is_given_up() -> None:
    LedgerCheck.objects.create(seconds=120, breaches=None, actor="test")


@pytest.mark.parametrize(
    ("happens", "code", "says"),
    [
        (a_task_was_given_up, "dead_letters", "Queue entries that are not tried again: 1."),
        (a_job_waits, "jobs_wait", "Analyses: the oldest waits since "),
        (a_job_is_lost, "jobs_lost", "Jobs without a sign of life. Analyses: 1."),
        (the_ledger_is_not_checked, "ledger_unproven", "The last check was at "),
        (the_check_is_given_up, "ledger_unproven", "took too long and was given up."),
    ],
)
def test_each_condition_is_noticed_and_told(well, mailoutbox, happens, code: str, says: str):
    happens()
    assert alarms.check() == [code]
    passes(hours=3)
    mailoutbox.clear()
    passes(hours=25)
    alarms.check()
    (mail,) = mailoutbox
    assert says in mail.body


# --- the receivers ----------------------------------------------------------------------


@contextmanager
def receiver(status: int = 204) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook on this machine, and what it was sent."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_webhook_is_told_with_json_that_chats_show_as_text(well, settings, mailoutbox):
    settings.ALARM_EMAILS = []
    broken = LedgerCheck.objects.create(seconds=0.1, breaches=3, actor="test")
    with receiver() as (url, received):
        settings.ALARM_WEBHOOK_URL = url
        alarms.check()
        broken.delete()
        alarms.check()
    raised, over = received
    assert (raised["alarm"], raised["state"], over["state"]) == ("ledger_broken", "raised", "over")
    assert raised["text"].startswith("The ledger does not add up. The check of ")
    assert raised["text"].endswith("clipforge/docs/runbook.md#ledger-broken")
    assert raised["since"] == over["since"]
    assert mailoutbox == []


def test_where_one_way_fails_the_other_is_enough_and_where_all_fail_it_is_tried_again(
    well, settings, mailoutbox
):
    LedgerCheck.objects.create(seconds=0.1, breaches=3, actor="test")
    with receiver(500) as (url, received):
        settings.ALARM_WEBHOOK_URL = url
        settings.ALARM_EMAILS = []
        for _ in range(2):
            assert alarms.check() == ["ledger_broken"]
        assert len(received) == 2
        assert Alarm.objects.get().told_at is None
        settings.ALARM_EMAILS = ["ops@clips.example"]
        for _ in range(2):
            alarms.check()
        assert (len(received), subjects(mailoutbox)) == (3, ["The ledger does not add up."])


def test_the_address_of_the_webhook_which_is_its_secret_is_never_in_the_log(well, settings, caplog):
    settings.ALARM_EMAILS = []
    LedgerCheck.objects.create(seconds=0.1, breaches=3, actor="test")
    with receiver(403) as (url, _):
        settings.ALARM_WEBHOOK_URL = f"{url}/s3cret"
        alarms.check()
    alarms.check()  # nobody listens there any more
    told = [
        record for record in caplog.records if "could not be sent to the webhook" in record.message
    ]
    assert [vars(record).get("status") for record in told] == [403, None]
    assert "s3cret" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_of_two_processes_that_watch_one_tells(settings):
    settings.ALARM_EMAILS = []
    a_worker_lives()
    LedgerCheck.objects.create(seconds=0.1, breaches=3, actor="test")
    with receiver() as (url, received):
        settings.ALARM_WEBHOOK_URL = url
        assert run_together(4, lambda _: alarms.check()) == [["ledger_broken"]] * 4
        assert len(received) == 1


# --- the process that watches -----------------------------------------------------------


def test_the_command_looks_once_and_says_by_its_exit_what_needs_a_person(well, capsys):
    call_command("watch", once=True)
    assert capsys.readouterr().out == "Nothing needs a person.\n"
    LedgerCheck.objects.create(seconds=0.1, breaches=3, actor="test")
    with pytest.raises(CommandError, match=r"^These need a person: ledger_broken\.$"):
        call_command("watch", once=True)


def test_a_check_is_stale_and_a_job_late_once_their_time_is_over(well):
    edge = timezone.now() + datetime.timedelta(seconds=5)
    LedgerCheck.objects.update(checked_at=edge - CHECK_IS_STALE)
    make_project(status="QUEUED")
    Project.objects.update(queued_at=edge - VERY_LATE)
    assert around(edge, alarms.check) == [[], [], ["ledger_unproven", "jobs_wait"]]


def test_a_database_that_does_not_answer_is_told_after_two_minutes_by_the_watcher(
    well, monkeypatch, mailoutbox
):
    now = [0.0]
    watcher = Watcher(clock=lambda: now[0])

    def refuse() -> list[str]:
        raise OperationalError("connection refused")

    with monkeypatch.context() as away:
        away.setattr(alarms, "check", refuse)
        for seconds, told in [
            (0, []),
            (119, []),
            (120, ["The database does not answer."]),
            (9e5, []),
        ]:
            now[0] = seconds
            assert watcher.look() == ["database_away"]
            assert subjects(mailoutbox) == told
    assert watcher.look() == []
    assert subjects(mailoutbox) == ["Over: The database does not answer."]


def test_every_alarm_has_its_place_in_the_runbook():
    text = (Path(django_settings.BASE_DIR) / "clipforge/docs/runbook.md").read_text()
    for condition in [*CONDITIONS, DATABASE_AWAY]:
        assert f"\n## {condition.code.replace('_', '-')}\n" in text
