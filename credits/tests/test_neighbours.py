"""Each function of the ledger reads and changes the rows that it is told of, and no others.

Beside the organization of each test stand others, made before and after it, with lots, holds, spends
and debts like its own. A condition that is missing from a query finds theirs.
"""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from clipforge.audit.models import AuditEntry
from clipforge.common.errors import Conflict, Invalid
from clipforge.devtools.testing.factories import TESTER, make_grant, make_organization
from clipforge.devtools.testing.queries import statements
from credits import expiry, ledger, selectors, services
from credits.models import (
    CreditGrant,
    CreditHold,
    CreditReversal,
    CreditTransaction,
    GrantKind,
    TransactionType,
)
from credits.selectors import Balance, ReversedTotals, balance
from credits.tests.makers import end, lapse, lots, make_hold, make_spend

pytestmark = pytest.mark.django_db


def purchase(org, amount=100):
    return make_grant(org, amount, kind=GrantKind.PURCHASE)


def reverse(transaction, amount, key="back", reason="refund of 9.00 usd"):
    return services.reverse_grant(
        transaction=transaction,
        amount=amount,
        reason=reason,
        actor=TESTER,
        audit=False,
        idempotency_key=key,
    )


def refund(spend, amount=None, key="r"):
    return services.refund(
        transaction=spend,
        amount=amount,
        reason="the file was broken",
        actor=TESTER,
        audit=False,
        idempotency_key=key,
    )


def adjust(org, amount, key="a", **fields):
    return services.adjust(
        org=org,
        amount=amount,
        reason="counted wrongly",
        actor=TESTER,
        audit=False,
        idempotency_key=key,
        **fields,
    )


@pytest.fixture(autouse=True)
def neighbours(organization):
    """Two organizations, one with a smaller and one with a greater key, and their open rows."""
    others = [make_organization(credits_=50), make_organization(credits_=50)]
    for other in others:
        make_hold(other, 1)
        make_spend(other, 2)
    return others


def test_the_audit_says_the_kind_of_a_grant_and_its_end(organization):
    ends = timezone.now().replace(microsecond=0) + datetime.timedelta(days=1)
    services.grant(
        org=organization,
        amount=5,
        kind=GrantKind.PROMO,
        reason="a long outage",
        actor=TESTER,
        idempotency_key="g",
        expires_at=ends,
    )
    facts = AuditEntry.objects.latest("pk").after
    assert facts["kind"] == "PROMO"
    assert datetime.datetime.fromisoformat(facts["expires_at"]) == ends


# --- holds ------------------------------------------------------------------------------


def test_a_hold_is_handed_over_alone(organization, neighbours):
    make_grant(organization, 10)
    hold = make_hold(organization, 3)
    assert services.transfer_hold(hold_id=hold.pk, from_fence=0, to_fence=1)
    fences = CreditHold.objects.filter(status="HELD").values_list("org_id", "fence")
    assert dict(fences) == {organization.pk: 1} | {other.pk: 0 for other in neighbours}


def test_a_key_of_another_organization_is_another_hold(organization, neighbours):
    make_grant(organization, 10)
    make_hold(neighbours[0], 3, idempotency_key="k", reference_id="1")
    hold = make_hold(organization, 3, idempotency_key="k", reference_id="1")
    assert make_hold(organization, 3, idempotency_key="k", reference_id="1") == hold


def test_too_much_of_a_settled_hold_is_nothing_and_no_error(organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 5)
    services.release(hold_id=hold.pk, actor="worker")
    assert services.capture(hold_id=hold.pk, fence=0, actor="worker", amount=9) is None


def test_too_much_of_another_attempts_hold_is_nothing_and_no_error(organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 5, fence=1)
    assert services.capture(hold_id=hold.pk, fence=0, actor="worker", amount=9) is None
    with pytest.raises(Invalid, match="5 are held"):
        services.capture(hold_id=hold.pk, fence=1, actor="worker", amount=9)


# --- spends and their refunds -------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1])
def test_a_refund_is_of_its_own_hold(organization, first: int):
    make_grant(organization, 10)
    spends = [make_spend(organization, 3), make_spend(organization, 4)]
    refund(spends[first], key="one")
    refund(spends[1 - first], key="two")
    assert lots(organization) == [(10, 0)]
    assert balance(organization).posted == 10


def test_all_that_is_left_can_be_refunded_by_its_amount(organization):
    make_grant(organization, 10)
    spend = make_spend(organization, 4)
    refund(spend, 1, "one")
    assert refund(spend, 3, "two").amount == 3
    with pytest.raises(Conflict):
        refund(spend, 1, "three")


def test_a_refund_is_not_refunded(organization):
    make_grant(organization, 10)
    back = refund(make_spend(organization, 4))
    with pytest.raises(Invalid, match="Only a SPEND"):
        refund(back, key="again")


