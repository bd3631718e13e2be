"""The page on which finance gives money back: looked over, confirmed, done once, by two above the limit."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Payment, Refund
from billing.tests.makers import deliver, make_payment, start_checkout
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import make_organization
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.devtools.testing.state import nothing_changes
from clipforge.devtools.testing.stripe import SECRET_KEY, WEBHOOK_SECRET, running_stripe
from clipforge.staff.models import ApprovalRequest
from credits.selectors import balance

pytestmark = pytest.mark.django_db

REASON = "the clip was never delivered, ticket 7"


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def finance() -> Client:
    return signed_in(make_staff("finance"))


@pytest.fixture
def transfer() -> Payment:
    """$9.00 for 100 credits."""
    return make_payment(make_organization(name="Acme"))


def page_of(payment: Payment) -> str:
    return reverse("admin:refund-payment", args=[payment.pk])


def filled(client: Client, payment: Payment, amount: str) -> dict[str, str]:
    token = client.get(page_of(payment)).context["token"]
    return {"token": token, "amount": amount, "reason": REASON}


def test_the_whole_is_offered_looked_over_and_given_back_once(finance, transfer):
    assert (
        b"Refund\xe2\x80\xa6"
        in finance.get(reverse("admin:billing_payment_change", args=[transfer.pk])).content
    )
    form = filled(finance, transfer, "9.00")
    with nothing_changes():
        said = finance.post(page_of(transfer), form).content.decode()
    for text in ("Acme gets $9.00 back", "100 unused credits", "Refund $9.00", REASON):
        assert text in said
    for _ in range(2):  # a second click
        answer = finance.post(page_of(transfer), {**form, "confirm": "yes"})
        assert answer["Location"] == reverse("admin:billing_payment_change", args=[transfer.pk])
    assert balance(transfer.org).posted == 0
    assert Refund.objects.count() == 1
    shown = finance.get(answer["Location"]).content.decode()
    assert "all of it went back" in shown
    assert "Refund…" not in shown


@pytest.mark.parametrize("amount", ["9.01", "0", "-1", "4.505", "", "half"])
def test_what_is_no_amount_of_it_is_refused_and_stays_typed(finance, transfer, amount):
    form = filled(finance, transfer, amount)
    with nothing_changes():
        answer = finance.post(page_of(transfer), {**form, "confirm": "yes"})
    said = answer.content.decode()
    assert (answer.status_code, "errorlist" in said, REASON in said) == (200, True, True)


def test_a_part_through_stripe_is_paid_back_by_stripe(finance, settings):
    with running_stripe() as stripe:
        settings.STRIPE_SECRET_KEY = SECRET_KEY
        settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
        settings.STRIPE_API_BASE = stripe.url
        org = make_organization(tier="FREE")
        payment = start_checkout(org)
        stripe.pay(payment.checkout_id)
        deliver(stripe)
        payment.refresh_from_db()
        form = filled(finance, payment, "4.50")
        shown = finance.post(page_of(payment), form).content.decode()
        assert f"https://dashboard.stripe.com/test/payments/{payment.payment_intent_id}" in shown
        finance.post(page_of(payment), {**form, "confirm": "yes"})
        (made,) = stripe._matching("re", {"payment_intent": payment.payment_intent_id})
    assert made["amount"] == 450
    assert balance(org).posted == 50


def test_sent_again_while_stripe_still_does_it_the_form_says_so(finance, settings):
    with running_stripe() as stripe:
        settings.STRIPE_SECRET_KEY = SECRET_KEY
        settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
        settings.STRIPE_API_BASE = stripe.url
        org = make_organization(tier="FREE")
        payment = start_checkout(org)
        stripe.pay(payment.checkout_id)
        deliver(stripe)
        form = {**filled(finance, payment, "4.50"), "confirm": "yes"}
        said = []
        for faults in ["", "busy"], ["", "busy"], []:  # of the look, and of the refund
            stripe.faults += faults
            said.append(finance.post(page_of(payment), form, follow=True).content.decode())
            assert Refund.objects.get().status == ("REQUESTED" if faults else "DONE")
    for page in said[:2]:
        assert (
            "The refund is asked for, and not done yet. The same request is still running" in page
        )
    assert "Given back: $4.50" in said[2]
    assert balance(org).posted == 50


def test_above_the_limit_a_second_person_gives_it_back(finance, transfer, settings):
    settings.STAFF_GRANT_CONFIRM_CREDITS = 60
    form = filled(finance, transfer, "9.00")
    assert "Ask a second person" in finance.post(page_of(transfer), form).content.decode()
    for _ in range(2):
        answer = finance.post(page_of(transfer), {**form, "confirm": "yes"})
        asked = ApprovalRequest.objects.get()
        assert answer["Location"] == reverse("admin:approval", args=[asked.pk])
    assert str(asked) == "Refund of $9.00"
    assert not Refund.objects.exists()
    decision = {"confirm": "yes", "reason": "looked at the bank"}
    finance.post(answer["Location"], decision)  # nobody confirms their own
    assert not Refund.objects.exists()
    bob = signed_in(make_staff("finance"))
    assert "Acme gets $9.00 back" in bob.get(answer["Location"]).content.decode()
    bob.post(answer["Location"], decision)
    bob.post(answer["Location"], decision)
    assert Refund.objects.get().status == "DONE"
    assert balance(transfer.org).posted == 0
    (entry,) = AuditEntry.objects.filter(verb="confirm_credits")
    assert entry.after["refunded"] == "$9.00"


def test_several_small_refunds_of_a_day_count_together(finance, transfer, settings):
    settings.STAFF_GRANT_CONFIRM_CREDITS = 60
    form = filled(finance, transfer, "4.50")
    finance.post(page_of(transfer), {**form, "confirm": "yes"})
    again = filled(finance, transfer, "4.50")
    finance.post(page_of(transfer), {**again, "confirm": "yes"})
    assert (Refund.objects.count(), ApprovalRequest.objects.count()) == (1, 1)


def test_a_payment_that_was_not_paid_has_nothing_to_give_back(finance, settings):
    settings.STRIPE_SECRET_KEY = SECRET_KEY
    with running_stripe() as stripe:
        settings.STRIPE_API_BASE = stripe.url
        payment = start_checkout(make_organization(tier="FREE"))
    assert "It was not paid" in finance.get(page_of(payment)).content.decode()


def test_the_action_of_transfers_asks_no_reason_for_what_stripe_took(finance, settings):
    settings.STRIPE_SECRET_KEY = SECRET_KEY
    with running_stripe() as stripe:
        settings.STRIPE_API_BASE = stripe.url
        payment = start_checkout(make_organization(tier="FREE"))
    chosen = {"action": "reverse", "_selected_action": [str(payment.pk)]}
    answer = finance.post(reverse("admin:billing_payment_changelist"), chosen, follow=True)
    assert "open the payment and choose Refund" in answer.content.decode()
    assert "audit_reason" not in answer.content.decode()
