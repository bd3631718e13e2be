from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from clipforge.common.errors import Conflict, Invalid
from clipforge.devtools.testing.factories import make_grant, make_organization
from credits.models import CreditAccount, CreditGrant, CreditTransaction, GrantKind
from credits.selectors import Balance, balance
from credits.tests.makers import end

pytestmark = pytest.mark.django_db


def test_the_first_grant_creates_the_account(organization):
    assert balance(organization) == Balance(available=0, held=0, posted=0)
    granted = make_grant(organization, 40, reason="welcome")
    assert balance(organization) == Balance(available=40, held=0, posted=40)
    assert (granted.type, granted.amount, granted.balance_after, granted.org_seq) == (
        "GRANT",
        40,
        40,
        1,
    )
    assert (granted.reason, granted.actor) == ("welcome", "system:test")
    lot = CreditGrant.objects.get()
    assert granted.inputs == {"grants": {str(lot.pk): 40}}
    assert (lot.kind, lot.amount, lot.remaining, lot.held, lot.expires_at) == (
        "PROMO",
        40,
        40,
        0,
        None,
    )


def test_what_was_bought_is_a_purchase_and_refers_to_its_payment(organization):
    granted = make_grant(
        organization,
        500,
        kind=GrantKind.PURCHASE,
        reference_type="payment",
        reference_id="17",
    )
    assert (granted.type, granted.reference_type, granted.reference_id) == (
        "PURCHASE",
        "payment",
        "17",
    )


def test_the_balance_after_each_grant_is_the_sum_so_far(organization):
    after = [make_grant(organization, amount).balance_after for amount in (5, 7, 11)]
    assert after == [5, 12, 23]
    assert CreditAccount.objects.get().version == 3


def test_the_same_key_twice_grants_once(organization):
    first = make_grant(organization, 40, idempotency_key="k")
    again = make_grant(organization, 40, idempotency_key="k")
    assert again == first
    assert balance(organization).available == 40
    assert CreditGrant.objects.count() == 1


def test_the_same_key_is_replayed_even_when_the_credits_have_ended(organization):
    day = datetime.timedelta(days=1)
    first = make_grant(organization, 40, idempotency_key="k", expires_at=timezone.now() + day)
    end(CreditGrant.objects.get())
    past = timezone.now() - day
    assert make_grant(organization, 40, idempotency_key="k", expires_at=past) == first


@pytest.mark.parametrize("other", [{"amount": 41}, {"kind": GrantKind.PURCHASE}])
def test_the_same_key_for_something_else_is_a_conflict(organization, other):
    make_grant(organization, 40, idempotency_key="k")
    with pytest.raises(Conflict) as refused:
        make_grant(organization, **{"amount": 40, "idempotency_key": "k", **other})
    assert refused.value.error_code == "idempotency_key_reused"
    assert balance(organization).available == 40


def test_two_organizations_may_use_the_same_key(organization):
    other = make_organization()
    make_grant(organization, 40, idempotency_key="k")
    make_grant(other, 70, idempotency_key="k")
    assert (balance(organization).available, balance(other).available) == (40, 70)


@pytest.mark.parametrize("amount", [0, -1, 2**63, 10**12 + 1, 1.5, True, "7"])
def test_a_bad_amount_is_invalid_and_changes_nothing(organization, amount):
    with pytest.raises(Invalid):
        make_grant(organization, amount)
    assert not CreditAccount.objects.exists()
    assert not CreditTransaction.objects.exists()


@pytest.mark.parametrize("missing", ["reason", "actor", "idempotency_key"])
def test_nothing_is_granted_without_a_trace(organization, missing):
    with pytest.raises(Invalid):
        make_grant(organization, 40, **{missing: ""})
    assert not CreditTransaction.objects.exists()


@pytest.mark.parametrize(("field", "longest"), [("reason", 500), ("idempotency_key", 255)])
def test_a_trace_that_does_not_fit_is_invalid(organization, field, longest):
    make_grant(organization, 40, **{field: "x" * longest})
    with pytest.raises(Invalid):
        make_grant(organization, 40, **{field: "x" * (longest + 1)})
    assert CreditTransaction.objects.count() == 1


def test_credits_that_have_ended_already_cannot_be_granted(organization):
    with pytest.raises(Invalid):
        make_grant(organization, 40, expires_at=timezone.now())
    assert not CreditTransaction.objects.exists()
