"""Refunds that staff ask for: once, whatever crashes between Stripe's answer and our commit."""

from __future__ import annotations

import functools
import uuid
from typing import Any

import pytest

from billing import reconciling, refunding
from billing import services as billing_services
from billing.models import Payment, Refund, RefundStatus
from billing.tests.makers import deliver, make_catalogue, make_payment, start_checkout
from clipforge.audit.models import AuditEntry
from clipforge.common.errors import Conflict, Invalid, Unavailable
from clipforge.devtools.testing.factories import REASON, TESTER, make_organization
from clipforge.devtools.testing.faults import crash_at
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.stripe import Stripe
from clipforge.orgs.models import Organization
from credits.models import CreditTransaction
from credits.selectors import balance
from credits.tests.makers import make_spend

pytestmark = pytest.mark.django_db

MANY = 90


@pytest.fixture
def org(settings: Any) -> Organization:
    settings.WEBHOOKS_PER_MINUTE_OF_ADDRESS = 10_000
    make_catalogue()
    return make_organization(tier="FREE")


@pytest.fixture
def paid(org: Organization, stripe: Stripe) -> Payment:
    """A pack of 100 credits for $9.00."""
    payment = start_checkout(org)
    stripe.pay(payment.checkout_id)
    deliver(stripe)
    payment.refresh_from_db()
    return payment


def ask(payment: Payment, amount: int, token: uuid.UUID | None = None) -> Refund:
    return billing_services.request_refund(
        payment=payment, amount=amount, token=token or uuid.uuid4(), reason=REASON, actor=TESTER
    )


def refund(payment: Payment, amount: int, token: uuid.UUID | None = None) -> Refund:
    return billing_services.carry_out_refund(ask(payment, amount, token))


def at_stripe(stripe: Stripe, payment: Payment) -> list[int]:
    found = stripe._matching("re", {"payment_intent": payment.payment_intent_id})
    return [each["amount"] for each in found]


def stand(payment: Payment) -> tuple[int, int]:
    """The sum that went back of it, and the credits that are left."""
    payment.refresh_from_db()
    return payment.reversed_amount, balance(payment.org).posted


def test_a_part_and_then_the_rest_go_back_and_the_credits_with_them(stripe: Stripe, paid: Payment):
    half = refund(paid, 450)
    assert (half.status, half.stripe_id[:3], at_stripe(stripe, paid)) == ("DONE", "re_", [450])
    assert stand(paid) == (450, 50)
    refund(paid, 450)
    assert stand(paid) == (900, 0)
    assert billing_services.refundable(paid) == 0
    verbs = AuditEntry.objects.filter(object_id=str(paid.pk)).order_by("pk")
    assert [(row.verb, row.after) for row in verbs if row.verb == "refund_payment"] == [
        ("refund_payment", {"refunded": "$4.50", "credits": 50}),
        ("refund_payment", {"refunded": "$4.50", "credits": 50}),
    ]


def test_the_events_of_our_own_refund_change_nothing_more(stripe: Stripe, paid: Payment):
    refund(paid, 450)
    assert set(deliver(stripe)) == {200}
    assert stand(paid) == (450, 50)


def test_the_same_form_twice_is_one_refund(stripe: Stripe, paid: Payment):
    token = uuid.uuid4()
    assert refund(paid, 450, token) == refund(paid, 450, token)
    assert at_stripe(stripe, paid) == [450]
    with pytest.raises(Conflict):
        ask(paid, 300, token)


@pytest.mark.parametrize("amount", [0, -1, 901])
def test_more_than_is_left_and_nothing_are_refused(stripe: Stripe, paid: Payment, amount: int):
    with pytest.raises(Invalid):
        ask(paid, amount)
    assert not Refund.objects.exists()


def test_what_is_under_way_is_not_given_back_a_second_time(stripe: Stripe, paid: Payment):
    ask(paid, 500)
    assert billing_services.refundable(paid) == 400
    with pytest.raises(Invalid):
        ask(paid, 401)
    assert ask(paid, 400).status == RefundStatus.REQUESTED


