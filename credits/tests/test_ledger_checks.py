"""Records of the ledger's checks: the time, the actor and the result."""

from __future__ import annotations

from types import SimpleNamespace

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from clipforge.devtools.testing.factories import make_organization
from clipforge.orgs.models import Organization
from credits import reconciling, selectors, tasks
from credits.invariants import Breach
from credits.models import CreditAccount, LedgerCheck

pytestmark = pytest.mark.django_db


def test_the_hourly_check_of_a_ledger_that_adds_up_is_recorded():
    make_organization(credits_=40)
    tasks.check(timestamp=0)
    found = LedgerCheck.objects.get()
    assert (found.breaches, found.first, found.actor) == (0, [], "system:ledger")
    assert found.seconds > 0


def test_the_latest_proof_is_the_last_check_that_found_nothing():
    assert selectors.latest_ledger_proof() is None
    for breaches in (1, 0, 0, 1):
        LedgerCheck.objects.create(breaches=breaches, first=[], actor="test", seconds=1.0)
    found = selectors.latest_ledger_proof()
    assert found == LedgerCheck.objects.order_by("pk")[2]


@pytest.mark.breaks_ledger
def test_breaches_are_recorded_with_the_first_of_them_in_words(caplog):
    org = make_organization(credits_=40)
    CreditAccount.objects.update(posted=41)
    tasks.check(timestamp=0)
    found = LedgerCheck.objects.get()
    assert (found.breaches, found.first) == (
        2,
        [
            f"1: {org.pk}: posted is 41 but the transactions add up to 40",
            f"3: {org.pk}: posted is 41 but 40 remain in the grants",
        ],
    )
    assert "does not add up" in caplog.text


@pytest.mark.breaks_ledger
def test_of_many_breaches_the_first_twenty_are_kept():
    for _ in range(11):
        make_organization(credits_=40)
    CreditAccount.objects.update(posted=41)
    check, breaches = reconciling.check_ledger(actor="test")
    assert (check.breaches, len(breaches), len(check.first)) == (22, 22, 20)


def test_an_operator_who_checks_everything_is_recorded_too(capsys):
    make_organization(name="Acme", credits_=40)
    call_command("reconcile_credits")
    assert LedgerCheck.objects.get().actor == "command:reconcile_credits"
    call_command("reconcile_credits", "--org", "acme")  # says nothing of the others
    assert LedgerCheck.objects.count() == 1


@pytest.mark.breaks_ledger
def test_a_check_that_fails_an_operator_is_recorded_all_the_same(capsys):
    make_organization(credits_=40)
    CreditAccount.objects.update(posted=41)
    with pytest.raises(CommandError):
        call_command("reconcile_credits")
    assert LedgerCheck.objects.get().breaches == 2


@pytest.mark.django_db(transaction=True)
def test_a_check_that_takes_too_long_is_given_up_and_does_not_say_that_all_is_well(caplog):
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("LOCK TABLE credits_creditaccount")
        with pytest.raises(OperationalError):
            reconciling.breaches(seconds=0.1)
        check, breaches = reconciling.check_ledger(actor="test", seconds=0.1)
    assert (check.breaches, check.first, breaches) == (None, [], [])
    assert reconciling.breaches(seconds=60) == []


def test_the_last_thousand_are_kept(monkeypatch):
    monkeypatch.setattr(reconciling, "MAX_CHECKS_KEPT", 3)
    for _ in range(5):
        reconciling.check_ledger(actor="test")
    assert LedgerCheck.objects.count() == 3


def test_each_statement_may_take_what_is_left_of_the_time():
    with reconciling.time_limit(60) as limit, connection.cursor() as cursor:
        limit()
        cursor.execute("SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'")
        assert 50_000 < cursor.fetchone()[0] <= 60_000


def statement_timeout() -> int:
    """Milliseconds, as the connection has it now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'")
        return int(cursor.fetchone()[0])


def test_a_registered_check_has_what_is_left_of_the_time_and_its_breaches_are_found(monkeypatch):
    org = make_organization(credits_=40)
    now, limits = [1000.0], []

    def check(of: Organization | None) -> list[Breach]:
        limits.append((of, statement_timeout()))
        now[0] += 20
        return [Breach(9, org.pk, f"found by check {len(limits)}")]

    monkeypatch.setattr(reconciling, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(reconciling, "_registered", [check, check])
    assert reconciling.breaches(org, seconds=60) == [
        Breach(9, org.pk, "found by check 1"),
        Breach(9, org.pk, "found by check 2"),
    ]
    assert limits == [(org, 60_000), (org, 40_000)]
