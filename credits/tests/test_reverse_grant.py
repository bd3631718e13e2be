from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F, Sum

from clipforge.audit.models import AuditEntry
from clipforge.common.errors import Conflict, Invalid
from clipforge.devtools.testing.factories import TESTER, make_grant, make_organization
from clipforge.devtools.testing.races import run_together
from credits import ledger, services, tasks
from credits.models import (
    CreditAccount,
    CreditGrant,
    CreditReversal,
    CreditTransaction,
    GrantKind,
    TransactionType,
)
from credits.selectors import Balance, balance, reversed_totals, reversible
from credits.tests.makers import end, lots, make_hold, make_spend

pytestmark = pytest.mark.django_db


def make_purchase(org, amount=100):
    return make_grant(org, amount, kind=GrantKind.PURCHASE)


def reverse_grant(purchase, amount=100, key="refund"):
    return services.reverse_grant(
        transaction=purchase,
        amount=amount,
        reason="refund of 9.00 usd",
        actor=TESTER,
        audit=False,
        idempotency_key=key,
        reference_type="payment",
        reference_id="p1",
    )


def parts(reversal):
    reversal.refresh_from_db()
    return (reversal.taken, reversal.owed, reversal.settled)


@pytest.fixture(autouse=True)
def debts_add_up(db):
    """The account's debt is what its reversals still owe."""
    yield
    for account in CreditAccount.objects.all():
        owed = account.org.credit_reversals.aggregate(sum=Sum(F("owed") - F("settled"), default=0))
        assert account.debt == owed["sum"]


def test_unused_credits_are_taken_out_of_their_own_lot(organization):
    make_grant(organization, 10)
    purchase = make_purchase(organization)
    reversal = reverse_grant(purchase)
    assert parts(reversal) == (100, 0, 0)
    assert balance(organization) == Balance(available=10, held=0, posted=10, debt=0)
    assert lots(organization) == [(10, 0), (0, 0)]
    row = CreditTransaction.objects.latest("pk")
    assert (row.type, row.amount, row.idempotency_key) == ("ADJUST", -100, "refund")
    assert (row.reference_type, row.reference_id) == ("payment", "p1")


def test_what_was_spent_is_owed_and_the_next_grants_settle_it(organization):
    purchase = make_purchase(organization)
    make_spend(organization, 70)
    reversal = reverse_grant(purchase)
    assert parts(reversal) == (30, 70, 0)
    assert balance(organization) == Balance(available=0, held=0, posted=0, debt=70)
    make_grant(organization, 50)
    assert balance(organization) == Balance(available=0, held=0, posted=0, debt=20)
    make_grant(organization, 50)
    assert balance(organization) == Balance(available=30, held=0, posted=30, debt=0)
    assert parts(reversal) == (30, 70, 70)
    settled = CreditTransaction.objects.filter(reference_type="reversal").order_by("pk")
    assert [(row.type, row.amount, row.reference_id) for row in settled] == [
        ("ADJUST", -50, str(reversal.pk)),
        ("ADJUST", -20, str(reversal.pk)),
    ]


def test_other_lots_are_left_alone(organization):
    purchase = make_purchase(organization)
    make_spend(organization, 100)
    make_grant(organization, 40)
    assert parts(reverse_grant(purchase)) == (0, 100, 0)
    assert balance(organization) == Balance(available=40, held=0, posted=40, debt=100)


def test_work_under_way_goes_on_and_is_owed(organization):
    purchase = make_purchase(organization)
    hold = make_hold(organization, 60)
    reversal = reverse_grant(purchase)
    assert parts(reversal) == (40, 60, 0)
    assert balance(organization) == Balance(available=0, held=60, posted=60, debt=60)
    assert services.capture(hold_id=hold.pk, fence=0, actor="worker") is not None
    assert balance(organization) == Balance(available=0, held=0, posted=0, debt=60)


