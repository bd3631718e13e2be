from __future__ import annotations

import importlib
from functools import partial

import pytest
from django.apps import apps
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, Permission
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from billing import services
from billing.models import Payment, Price, StripeEvent
from billing.tests.makers import deliver, make_catalogue, make_payment, start_checkout
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import TESTER, make_organization, make_user
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import nothing_changes
from credits.selectors import balance

pytestmark = pytest.mark.django_db

LIST = "/admin/billing/payment/"
ADD = LIST + "add/"
EVENTS = "/admin/billing/stripeevent/"


@pytest.fixture
def finance(db) -> Client:
    importlib.import_module("billing.migrations.0005_finance").make_group(apps, None)
    user = make_user(is_staff=True)
    user.groups.add(Group.objects.get(name="finance"))
    client = Client()
    client.force_login(user)
    return client


def form(org):
    return {
        "org": str(org.pk),
        "price": str(Price.objects.get(code="pack-100", is_active=True).pk),
        "reference": "SEPA 1",
        "audit_reason": "paid by transfer",
        "paid_on": "2026-01-31",
    }


def test_finance_records_a_payment_once_however_often_the_button_is_pressed(finance, organization):
    assert finance.get(ADD).status_code == 200
    for times in range(2):
        answer = finance.post(ADD, form(organization))
        assert answer.status_code == 302, answer.content
        said = " ".join(str(message) for message in get_messages(answer.wsgi_request))
        assert ("recorded before" in said) == (times == 1)
    payment = Payment.objects.get()
    assert (payment.amount, payment.reference, payment.actor[:5]) == (900, "SEPA 1", "user:")
    assert payment.paid_at is not None
    assert payment.paid_at.date().isoformat() == "2026-01-31"
    assert balance(organization).available == 100
    assert payment.reason == "paid by transfer"
    action = AuditEntry.objects.get()
    assert (action.verb, action.object_id, action.org, action.reason) == (
        "add",
        str(payment.pk),
        organization,
        "paid by transfer",
    )


@pytest.mark.django_db(transaction=True)
def test_eight_who_press_it_at_once_record_one_payment_and_one_act():
    user = make_user(is_staff=True, is_superuser=True)
    clients = [Client() for _ in range(8)]
    for client in clients:
        client.force_login(user)
    org = make_organization()
    make_catalogue()
    answers = run_together(8, lambda number: clients[number].post(ADD, form(org)))
    assert [getattr(answer, "status_code", answer) for answer in answers] == [302] * 8
    assert (Payment.objects.count(), AuditEntry.objects.count()) == (1, 1)


def test_what_the_service_refuses_is_said_beside_what_was_typed_and_not_recorded(
    finance, organization
):
    make_payment(make_organization(), reference="SEPA 1")
    with nothing_changes():
        answer = finance.post(ADD, form(organization))
    page = answer.content.decode()
    assert "stands for another payment" in page
    assert 'value="SEPA 1"' in page
    assert "paid by transfer" in page
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("missing", ["reference", "audit_reason", "paid_on", "org", "price"])
def test_nothing_may_be_left_out(finance, organization, missing):
    with nothing_changes():
        answer = finance.post(ADD, form(organization) | {missing: ""})
    assert (answer.status_code, b"This field is required" in answer.content) == (200, True)


