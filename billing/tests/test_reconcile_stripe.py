from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from billing import tasks
from billing.models import Payment, StripeEvent
from billing.tests.makers import deliver, make_payment, start_checkout
from clipforge.testing.factories import make_organization
from clipforge.testing.state import nothing_changes
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