def test_a_refund_locks_the_hold_and_then_the_account(organization):
    make_grant(organization, 10)
    spend = make_spend(organization, 4)
    with statements() as said:
        refund(spend)
    assert said[:3] == [
        "SELECT credits_credithold",
        "INSERT credits_creditaccount",
        "SELECT credits_creditaccount",
    ]


# --- adjustments --------------------------------------------------------------------------


def test_one_credit_can_be_given_by_hand(organization):
    up = adjust(organization, 1, reference_type="ticket", reference_id="42")
    assert (up.amount, up.reference_type, up.reference_id) == (1, "ticket", "42")
    assert lots(organization) == [(1, 0)]


def test_the_key_of_a_grant_is_not_the_key_of_an_adjustment(organization):
    make_grant(organization, 5, idempotency_key="k")
    with pytest.raises(Conflict, match="was used for something else"):
        adjust(organization, 5, "k")


# --- ends by the clock --------------------------------------------------------------------


def test_a_settled_hold_is_not_due_after_its_end(organization):
    make_grant(organization, 10)
    hold = make_hold(organization, 3)
    services.capture(hold_id=hold.pk, fence=0, actor="worker")
    lapse(hold)
    assert not expiry.due_holds().exists()


def test_a_hold_that_is_extended_meanwhile_is_left_alone(organization, monkeypatch):
    make_grant(organization, 10)
    first, second, third = (make_hold(organization, 1) for _ in range(3))
    for minutes, hold in enumerate((third, second, first), start=1):
        ended = timezone.now() - datetime.timedelta(minutes=minutes)
        CreditHold.objects.filter(pk=hold.pk).update(expires_at=ended)
    release = ledger.release_hold

    def extend_the_second(hold_id, **options):
        services.extend_holds(hold_ids=[second.pk])
        return release(hold_id, **options)

    monkeypatch.setattr(ledger, "release_hold", extend_the_second)
    assert services.expire_holds() == 2
    statuses = CreditHold.objects.for_org(organization).order_by("pk")
    assert list(statuses.values_list("status", flat=True)) == ["EXPIRED", "HELD", "EXPIRED"]


def test_one_organizations_broken_lot_does_not_stop_anothers(organization, neighbours, monkeypatch):
    make_grant(organization, 10)
    end(*CreditGrant.objects.for_org(organization), *CreditGrant.objects.for_org(neighbours[1]))
    expire = ledger.expire_lot

    def fail_for_one(lot, *, actor):
        if lot.org_id == organization.pk:
            raise ledger.LedgerBroken("broken")
        expire(lot, actor=actor)

    monkeypatch.setattr(ledger, "expire_lot", fail_for_one)
    failed: set[str] = set()
    assert services.expire_grants(failed=failed) == 1
    assert failed == {str(organization.pk)}
    assert balance(neighbours[1]).posted == 1  # what is held


def test_the_row_of_an_end_names_its_lot(organization):
    make_grant(organization, 10)
    lot = CreditGrant.objects.for_org(organization).get()
    end(lot)
    services.expire_grants()
    row = CreditTransaction.objects.for_org(organization).latest("pk")
    assert (row.type, row.inputs) == ("EXPIRE", {"grants": {str(lot.pk): 10}})


# --- reversals and debts ------------------------------------------------------------------


def test_the_row_of_a_reversal_names_its_lot(organization):
    bought = purchase(organization)
    lot = CreditGrant.objects.for_org(organization).get()
    reverse(bought, 40)
    row = CreditTransaction.objects.for_org(organization).latest("pk")
    assert (row.type, row.inputs) == ("ADJUST", {"grants": {str(lot.pk): 40}})


@pytest.mark.parametrize("amount", [0, -1, True, 1.5])
def test_only_a_whole_number_of_credits_is_reversed(organization, amount):
    bought = purchase(organization)
    with pytest.raises(Invalid):
        reverse(bought, amount)
    assert not CreditReversal.objects.exists()


def test_a_key_of_another_organization_is_another_reversal(organization, neighbours):
    theirs, ours = purchase(neighbours[0]), purchase(organization)
    reverse(theirs, 10, "k")
    assert reverse(ours, 10, "k").org_id == organization.pk
    assert (selectors.reversible(theirs), selectors.reversible(ours)) == (90, 90)


def test_what_is_left_to_reverse_is_of_this_grant(organization):
    one, two = purchase(organization), purchase(organization)
    reverse(one, 30)
    assert (selectors.reversible(one), selectors.reversible(two)) == (70, 100)


def test_the_end_of_another_lot_does_not_lessen_a_debt(organization):
    make_grant(organization, 10)
    end(CreditGrant.objects.for_org(organization).get())
    services.expire_grants()
    bought = purchase(organization)
    make_spend(organization, 30)
    reversal = reverse(bought, 100)
    assert (reversal.taken, reversal.owed) == (70, 30)


