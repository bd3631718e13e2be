"""The functions of the database where the order of lots, another's rows or a broken ledger show a fault."""

from __future__ import annotations

import datetime
import uuid

import pytest
from django.db import connection, transaction
from django.utils import timezone

from clipforge.devtools.testing.clocks import around
from clipforge.devtools.testing.factories import (
    TESTER,
    make_api_key,
    make_grant,
    make_organization,
)
from clipforge.devtools.testing.state import announced_versions
from clipforge.orgs.models import Organization
from credits import ledger, services
from credits.errors import TooManyOpenHolds
from credits.models import (
    CreditAccount,
    CreditGrant,
    CreditHold,
    CreditTransaction,
    GrantKind,
    HoldStatus,
)
from credits.tests.makers import end, lots, make_charge, make_hold, make_spend

pytestmark = pytest.mark.django_db


def in_days(days: int) -> datetime.datetime:
    return timezone.now() + datetime.timedelta(days=days)


def overspent(organization: Organization, posted: int) -> None:
    """Leave the account less than its holds say, behind the constraint that forbids it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SET CONSTRAINTS ALL IMMEDIATE;"
            " ALTER TABLE credits_creditaccount DROP CONSTRAINT credits_account_not_overspent"
        )
    CreditAccount.objects.filter(pk=organization.pk).update(posted=posted)


def test_a_part_capture_spends_first_what_is_drawn_first(organization):
    """By priority, however old the lots are, and give back the last."""
    make_grant(organization, 5, kind=GrantKind.PURCHASE)
    make_grant(organization, 5, kind=GrantKind.PROMO)
    make_grant(organization, 5, kind=GrantKind.PLAN)
    hold = make_hold(organization, 15)
    services.capture(hold_id=hold.pk, fence=0, actor="worker", amount=7)
    assert lots(organization) == [(5, 0), (0, 0), (3, 0)]


def test_of_one_priority_what_ends_first_is_spent_first_and_what_never_ends_last(organization):
    for ends in (None, in_days(20), in_days(10)):
        make_grant(organization, 5, kind=GrantKind.PROMO, expires_at=ends)
    hold = make_hold(organization, 15)
    services.capture(hold_id=hold.pk, fence=0, actor="worker", amount=7)
    assert lots(organization) == [(5, 0), (3, 0), (0, 0)]


def test_of_another_organization_no_debt_is_made_and_none_is_settled():
    debtors = [make_organization(), make_organization()]
    for org in debtors:
        bought = make_grant(org, 10, kind=GrantKind.PURCHASE)
        make_spend(org, 10)
        services.reverse_grant(
            transaction=bought,
            amount=4,
            reason="refund",
            actor=TESTER,
            audit=False,
            idempotency_key="back",
        )
    debts = CreditAccount.objects.values_list("org", "debt", "posted")
    assert {row[0]: row[1:] for row in debts.all()} == {org.pk: (4, 0) for org in debtors}
    make_grant(debtors[1], 20)
    assert {row[0]: row[1:] for row in debts} == {debtors[0].pk: (4, 0), debtors[1].pk: (0, 16)}


def place(
    organization: Organization, amount: int, key: str = "k", actor: str = "test"
) -> ledger.Placed:
    with transaction.atomic():
        return ledger.place_hold(
            org_id=organization.pk,
            charge=make_charge(amount),
            reason="export",
            reference_type="export",
            reference_id="1",
            idempotency_key=key,
            actor=actor,
            fence=0,
            max_open_holds=None,
        )


def test_what_came_of_placing_a_hold_is_said(organization):
    make_grant(organization, 10)
    assert [place(organization, 6).outcome for _ in range(2)] == ["placed", "repeated"]
    assert place(organization, 5, key="l") == ledger.Placed("refused", None, None)
    api_key = make_api_key(organization, monthly_cap=2).api_key
    by_key = [place(organization, 2, key, f"key:{api_key.prefix}") for key in ("m", "m", "n")]
    assert [each.outcome for each in by_key] == ["placed", "repeated", "capped"]


def test_a_refusal_because_lots_have_ended_announces_nothing(organization):
    make_grant(organization, 10)
    end(CreditGrant.objects.get())
    with announced_versions() as heard:
        placed = place(organization, 4)
    assert (placed, heard) == (ledger.Placed("ended", None, 0), [])
    assert CreditHold.objects.count() == 0


@pytest.mark.breaks_ledger
def test_a_release_from_an_account_without_what_others_hold_is_a_broken_ledger(organization):
    make_grant(organization, 10)
    hold, _other = make_hold(organization, 4), make_hold(organization, 4)
    overspent(organization, 3)
    broken = pytest.raises(ledger.LedgerBroken, match=f"hold {hold.pk} cannot be settled")
    with broken, transaction.atomic():
        services.release(hold_id=hold.pk, actor="test")
    assert CreditHold.objects.filter(status="HELD").count() == 2
    CreditAccount.objects.update(posted=4)
    assert services.release(hold_id=hold.pk, actor="test")


@pytest.mark.breaks_ledger
def test_a_lot_with_more_than_its_account_is_a_broken_ledger(organization):
    make_grant(organization, 10)
    overspent(organization, 6)
    lot = CreditGrant.objects.get()
    broken = pytest.raises(ledger.LedgerBroken, match=f"grant {lot.pk} does not have 7")
    with broken, transaction.atomic():
        ledger.take_out(
            lot,
            7,
            reason="refund",
            reference_type="",
            reference_id="",
            actor="test",
            idempotency_key="k",
        )
    assert lots(organization) == [(10, 0)]
    assert CreditTransaction.objects.count() == 1


@pytest.mark.parametrize("which", ["no hold", "another attempt's", "a settled one"])
def test_what_cannot_be_settled_says_nothing_of_what_others_hold(organization, which: str):
    make_grant(organization, 10)
    hold, settled = make_hold(organization, 4), make_hold(organization, 3)
    services.release(hold_id=settled.pk, actor="test")
    asked = {"no hold": uuid.uuid4(), "a settled one": settled.pk}.get(which, hold.pk)
    for captured in (None, 0, 5):
        assert ledger.settle_hold(
            asked,
            status=HoldStatus.CAPTURED,
            captured=captured,
            fence=1 if which == "another attempt's" else 0,
            actor="test",
        ) == ledger.Settled(False, None, None)
    assert ledger.settle_hold(
        hold.pk, status=HoldStatus.CAPTURED, captured=5, fence=0, actor="test"
    ) == ledger.Settled(False, 4, None)


def test_a_hold_may_have_the_key_of_another_organizations(organization):
    other = make_organization(credits_=10)
    make_grant(organization, 10)
    theirs, ours = place(other, 3), place(organization, 4)
    assert (theirs.outcome, ours.outcome) == ("placed", "placed")
    again = [place(org, amount) for org, amount in ((organization, 4), (other, 3))]
    assert [each.outcome for each in again] == ["repeated"] * 2
    assert [each.hold.amount for each in again if each.hold] == [4, 3]


def test_reserving_and_releasing_move_the_account_of_that_organization_by_one_version(organization):
    other = make_organization(credits_=10)
    make_grant(organization, 10)

    def accounts() -> list[tuple[int, int, int]]:
        rows = CreditAccount.objects.filter(pk__in=(organization.pk, other.pk))
        found = {row.pk: (row.held, row.open_holds, row.version) for row in rows}
        return [found[organization.pk], found[other.pk]]

    assert accounts() == [(0, 0, 1), (0, 0, 1)]
    first, second = make_hold(organization, 4), make_hold(organization, 3)
    assert accounts() == [(7, 2, 3), (0, 0, 1)]
    services.release(hold_id=first.pk, actor="test")
    assert accounts() == [(3, 1, 4), (0, 0, 1)]
    services.capture(hold_id=second.pk, fence=0, actor="test")
    assert accounts() == [(0, 0, 5), (0, 0, 1)]


def test_a_row_of_the_ledger_says_who_ordered_what_it_pays_for(organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 4, actor="key:abcdefgh")
    make_hold(organization, 1, actor="user:1")
    services.capture(hold_id=hold.pk, fence=0, actor="worker")
    rows = CreditTransaction.objects.order_by("org_seq").values_list("type", "ordered_by")
    assert list(rows) == [("GRANT", ""), ("SPEND", "key:abcdefgh")]


def test_as_many_holds_are_open_as_may_be_and_not_one_more(organization):
    make_grant(organization, 10)
    for _ in range(2):
        make_hold(organization, 1, max_open_holds=2)
    with pytest.raises(TooManyOpenHolds):
        make_hold(organization, 1, max_open_holds=2)
    assert make_hold(organization, 1, max_open_holds=3).amount == 1


def test_what_comes_back_to_a_lot_in_the_microsecond_in_which_it_ends_expires(organization):
    make_grant(organization, 10)
    lot, hold = CreditGrant.objects.get(), make_hold(organization, 4)
    ends = timezone.now() + datetime.timedelta(minutes=5)
    CreditGrant.objects.filter(pk=lot.pk).update(expires_at=ends)

    def left() -> list[tuple[int, int]]:
        services.release(hold_id=hold.pk, actor="test")
        return lots(organization)

    assert around(ends, left) == [[(10, 0)], [(0, 0)], [(0, 0)]]


def test_an_id_of_no_hold_settles_nothing():
    assert ledger.settle_hold(
        uuid.uuid4(),
        status=HoldStatus.RELEASED,
        captured=0,
        fence=None,
        actor="test",
    ) == ledger.Settled(False, None, None)