def test_what_work_gives_back_afterwards_settles_the_debt(organization):
    purchase = make_purchase(organization)
    hold = make_hold(organization, 60)
    reversal = reverse_grant(purchase)
    services.release(hold_id=hold.pk, actor="worker")
    tasks.expire(timestamp=0)
    tasks.expire(timestamp=0)
    assert balance(organization) == Balance(available=0, held=0, posted=0, debt=0)
    assert parts(reversal) == (40, 60, 60)


def test_what_comes_back_to_a_lot_that_has_ended_settles_its_debt_before_it_ends(organization):
    purchase = make_purchase(organization)
    hold = make_hold(organization, 100)
    reversal = reverse_grant(purchase, 60, "a")
    end(CreditGrant.objects.get())
    services.release(hold_id=hold.pk, actor="worker")
    assert parts(reversal) == (0, 60, 60)
    assert balance(organization) == Balance(available=0, held=0, posted=0, debt=0)
    last = CreditTransaction.objects.order_by("-pk")[:2]
    assert [(row.type, row.amount) for row in last] == [("EXPIRE", -40), ("ADJUST", -60)]
    # The rest ended unused: it is neither taken nor owed.
    assert parts(reverse_grant(purchase, 40, "b")) == (0, 0, 0)


def test_a_lot_that_is_swept_after_its_end_settles_its_debt_first(organization):
    purchase = make_purchase(organization)
    hold = make_hold(organization, 60)
    reversal = reverse_grant(purchase)
    services.release(hold_id=hold.pk, actor="worker")
    end(CreditGrant.objects.get())
    assert services.expire_grants() == 1
    assert parts(reversal) == (40, 60, 60)
    assert balance(organization) == Balance(available=0, held=0, posted=0, debt=0)
    assert not CreditTransaction.objects.filter(type="EXPIRE").exists()


def test_what_ended_unused_is_neither_taken_nor_owed(organization):
    purchase = make_purchase(organization)
    make_spend(organization, 30)
    end(CreditGrant.objects.get())
    services.expire_grants()
    assert parts(reverse_grant(purchase)) == (0, 30, 0)
    assert balance(organization).debt == 30


@pytest.mark.breaks_ledger
def test_what_ended_of_another_object_with_the_same_id_is_not_of_the_lot(organization):
    make_purchase(organization)
    make_spend(organization, 60)
    lot = CreditGrant.objects.get()
    ledger.post(
        organization.pk,
        TransactionType.EXPIRE,
        -5,
        reason="of another object",
        reference_type="other",
        reference_id=str(lot.pk),
        inputs={},
        actor=str(TESTER),
        idempotency_key="other",
    )
    assert ledger.parts_to_reverse(lot, 100) == (40, 60)


def test_in_parts_it_is_the_same_as_at_once(organization):
    purchase = make_purchase(organization)
    make_spend(organization, 70)
    assert parts(reverse_grant(purchase, 20, "a")) == (20, 0, 0)
    assert parts(reverse_grant(purchase, 20, "b")) == (10, 10, 0)
    assert parts(reverse_grant(purchase, 60, "c")) == (0, 60, 0)
    assert balance(organization) == Balance(available=0, held=0, posted=0, debt=70)
    with pytest.raises(Invalid, match="100 were taken back"):
        reverse_grant(purchase, 1, "d")


def test_the_oldest_debt_is_settled_first(organization):
    first, second = make_purchase(organization), make_purchase(organization)
    make_spend(organization, 200)
    old, new = reverse_grant(first, 100, "a"), reverse_grant(second, 100, "b")
    make_grant(organization, 120)
    assert (parts(old), parts(new)) == ((0, 100, 100), (0, 100, 20))
    assert balance(organization).debt == 80


def test_a_debt_that_is_settled_does_not_keep_a_later_one_from_being_settled(organization):
    purchase = make_purchase(organization)
    make_spend(organization, 100)
    settled = reverse_grant(purchase, 50, "a")
    make_grant(organization, 50)
    open_ = reverse_grant(purchase, 50, "b")
    make_grant(organization, 50)
    assert (parts(settled), parts(open_)) == ((0, 50, 50), (0, 50, 50))
    assert balance(organization) == Balance(available=0, held=0, posted=0, debt=0)


