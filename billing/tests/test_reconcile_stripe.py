from __future__ import annotations

import datetime
import io
import json

import pytest
from django.core.management import CommandError, call_command

from billing import gateway, tasks
from billing.models import Payment, StripeEvent, Subscription
from billing.subscriptions import grant_monthly
from billing.tests.makers import age, deliver, make_payment, start_checkout
from clipforge.devtools.testing.factories import make_organization
from clipforge.devtools.testing.state import nothing_changes
from credits.selectors import balance

pytestmark = pytest.mark.django_db


@pytest.fixture
def org(db):
    return make_organization()


def run(*argv: str) -> str:
    out = io.StringIO()
    call_command("reconcile_stripe", *argv, stdout=out)
    return out.getvalue()


def failing(*argv: str) -> str:
    out = io.StringIO()
    with pytest.raises(CommandError, match="do not add up") as failed:
        call_command("reconcile_stripe", *argv, stdout=out)
    assert failed.value.returncode == 1
    return out.getvalue()


def bought(org, stripe):
    stripe.pay(start_checkout(org).checkout_id)


def test_when_all_is_well_it_says_so_and_changes_nothing(org, stripe):
    bought(org, stripe)
    deliver(stripe)
    stripe.undelivered.clear()
    with nothing_changes():
        assert run() == "Payments and ledger agree, and nothing was missed.\n"
    assert json.loads(run("--json")) == {"ok": True, "missed": [], "waiting": [], "mismatches": []}


def test_events_that_never_came_are_found_applied_and_reported_once(org, stripe):
    bought(org, stripe)
    (event,) = stripe.events
    assert failing() == f"never came   {event['id']} (checkout.session.completed)\n"
    assert balance(org).available == 100
    # Stripe lists it still; it is known now.
    assert run() == "Payments and ledger agree, and nothing was missed.\n"
    assert balance(org).available == 100


def test_events_that_were_never_even_tried_are_found_too(org, stripe):
    stripe.deliveries.append("no endpoint")
    bought(org, stripe)
    (event,) = stripe.events
    assert failing() == f"never came   {event['id']} (checkout.session.completed)\n"
    assert balance(org).available == 100


def test_what_stripe_lists_on_many_pages_is_read_to_the_end(org, stripe, monkeypatch):
    monkeypatch.setattr(gateway, "PAGE", 1)
    page = start_checkout(org, "plan-starter")
    stripe.pay(page.checkout_id)
    (first,) = [each for key, each in stripe.objects.items() if key.startswith("pi_")]
    for _ in range(2):
        stripe.renew(stripe.objects[page.checkout_id]["subscription"])
        stripe.refund(first["id"], 475)
    assert failing().count("never came") == len(stripe.events) == 9
    page.refresh_from_db()
    assert (Payment.objects.count(), page.reversed_amount) == (3, 950)


def test_what_is_no_business_of_ours_is_not_fetched(org, stripe):
    stripe._emit("product.created", {"id": "prod_1"})
    assert run() == "Payments and ledger agree, and nothing was missed.\n"
    assert not StripeEvent.objects.exists()


def forget_what_happened(stripe):
    """As Stripe does after 30 days."""
    stripe.events.clear()


def test_a_page_that_should_be_closed_is_asked_about_when_no_event_is_left(org, stripe):
    bought(org, stripe)
    forget_what_happened(stripe)
    assert run() == "Payments and ledger agree, and nothing was missed.\n"
    payment = Payment.objects.get()
    payment.created_at -= datetime.timedelta(days=1, seconds=1)
    payment.save()
    assert failing() == f"never came   {payment.checkout_id} (overdue)\n"
    payment.refresh_from_db()
    assert (payment.status, balance(org).available) == ("PAID", 100)
    assert run() == "Payments and ledger agree, and nothing was missed.\n"


def test_a_plan_that_should_have_gone_on_is_asked_about_when_no_event_is_left(stripe):
    org = make_organization(tier="FREE")
    page = start_checkout(org, "plan-pro")
    stripe.pay(page.checkout_id)
    deliver(stripe)
    stripe.end(stripe.objects[page.checkout_id]["subscription"])
    forget_what_happened(stripe)
    age(org, 32)
    grant_monthly()  # which lets Stripe collect the next payment
    org.refresh_from_db()
    assert org.tier == "PRO"
    stripe.faults += ["", "down"]
    subscription = Subscription.objects.get()
    assert failing().startswith(f"not applied  {subscription.stripe_id} (overdue): Stripe")
    assert failing() == f"never came   {subscription.stripe_id} (overdue)\n"
    org.refresh_from_db()
    assert org.tier == "FREE"
    assert run() == "Payments and ledger agree, and nothing was missed.\n"


def test_an_event_that_failed_is_tried_again(org, stripe):
    bought(org, stripe)
    session = stripe.objects[Payment.objects.get().checkout_id]
    session["currency"] = "eur"
    deliver(stripe)
    assert "could not be applied" in failing()
    session["currency"] = "usd"
    assert run() == "Payments and ledger agree, and nothing was missed.\n"
    assert balance(org).available == 100
    event = StripeEvent.objects.get()
    assert (event.status, event.error) == ("APPLIED", "")


def test_an_event_that_waited_is_applied(org, stripe):
    bought(org, stripe)
    stripe.faults.append("down")
    deliver(stripe)
    run()
    assert (balance(org).available, StripeEvent.objects.get().status) == (100, "APPLIED")


def test_an_event_that_cannot_be_applied_yet_is_reported(org, stripe):
    bought(org, stripe)
    stripe.faults.append("down")
    deliver(stripe)
    stripe.faults += ["", "down"]
    (event,) = stripe.events
    assert failing().startswith(f"not applied  {event['id']} (checkout.session.completed): Stripe")
    run()


@pytest.mark.breaks_ledger
def test_a_mismatch_is_reported_and_not_repaired(org):
    payment = make_payment(org)
    Payment.objects.update(credits=99)
    printed = json.loads(failing("--json"))
    assert printed["mismatches"][0] == {
        "org_id": str(org.pk),
        "message": f"payment {payment.pk} is worth 99 credits, but the ledger gave and kept 100",
    }
    assert balance(org).available == 100


@pytest.mark.breaks_ledger
def test_two_plans_that_go_on_at_once_are_reported(org, stripe):
    first, last = start_checkout(org, "plan-pro"), start_checkout(org, "plan-pro")
    stripe.objects[first.checkout_id]["status"] = "open"  # as if it had never been closed
    stripe.pay(first.checkout_id)
    stripe.pay(last.checkout_id)
    deliver(stripe)
    stripe.undelivered.clear()
    assert json.loads(failing("--json"))["mismatches"] == [
        {"org_id": str(org.pk), "message": "2 plans go on at once"}
    ]


@pytest.mark.breaks_ledger
def test_the_task_of_every_hour_logs_what_it_finds(org, caplog):
    make_payment(org)
    tasks.reconcile(timestamp=0)
    assert "do not add up" not in caplog.text
    Payment.objects.update(credits=99)
    tasks.reconcile(timestamp=0)
    assert "payments do not add up" in caplog.text


def test_the_tasks_are_due_every_hour(org):
    from procrastinate.contrib.django import app

    periodic = app.periodic_registry.periodic_tasks.values()
    crons = {each.task.name: each.cron for each in periodic}
    assert (crons["billing.monthly"], crons["billing.reconcile"]) == ("1 * * * *", "23 * * * *")
    tasks.grant_monthly(timestamp=0)