def test_staff_outside_finance_may_not(organization):
    payment = make_payment(organization)
    viewer = make_user(is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_payment"))
    client = Client()
    client.force_login(viewer)
    with nothing_changes():
        assert client.post(ADD, form(organization)).status_code == 403
        client.post(LIST, reversing(payment, confirmed="yes", audit_reason="it bounced"))


def test_finance_reverses_what_bounced_once_however_often_the_button_is_pressed(
    finance, organization
):
    first, second = (make_payment(organization, reference=f"SEPA {n}") for n in (1, 2))
    asked = finance.post(LIST, reversing(first, second))
    assert (asked.status_code, balance(organization).available) == (200, 200)
    confirmed = reversing(first, second, confirmed="yes", audit_reason="both bounced")
    said = [finance.post(LIST, confirmed, follow=True).content.decode() for _ in range(2)]
    assert ["2 of 2 went back now" in said[0], "0 of 2 went back now" in said[1]] == [True, True]
    assert balance(organization).available == 0
    actions = AuditEntry.objects.order_by("pk")
    assert [(each.verb, each.object_id, each.org, each.after) for each in actions] == [
        ("reverse_payment", str(payment.pk), organization, {"went back": "$9.00"})
        for payment in (first, second)
    ]


def test_of_several_reversals_one_that_is_refused_leaves_all_as_they_were(
    finance, organization, stripe
):
    by_hand, by_stripe = make_payment(organization), start_checkout(organization)
    stripe.pay(by_stripe.checkout_id)
    deliver(stripe)
    confirmed = reversing(by_hand, by_stripe, confirmed="yes", audit_reason="it bounced")
    with nothing_changes():
        answer = finance.post(LIST, confirmed)
        said = [str(message) for message in get_messages(answer.wsgi_request)]
    assert said == [
        "This was paid through Stripe: open the payment and choose Refund. Nothing was changed."
    ]


def reversing(*payments, **fields):
    return {"action": "reverse", "_selected_action": [str(p.pk) for p in payments], **fields}


def test_what_cannot_be_applied_is_set_aside_by_finance_and_no_sweep_reports_it(
    finance, organization, stripe
):
    start_checkout(organization)
    make = partial(StripeEvent.objects.create, created_at=timezone.now(), org=organization)
    odd = make(id="evt_odd", type="invoice.paid", payload={}, status="FAILED", error="Not ours.")
    applied = make(id="evt_fine", type="invoice.paid", payload={}, status="APPLIED")
    chosen = {"action": "set_aside", "_selected_action": [odd.pk, applied.pk]}
    assert "evt_odd" in finance.post(EVENTS, chosen).content.decode()
    assert StripeEvent.objects.get(pk="evt_odd").status == "FAILED"  # it was only asked
    confirmed = {**chosen, "confirmed": "yes", "audit_reason": "refunded at Stripe"}
    said = [finance.post(EVENTS, confirmed, follow=True).content.decode() for _ in range(2)]
    assert ["1 of 2 were set aside" in said[0], "0 of 2 were set aside" in said[1]] == [True, True]
    odd.refresh_from_db()
    assert (odd.status, odd.error) == ("IGNORED", "Not ours. Set aside: refunded at Stripe")
    action = AuditEntry.objects.get()
    assert (action.verb, action.object_id, action.org) == ("set_aside", "evt_odd", organization)
    assert services.apply_event(odd) == "IGNORED"  # whenever it comes again


@pytest.mark.breaks_ledger  # a failed event is a mismatch, until it is seen to
def test_a_reason_that_is_too_long_for_the_service_is_said_and_nothing_is_set_aside(finance):
    StripeEvent.objects.create(
        id="evt_odd", type="invoice.paid", payload={}, status="FAILED", created_at=timezone.now()
    )
    chosen = {"action": "set_aside", "_selected_action": ["evt_odd"], "confirmed": "yes"}
    with nothing_changes():
        answer = finance.post(EVENTS, {**chosen, "audit_reason": "x" * 501}, follow=True)
    assert "A reason has at most 500 characters. Nothing was changed." in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_set_an_event_aside_at_once_one_did():
    event = StripeEvent.objects.create(
        id="evt_odd", type="invoice.paid", payload={}, status="FAILED", created_at=timezone.now()
    )
    done = run_together(
        2, lambda _: services.set_aside(event=event, reason="refunded there", actor=TESTER)
    )
    assert sorted(each is None for each in done) == [False, True]
    event.refresh_from_db()
    assert event.error.count("Set aside") == 1


@pytest.mark.breaks_ledger  # a failed event is a mismatch, until it is seen to
def test_who_may_only_look_sets_no_event_aside(organization):
    StripeEvent.objects.create(
        id="evt_odd", type="invoice.paid", payload={}, status="FAILED", created_at=timezone.now()
    )
    viewer = make_user(is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_stripeevent"))
    client = Client()
    client.force_login(viewer)
    chosen = {"action": "set_aside", "_selected_action": ["evt_odd"]}
    confirmed = {**chosen, "confirmed": "yes", "audit_reason": "refunded at Stripe"}
    with nothing_changes():
        assert client.post(EVENTS, confirmed).status_code == 200  # the list, as for any other form
    assert not AuditEntry.objects.exists()


def test_not_even_a_superuser_edits_or_deletes_what_was_paid(organization, stripe):
    stripe.pay(start_checkout(organization, "plan-pro").checkout_id)
    deliver(stripe)
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    for model in ("payment", "subscription", "planperiod", "stripeevent"):
        row = apps.get_model("billing", model).objects.first()
        base = f"/admin/billing/{model}"
        assert client.get(f"{base}/").status_code == 200
        assert client.get(f"{base}/{quote(row.pk)}/change/").status_code == 200
        assert client.post(f"{base}/{quote(row.pk)}/change/", {"status": "x"}).status_code == 403
        assert client.post(f"{base}/{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_staff_set_the_threshold_of_an_organization_and_nothing_else(organization):
    make_payment(organization)
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    url = f"/admin/billing/billingaccount/{organization.pk}/change/"
    form_ = {"low_balance_threshold": "50", "plan_tier": "ENTERPRISE", "is_low": "on"}
    assert client.post(url, form_).status_code == 200  # no reason, no change
    assert client.post(url, form_ | {"audit_reason": "asked by mail"}).status_code == 302
    organization.refresh_from_db()
    account = organization.billing_account
    assert (account.low_balance_threshold, account.plan_tier, account.is_low) == (50, "", False)
    action = AuditEntry.objects.get()
    assert (action.org, action.before, action.after) == (
        organization,
        {"low_balance_threshold": None},
        {"low_balance_threshold": 50},
    )


def test_a_threshold_that_the_service_refuses_is_said_on_the_page(organization):
    make_payment(organization)
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    url = f"/admin/billing/billingaccount/{organization.pk}/change/"
    with nothing_changes():
        answer = client.post(url, {"low_balance_threshold": "0", "audit_reason": "asked by mail"})
    assert answer.status_code == 200
    assert "The threshold must be a number of credits" in answer.content.decode()
