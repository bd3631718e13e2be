from __future__ import annotations

import datetime

import pytest
from django.core import mail
from django.core.mail.backends import locmem
from django.db import OperationalError, connection
from django.utils import timezone

from billing import alerts, services, tasks
from billing.models import Alert
from clipforge.common.errors import Invalid
from clipforge.devtools.testing.factories import (
    REASON,
    TESTER,
    make_grant,
    make_organization,
    make_user,
)
from clipforge.devtools.testing.races import run_together
from clipforge.orgs.models import Membership, Organization
from credits.models import GrantKind
from credits.tests.makers import make_hold, make_spend

pytestmark = pytest.mark.django_db

DAY = datetime.timedelta(days=1)


def make_watched(threshold=50, amount=100):
    org = make_organization(name="Acme", credits_=amount)
    Membership.objects.create(user=make_user(email="own@a.example"), organization=org, role="owner")
    Membership.objects.create(user=make_user(email="adm@a.example"), organization=org, role="admin")
    Membership.objects.create(user=make_user(email="m@a.example"), organization=org, role="member")
    services.set_low_balance_threshold(org=org, threshold=threshold, reason=REASON, actor=TESTER)
    return org


def told():
    return [message.subject for message in mail.outbox]


# --- low balance -----------------------------------------------------------------------


def test_owners_and_admins_are_told_once_when_fewer_are_available_than_the_threshold():
    org = make_watched()
    make_spend(org, 50)
    tasks.alert(timestamp=0)
    assert told() == []
    make_hold(org, 1)  # reserved counts as gone
    for _ in range(3):
        tasks.alert(timestamp=0)
    (message,) = mail.outbox
    assert (message.subject, message.to) == (
        "Acme: 49 credits left",
        ["adm@a.example", "own@a.example"],
    )
    assert "fewer than the 50 at which you wanted to be told" in message.body
    assert Alert.objects.get().status == "SENT"


def test_they_are_told_again_only_after_a_fifth_more_was_there():
    org = make_watched()
    make_spend(org, 60)
    tasks.alert(timestamp=0)
    make_grant(org, 19)  # 59: not enough more
    tasks.alert(timestamp=0)
    make_spend(org, 30)
    tasks.alert(timestamp=0)
    assert told() == ["Acme: 40 credits left"]
    make_grant(org, 31)  # 60
    tasks.alert(timestamp=0)
    make_spend(org, 20)
    tasks.alert(timestamp=0)
    assert told() == ["Acme: 40 credits left", "Acme: 40 credits left"]


def test_another_threshold_is_a_crossing_of_its_own():
    org = make_watched()
    make_spend(org, 60)
    tasks.alert(timestamp=0)
    for _ in range(2):
        services.set_low_balance_threshold(org=org, threshold=45, reason=REASON, actor=TESTER)
        tasks.alert(timestamp=0)
    assert told() == ["Acme: 40 credits left", "Acme: 40 credits left"]


def test_without_a_threshold_no_mail_is_sent():
    org = make_watched()
    services.set_low_balance_threshold(org=org, threshold=None, reason=REASON, actor=TESTER)
    make_spend(org, 100)
    tasks.alert(timestamp=0)
    assert told() == []


def test_of_a_long_name_the_subject_has_the_beginning():
    org = make_watched()
    Organization.objects.filter(pk=org.pk).update(name="x" * 200)
    make_spend(org, 60)
    make_grant(org, 5, expires_at=timezone.now() + DAY)
    tasks.alert(timestamp=0)
    low, ending = (message.subject for message in mail.outbox)
    assert low == "x" * 182 + "…: 45 credits left"
    assert (len(ending), ending[:170]) == (200, "x" * 170)


@pytest.mark.parametrize("threshold", [0, -1, 10**9 + 1])
def test_a_threshold_that_makes_no_sense_is_refused(threshold):
    with pytest.raises(Invalid):
        make_watched(threshold)


# --- credits about to end --------------------------------------------------------------


