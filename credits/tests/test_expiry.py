from __future__ import annotations

import datetime
import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from clipforge.devtools.testing.factories import TESTER, make_grant, make_organization
from clipforge.devtools.testing.queries import statements
from credits import expiry, ledger, services, tasks
from credits.models import (
    CreditGrant,
    CreditHold,
    CreditTransaction,
    GrantKind,
    TransactionType,
)
from credits.selectors import Balance, balance
from credits.tests.makers import end, lapse, lots, make_hold, make_spend

pytestmark = pytest.mark.django_db

DAY = datetime.timedelta(days=1)


def expiries() -> list[int]:
    expired = CreditTransaction.objects.filter(type=TransactionType.EXPIRE).order_by("org_seq")
    return list(expired.values_list("amount", flat=True))


def test_unused_credits_end(organization):
    make_grant(organization, 10)
    make_spend(organization, 4)
    make_grant(organization, 5)
    ended = CreditGrant.objects.earliest("pk")
    end(ended)
    assert services.expire_grants() == 1
    assert balance(organization) == Balance(available=5, held=0, posted=5)
    assert lots(organization) == [(0, 0), (5, 0)]
    row = CreditTransaction.objects.latest("pk")
    assert (row.type, row.amount, row.balance_after) == ("EXPIRE", -6, 5)
    assert (row.reference_type, row.reference_id) == ("grant", str(ended.pk))
    assert row.actor == "system:expiry"


def test_nothing_ends_twice_or_early(organization):
    make_grant(organization, 10, expires_at=timezone.now() + DAY)
    make_grant(organization, 10)
    assert services.expire_grants() == 0
    assert services.expire_grants(now=timezone.now() + 2 * DAY) == 1
    assert services.expire_grants(now=timezone.now() + 2 * DAY) == 0
    assert balance(organization).posted == 10


def test_what_is_held_ends_when_the_hold_gives_it_back(organization):
    make_grant(organization, 10)
    released, captured = make_hold(organization, 3), make_hold(organization, 2)
    end(CreditGrant.objects.get())
    assert services.expire_grants() == 1
    assert balance(organization) == Balance(available=0, held=5, posted=5)
    services.release(hold_id=released.pk, actor="worker")
    assert balance(organization) == Balance(available=0, held=2, posted=2)
    services.capture(hold_id=captured.pk, fence=0, actor="worker")
    assert balance(organization) == Balance(available=0, held=0, posted=0)
    assert expiries() == [-5, -3]
    assert services.expire_grants() == 0


def test_one_organization_can_be_swept_alone(organization):
    other = make_organization()
    make_grant(organization, 10)
    make_grant(other, 10)
    end(*CreditGrant.objects.all())
    assert services.expire_grants(org=organization) == 1
    assert (balance(organization).posted, balance(other).posted) == (0, 10)
    assert services.expire_grants() == 1
    assert balance(other).posted == 0


def test_holds_that_were_not_extended_are_given_back(organization):
    make_grant(organization, 10)
    lapsed, alive = make_hold(organization, 3), make_hold(organization, 4)
    lapse(lapsed)
    assert services.expire_holds() == 1
    assert services.expire_holds() == 0
    lapsed.refresh_from_db()
    alive.refresh_from_db()
    assert (lapsed.status, lapsed.resolved_by, alive.status) == ("EXPIRED", "system:expiry", "HELD")
    assert balance(organization) == Balance(available=6, held=4, posted=10)
    assert services.capture(hold_id=lapsed.pk, fence=0, actor="worker") is None


def test_a_broken_ledger_does_not_stop_expiry_for_others(organization, monkeypatch, caplog):
    make_grant(organization, 10)
    broken, good = make_hold(organization, 3), make_hold(organization, 4)
    lapse(broken)
    lapse(good)
    release = ledger.release_hold

    def fail_for_one(hold_id, **options):
        if hold_id == broken.pk:
            raise ledger.LedgerBroken("broken")
        return release(hold_id, **options)

    monkeypatch.setattr(ledger, "release_hold", fail_for_one)
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 could not be ended"):
        call_command("expire_credits", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {"holds": 1, "settled": 0, "grants": 0, "failed": 1}
    statuses = CreditHold.objects.order_by("pk").values_list("status", flat=True)
    assert list(statuses) == ["HELD", "EXPIRED"]
    assert "expiry failed" in caplog.text


def test_the_task_of_every_minute_ends_holds_and_what_they_return(organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 10)
    lapse(hold)
    end(CreditGrant.objects.get())
    tasks.expire(timestamp=0)
    assert balance(organization) == Balance(available=0, held=0, posted=0)
    assert expiries() == [-10]


def test_the_task_is_due_every_minute():
    from procrastinate.contrib.django import app

    periodic = app.periodic_registry.periodic_tasks
    (cron,) = [each.cron for each in periodic.values() if each.task.name == "credits.expire"]
    assert cron == "* * * * *"
    assert app.tasks["credits.expire"].queue == "maintenance"


def test_a_sweep_with_nothing_due_is_two_reads(django_assert_num_queries):
    with django_assert_num_queries(2):
        services.expire_holds()
        services.expire_grants()
    assert connection.in_atomic_block


LOCK = ["INSERT credits_creditaccount", "SELECT credits_creditaccount"]


def test_the_account_is_locked_before_its_lots_are_read_and_ended(organization):
    make_grant(organization, 10)
    end(CreditGrant.objects.get())
    with statements() as said:
        assert services.expire_grants() == 1
    assert said[:4] == ["SELECT credits_creditgrant", *LOCK, "SELECT credits_creditgrant"]


def test_the_account_is_locked_before_what_came_back_settles_a_debt(organization):
    purchase = make_grant(organization, 100, kind=GrantKind.PURCHASE)
    hold = make_hold(organization, 60)
    services.reverse_grant(
        transaction=purchase,
        amount=100,
        reason="refund of 9.00 usd",
        actor=TESTER,
        audit=False,
        idempotency_key="refund",
    )
    services.release(hold_id=hold.pk, actor="worker")
    with statements() as said:
        assert expiry.settle_returned() == 60
    assert said[:4] == ["SELECT credits_creditreversal", *LOCK, "SELECT credits_creditgrant"]