def test_what_stripe_refuses_is_failed_with_its_words(stripe: Stripe, paid: Payment):
    asked = ask(paid, 900)
    stripe.refund(paid.payment_intent_id, 900)  # at the dashboard meanwhile
    failed = billing_services.carry_out_refund(asked)
    assert failed.status == RefundStatus.FAILED
    assert "More than is left of the charge." in failed.error
    assert at_stripe(stripe, paid) == [900]


@pytest.mark.parametrize("fault", ["lost", "down"])
def test_when_stripe_does_not_answer_the_sweep_does_it_and_once(
    stripe: Stripe, paid: Payment, fault: str
):
    asked = ask(paid, 450)
    # The first call looks whether it was made before; the second makes it.
    stripe.faults += ["", fault]
    with pytest.raises(Unavailable):
        billing_services.carry_out_refund(asked)
    assert stand(paid) == (0, 100)
    reconciling.reconcile()
    assert at_stripe(stripe, paid) == [450]
    assert stand(paid) == (450, 50)
    assert Refund.objects.get().status == RefundStatus.DONE


def test_the_sweep_goes_on_past_a_refund_that_waits(stripe: Stripe, paid: Payment):
    ask(paid, 300)
    ask(paid, 300)
    stripe.faults += ["down"]
    assert len(refunding.carry_out_open()) == 1
    assert at_stripe(stripe, paid) == [300]
    assert refunding.carry_out_open() == []
    assert at_stripe(stripe, paid) == [300, 300]


def test_of_a_spent_pack_the_credits_are_owed(stripe: Stripe, paid: Payment):
    assert billing_services.effect_of_refund(paid, 450) == (50, 0)
    make_spend(paid.org, 80)
    assert billing_services.effect_of_refund(paid, 900) == (20, 80)
    refund(paid, 900)
    left = balance(paid.org)
    assert (left.posted, left.debt) == (0, 80)


def test_a_transfer_is_given_back_at_once_and_stripe_is_not_asked(org: Organization):
    payment = make_payment(org)
    done = refund(payment, 300)
    assert (done.status, done.stripe_id) == ("DONE", "")
    assert stand(payment)[0] == 300
    assert balance(org).posted == 67  # a part of a credit is the customer's
    assert AuditEntry.objects.get(verb="refund_payment").after == {
        "refunded": "$3.00",
        "credits": 33,
    }


def test_the_link_leads_to_the_payment_at_stripe(stripe: Stripe, paid: Payment, org: Organization):
    page = billing_services.page_at_stripe(paid)
    assert page == f"https://dashboard.stripe.com/test/payments/{paid.payment_intent_id}"
    assert billing_services.page_at_stripe(make_payment(org)) == ""


@pytest.mark.django_db(transaction=True)
def test_two_at_once_give_back_what_is_there_and_no_more(stripe: Stripe, paid: Payment):
    def take(_: int) -> str:
        try:
            return refund(paid, 500).status
        except Invalid:
            return "refused"

    assert sorted(map(str, run_together(2, take))) == ["DONE", "refused"]
    assert at_stripe(stripe, paid) == [500]
    assert stand(paid)[0] == 500


@pytest.mark.django_db(transaction=True)
def test_a_crash_anywhere_leads_to_one_refund(stripe: Stripe, org: Organization):
    """Also between Stripe's answer and our commit: sent again, or by the sweep, it is done once."""
    for nth in range(1, MANY):
        buyer = make_organization(name=f"Buyer {nth}", tier="FREE")
        payment = start_checkout(buyer)
        stripe.pay(payment.checkout_id)
        deliver(stripe, stripe.events[-1])
        payment.refresh_from_db()
        token = uuid.uuid4()
        crashed = crash_at(nth, functools.partial(refund, payment, 450, token))
        if nth % 2:
            refund(payment, 450, token)
        else:
            reconciling.reconcile()
            refund(payment, 450, token)
        assert at_stripe(stripe, payment) == [450], f"after statement {nth}"
        assert stand(payment) == (450, 50), f"after statement {nth}"
        assert Refund.objects.get(token=token).status == RefundStatus.DONE
        taken = CreditTransaction.objects.for_org(buyer).filter(type="ADJUST")
        assert [row.amount for row in taken] == [-50], f"after statement {nth}"
        if not crashed:
            assert nth > 10, "nothing was interrupted"
            return
    raise AssertionError(f"not at its end after {MANY} statements")
