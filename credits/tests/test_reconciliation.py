"""Each invariant is noticed when it is broken: by a hand, with what protects it switched off."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from clipforge.devtools.testing.factories import TESTER, make_grant, make_organization
from clipforge.orgs.models import Organization
from credits import invariants, services
from credits.invariants import Breach, broken_invariants
from credits.models import CreditAccount, CreditGrant, CreditHold, CreditTransaction
from credits.tests.makers import make_hold, make_spend

pytestmark = [pytest.mark.django_db, pytest.mark.breaks_ledger]


@pytest.fixture
def ledger(organization):
    """Granted 100 and 50, spent 30, refunded 10, 20 held; and another organization, all well."""
    make_grant(organization, 100)
    make_grant(organization, 50)
    spend = make_spend(organization, 30)
    services.refund(
        transaction=spend,
        amount=10,
        reason="broken file",
        actor=TESTER,
        audit=False,
        idempotency_key="r",
    )
    make_hold(organization, 20)
    make_spend(make_organization(credits_=5), 1)
    assert broken_invariants() == []
    return organization


def unprotect(*statements: str) -> None:
    """Switch the trigger off, and run what else must go, until the test is rolled back."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # no ALTER TABLE while checks are due
        cursor.execute("ALTER TABLE credits_credittransaction DISABLE TRIGGER credits_append_only")
        for statement in statements:
            cursor.execute(statement)


def numbers(breaches: list[Breach]) -> list[int]:
    return [breach.invariant for breach in breaches]


def test_posted_that_is_not_the_sum_of_the_transactions_is_1_and_3(ledger):
    CreditAccount.objects.filter(pk=ledger.pk).update(posted=131)
    assert broken_invariants() == [
        Breach(1, ledger.pk, "posted is 131 but the transactions add up to 130"),
        Breach(3, ledger.pk, "posted is 131 but 130 remain in the grants"),
    ]


def test_held_that_is_not_the_sum_of_the_open_holds_is_2_and_4(ledger):
    CreditAccount.objects.filter(pk=ledger.pk).update(held=19)
    assert broken_invariants() == [
        Breach(2, ledger.pk, "held is 19 but the open holds add up to 20"),
        Breach(4, ledger.pk, "held is 19 but 20 are held in the grants"),
    ]


def test_grants_that_do_not_hold_what_is_posted_are_3(ledger):
    CreditGrant.objects.filter(pk=first_grant(ledger).pk).update(remaining=70)
    assert broken_invariants() == [
        Breach(3, ledger.pk, "posted is 130 but 120 remain in the grants")
    ]


def test_grants_that_do_not_hold_what_is_held_are_4(ledger):
    grant = first_grant(ledger)
    CreditGrant.objects.filter(pk=grant.pk).update(held=21)
    assert broken_invariants() == [
        Breach(4, ledger.pk, "held is 20 but 21 are held in the grants"),
        Breach(4, ledger.pk, f"grant {grant.pk}: held is 21 but its open holds add up to 20"),
    ]


def test_two_grants_that_are_wrong_by_the_same_are_4(ledger):
    one, two = CreditGrant.objects.for_org(ledger).order_by("pk")
    CreditGrant.objects.filter(pk=one.pk).update(held=15)
    CreditGrant.objects.filter(pk=two.pk).update(held=5)
    assert numbers(broken_invariants()) == [4, 4]


def test_a_balance_after_that_does_not_follow_from_the_one_before_is_5(ledger):
    unprotect()
    row = spend_of(ledger)
    CreditTransaction.objects.filter(pk=row.pk).update(balance_after=121)
    breaches = broken_invariants()
    assert breaches[0] == Breach(
        5,
        ledger.pk,
        f"transaction {row.pk}: balance_after is 121 but the one before and the amount make 120",
    )
    assert numbers(breaches) == [5, 5]  # the row, and the one after it


def test_a_deleted_row_is_1_and_5(ledger):
    unprotect()
    CreditTransaction.objects.for_org(ledger).earliest("pk").delete()
    assert numbers(broken_invariants()) == [1, 5]


def test_an_overspent_account_is_6(ledger):
    unprotect("ALTER TABLE credits_creditaccount DROP CONSTRAINT credits_account_not_overspent")
    CreditAccount.objects.filter(pk=ledger.pk).update(held=131)
    breaches = broken_invariants()
    assert numbers(breaches) == [2, 4, 6]
    assert breaches[-1].message == (
        "posted is 130 and held is 131: more is reserved than there is, or less than nothing"
    )


def test_a_hold_captured_twice_is_7(ledger):
    unprotect("DROP INDEX credits_transaction_one_capture")
    row = spend_of(ledger)
    row.pk, row.amount, row.balance_after, row.org_seq = None, -1, 129, 99
    row.idempotency_key = "again"
    row.save(force_insert=True)
    breaches = broken_invariants()
    assert numbers(breaches) == [1, 7]
    assert breaches[-1].message == f"hold {row.hold_id}: captured is 30 but 2 captures took 31"


def test_a_captured_hold_without_its_spend_is_7(ledger):
    hold = CreditHold.objects.for_org(ledger).get(status="CAPTURED")
    CreditHold.objects.filter(pk=hold.pk).update(captured=29)
    assert broken_invariants() == [
        Breach(7, ledger.pk, f"hold {hold.pk}: captured is 29 but 1 captures took 30")
    ]


def test_however_many_breaches_there_are_a_thousand_of_each_statement_are_read(
    ledger, monkeypatch: pytest.MonkeyPatch
):
    assert invariants.MOST_BREACHES == 1000
    monkeypatch.setattr(invariants, "MOST_BREACHES", 3)
    for _ in range(4):
        make_organization(credits_=5)
    CreditAccount.objects.update(posted=F("posted") + 1)
    assert Counter(numbers(broken_invariants())) == {1: 3, 3: 3}
    assert Counter(numbers(broken_invariants(ledger))) == {1: 1, 3: 1}


def test_of_a_ledger_that_adds_up_no_row_is_sent_to_us(ledger):
    """Each statement is one answer of breaches alone, of which PostgreSQL keeps count."""
    rows: list[int] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        found = execute(sql, params, many, context)
        rows.append(context["cursor"].rowcount)
        return found

    for _ in range(30):
        make_spend(ledger, 1)
    with connection.execute_wrapper(note):
        assert broken_invariants() == []
    assert rows == [0] * len(invariants.INVARIANTS)


def test_one_organization_can_be_checked_alone(ledger):
    other = make_organization()
    CreditAccount.objects.filter(pk=ledger.pk).update(posted=131)
    assert broken_invariants(other) == []
    assert numbers(broken_invariants(ledger)) == [1, 3]


def first_grant(org: Organization) -> CreditGrant:
    return CreditGrant.objects.for_org(org).earliest("pk")


def spend_of(org: Organization) -> CreditTransaction:
    return CreditTransaction.objects.for_org(org).get(type="SPEND")