def test_a_week_before_credits_end_they_are_told_once():
    org = make_watched(threshold=None)
    now = timezone.now()
    make_grant(org, 30, expires_at=now + 8 * DAY)
    make_grant(org, 40, expires_at=now + 20 * DAY)
    make_grant(org, 60, expires_at=now + 6 * DAY, kind=GrantKind.PLAN)
    assert alerts.notice(now=now) == 0
    assert alerts.notice(now=now + 2 * DAY) == 1
    assert alerts.notice(now=now + 3 * DAY) == 0
    assert alerts.send() == 1
    assert told() == [f"Acme: 30 credits end on {now + 8 * DAY:%Y-%m-%d}"]
    assert alerts.send() == 0


def test_what_was_spent_or_has_ended_is_not_told_of():
    org = make_watched(threshold=None, amount=0)
    now = timezone.now()
    make_grant(org, 30, expires_at=now + DAY)
    make_spend(org, 30)
    assert alerts.notice(now=now) == 0
    make_grant(org, 30, expires_at=now + DAY)
    assert alerts.notice(now=now + 2 * DAY) == 0


# --- sending ---------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_ten_tasks_at_once_write_one_row_and_send_one_mail():
    org = make_watched()
    make_spend(org, 60)
    make_grant(org, 5, expires_at=timezone.now() + DAY)
    results = run_together(10, lambda _: tasks.alert(timestamp=0))
    assert results == [None] * 10
    assert sorted(message.subject.split()[1] for message in mail.outbox) == ["45", "5"]
    assert Alert.objects.count() == 2


def test_while_the_mail_server_cannot_be_reached_it_waits(monkeypatch):
    org = make_watched()
    make_spend(org, 60)

    def refuse(self):
        raise ConnectionRefusedError

    monkeypatch.setattr(locmem.EmailBackend, "open", refuse)
    tasks.alert(timestamp=0)
    assert (told(), Alert.objects.get().status) == ([], "PENDING")
    monkeypatch.undo()
    tasks.alert(timestamp=0)
    assert (told(), Alert.objects.get().status) == (["Acme: 40 credits left"], "SENT")


def test_what_breaks_while_it_is_sent_is_never_sent_again(monkeypatch):
    org = make_watched()
    make_spend(org, 60)

    def break_off(self, messages):
        raise TimeoutError("no answer")

    monkeypatch.setattr(locmem.EmailBackend, "send_messages", break_off)
    tasks.alert(timestamp=0)
    monkeypatch.undo()
    tasks.alert(timestamp=0)
    alert = Alert.objects.get()
    assert (told(), alert.status, alert.error) == ([], "FAILED", "no answer")


def test_one_organization_that_fails_does_not_stop_the_alerts_of_others(caplog):
    """The database refuses its rows; the others are noticed and told."""
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE billing_alert ADD CONSTRAINT cursed CHECK (subject NOT LIKE 'Cursed%')"
        )
    cursed, org = make_organization(name="Cursed", credits_=100), make_watched()
    services.set_low_balance_threshold(org=cursed, threshold=50, reason=REASON, actor=TESTER)
    for each in (cursed, org):
        make_spend(each, 60)
        make_grant(each, 5, expires_at=timezone.now() + DAY)
    tasks.alert(timestamp=0)
    assert [subject.split()[0] for subject in told()] == ["Acme:"] * 2
    assert "low balance was not noticed" in caplog.text
    assert "credits about to end were not noticed" in caplog.text


def test_what_was_noticed_before_is_sent_though_nothing_can_be_noticed_now(monkeypatch):
    make_spend(make_watched(), 60)
    alerts.notice()

    def fail():
        raise OperationalError("no")

    monkeypatch.setattr(alerts, "notice", fail)
    with pytest.raises(OperationalError):
        tasks.alert(timestamp=0)
    assert told() == ["Acme: 40 credits left"]


def test_an_organization_without_anybody_to_tell_is_shown_to_staff():
    org = make_organization(credits_=1)
    services.set_low_balance_threshold(org=org, threshold=50, reason=REASON, actor=TESTER)
    tasks.alert(timestamp=0)
    assert (Alert.objects.get().status, told()) == ("FAILED", [])