def test_what_is_held_is_owed_and_what_ended_is_not(organization):
    bought = purchase(organization)
    make_hold(organization, 20)
    make_spend(organization, 30)
    end(CreditGrant.objects.for_org(organization).get())
    services.expire_grants()
    reversal = reverse(bought, 100)
    assert (reversal.taken, reversal.owed) == (0, 50)


def test_what_was_taken_before_is_not_owed_as_well(organization):
    bought = purchase(organization)
    reverse(bought, 10, "one")
    make_spend(organization, 30)
    end(CreditGrant.objects.for_org(organization).get())
    services.expire_grants()
    reversal = reverse(bought, 90, "two")
    assert (reversal.taken, reversal.owed) == (0, 30)


def test_a_debt_is_settled_out_of_what_no_other_hold_keeps(organization):
    bought = purchase(organization)
    released = make_hold(organization, 60)
    make_hold(organization, 20)
    reverse(bought, 100)
    services.release(hold_id=released.pk, actor="worker")
    assert services.settle_returned() == 60
    assert lots(organization) == [(20, 20)]
    assert balance(organization).debt == 20


def test_a_debt_is_settled_out_of_the_lot_that_it_is_about(organization):
    one, two = purchase(organization), purchase(organization)
    make_hold(organization, 100)
    second = make_hold(organization, 100)
    reverse(one, 100, "one")
    reverse(two, 60, "two")
    services.release(hold_id=second.pk, actor="worker")
    assert services.settle_returned() == 60
    owed = CreditReversal.objects.order_by("pk").values_list("owed", "settled")
    assert list(owed) == [(100, 0), (60, 60)]
    assert lots(organization) == [(100, 100), (40, 0)]


def test_a_sweep_reads_once_where_no_debt_is_left(organization, django_assert_num_queries):
    spent = purchase(organization)
    make_spend(organization, 100)
    reverse(spent, 100, "one")
    settles = purchase(organization, 200)
    reverse(settles, 40, "two")  # which owes nothing, and its lot has 60 left
    owed = CreditReversal.objects.order_by("pk").values_list("owed", "settled")
    assert list(owed) == [(100, 100), (0, 0)]
    assert lots(organization) == [(0, 0), (60, 0)]
    with django_assert_num_queries(1):
        assert services.settle_returned() == 0


def test_a_sweep_reads_once_where_nothing_came_back(organization, django_assert_num_queries):
    spent = purchase(organization)
    make_spend(organization, 100)
    reverse(spent, 100)
    assert balance(organization).debt == 100
    with django_assert_num_queries(1):
        assert services.settle_returned() == 0


@pytest.mark.parametrize(("extra", "length"), [(-1, 499), (0, 500), (1, 500)])
def test_the_reason_of_a_settlement_fits_its_column(organization, extra: int, length: int):
    said = "x" * (500 - len("Settles what is owed: ") + extra)
    bought = purchase(organization)
    make_spend(organization, 100)
    reverse(bought, 100, reason=said)
    make_grant(organization, 5)
    row = CreditTransaction.objects.for_org(organization).filter(reference_type="reversal").get()
    assert len(row.reason) == length
    assert row.reason == f"Settles what is owed: {said}"[:500]


# --- reads --------------------------------------------------------------------------------


def test_an_account_is_that_of_its_organization(organization, neighbours):
    make_grant(organization, 10)
    found = [selectors.account(org) for org in (organization, *neighbours)]
    assert [account and account.posted for account in found] == [10, 48, 48]


def test_the_grants_of_a_reference_are_grants_and_have_it(organization):
    given = make_grant(organization, 5, reference_type="payment", reference_id="1")
    make_grant(organization, 6, reference_type="payment", reference_id="2")
    make_grant(organization, 7, reference_type="ticket", reference_id="1")
    adjust(organization, 8, reference_type="payment", reference_id="1")
    assert selectors.grants_for("payment", "1", org=organization) == [given]


def test_nothing_is_reversed_of_a_grant_that_stands(organization):
    assert selectors.reversed_totals([purchase(organization)]) == ReversedTotals(0, 0)


def test_what_was_granted_again_and_was_over_before_has_not_ended_of_it(organization):
    bought = purchase(organization)
    end(CreditGrant.objects.for_org(organization).get())
    services.expire_grants()
    reverse(bought, 100)
    assert selectors.reversed_totals([bought]) == ReversedTotals(100, 100)
    again = services.grant(
        org=organization,
        amount=100,
        kind=GrantKind.PURCHASE,
        reason="the dispute was won",
        actor=TESTER,
        audit=False,
        idempotency_key="again",
        ended=60,
    )
    assert selectors.reversed_totals([bought, again]) == ReversedTotals(100, 40)
    assert CreditTransaction.objects.filter(type=TransactionType.EXPIRE).count() == 2


def test_a_balance_that_the_request_has_read_already_is_not_read_again(organization):
    make_grant(organization, 10)
    assert balance(organization, found=b"[7, 1, 8, 0]") == Balance(7, 1, 8, 0)