def test_the_same_key_takes_once_and_another_amount_is_refused(organization):
    purchase = make_purchase(organization)
    first = reverse_grant(purchase, 40)
    assert reverse_grant(purchase, 40) == first
    assert balance(organization).posted == 60
    with pytest.raises(Conflict) as refused:
        reverse_grant(purchase, 41)
    assert refused.value.error_code == "idempotency_key_reused"


def test_a_grant_that_is_repeated_settles_nothing_more(organization):
    purchase = make_purchase(organization)
    make_spend(organization, 100)
    reverse_grant(purchase)
    for _ in range(2):
        make_grant(organization, 30, idempotency_key="once")
    assert balance(organization).debt == 70


def test_a_spend_cannot_be_taken_back(organization):
    make_purchase(organization)
    with pytest.raises(Invalid, match="Only a GRANT or a PURCHASE"):
        reverse_grant(make_spend(organization, 10))


def test_a_debt_cannot_be_less_than_nothing(organization):
    make_grant(organization, 1)
    with pytest.raises(IntegrityError), transaction.atomic():
        CreditAccount.objects.update(debt=-1)


@pytest.mark.django_db(transaction=True)
def test_reversed_by_twenty_and_granted_by_twenty_at_once_it_adds_up():
    org = make_organization()
    purchase = make_purchase(org)
    make_spend(org, 100)
    reverse_grant(purchase, 50, "before")

    def act(number):
        if number % 2:
            return make_grant(org, 1)
        return reverse_grant(purchase, 50, "race")

    results = run_together(20, act)
    assert [each for each in results if isinstance(each, Exception)] == []
    assert CreditReversal.objects.count() == 2
    # Ten credits came, and all of them settled: owed was more, whatever the order.
    assert balance(org) == Balance(available=0, held=0, posted=0, debt=90)


def test_what_is_given_again_and_was_over_before_settles_nothing(organization):
    purchase = make_purchase(organization)
    make_spend(organization, 100)
    debt = reverse_grant(purchase)
    services.grant(
        org=organization,
        amount=120,
        ended=40,
        kind=GrantKind.ADJUST,
        reason="the dispute was won",
        actor=TESTER,
        audit=False,
        idempotency_key="restore",
    )
    assert parts(debt) == (0, 100, 80)
    assert balance(organization) == Balance(available=0, held=0, posted=0, debt=20)
    rows = CreditTransaction.objects.order_by("org_seq").values_list("type", "amount")
    assert list(rows)[2:] == [("GRANT", 120), ("EXPIRE", -40), ("ADJUST", -80)]


def test_what_was_reversed_of_a_grant_leaves_out_all_that_is_not_about_it(organization):
    first, second = make_grant(organization, 10), make_grant(organization, 10)
    make_spend(organization, 3)
    reverse_grant(first, 8, key="first")
    reverse_grant(second, 2, key="second")
    assert reversed_totals([first]) == (8, 0)
    assert reversed_totals([second]) == (2, 0)
    assert reversed_totals([first, second]) == (10, 0)


def test_what_had_ended_unused_is_reversed_without_taking_or_owing(organization):
    granted = make_grant(organization, 10)
    make_spend(organization, 3)
    end(CreditGrant.objects.get())
    services.expire_grants()
    assert reversible(granted) == 10
    reverse_grant(granted, 8)
    assert reversed_totals([granted]) == (8, 7 - 2)
    assert reversible(granted) == 2


def test_a_reversal_has_a_key_of_its_own(organization):
    granted = make_grant(organization, 10)
    with pytest.raises(Invalid):
        reverse_grant(granted, 1, key="")


def test_it_is_in_the_audit_unless_the_caller_writes_it_there(organization):
    purchase = make_purchase(organization)
    reverse_grant(purchase, 10, key="a")
    assert not AuditEntry.objects.exists()
    reversal = services.reverse_grant(
        transaction=purchase,
        amount=20,
        reason="refund of 9.00 usd",
        actor=TESTER,
        idempotency_key="b",
    )
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.object_id) == ("reverse_grant", str(reversal.pk))
    assert (entry.before["available"], entry.after["available"]) == (90, 70)
