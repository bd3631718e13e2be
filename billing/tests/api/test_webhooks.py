"""POST /webhooks/stripe"""

from __future__ import annotations

import datetime
import json
import random
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch

import pytest
import time_machine
from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from billing import gateway, services
from billing.models import (
    BillingAccount,
    Payment,
    PlanPeriod,
    Price,
    StripeEvent,
    Subscription,
)
from billing.selectors import mismatches
from billing.subscriptions import grant_monthly
from billing.tests.makers import age, deliver, make_catalogue, send, start_checkout
from billing.webhooks.facts import LOOK_UPS
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import make_organization
from clipforge.devtools.testing.faults import end_the_connection
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.redis_server import redis_server
from clipforge.devtools.testing.service import ROOT
from clipforge.devtools.testing.state import be_patient, nothing_changes
from clipforge.devtools.testing.stripe import SECRET_KEY
from clipforge.orgs.models import Organization
from credits import services as credit_services
from credits.models import CreditGrant, CreditTransaction
from credits.selectors import Balance, balance
from credits.tests.makers import make_spend

pytestmark = pytest.mark.django_db


@pytest.fixture
def org(db) -> Organization:
    return make_organization(tier="FREE")


def bought(org, stripe, code="pack-100"):
    """A price that was paid at Stripe, of which we have not heard yet."""
    payment = start_checkout(org, code)
    stripe.pay(payment.checkout_id)
    return payment


def deliver_overtaken(stripe, event, answers, meanwhile):
    """Deliver the event; something newer happens while the last of so many answers is on its way."""
    stripe.faults += [*[""] * (answers - 1), "hold"]

    def deliver_it():
        try:
            return deliver(stripe, event)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        delivery = pool.submit(deliver_it)
        try:
            assert stripe.held.wait(60)
            meanwhile()
        finally:
            stripe.release.set()
        return delivery.result(60)


def tier(org):
    return Organization.objects.get(pk=org.pk).tier


def amounts(org):
    rows = CreditTransaction.objects.for_org(org).order_by("org_seq")
    return list(rows.values_list("amount", flat=True))


# --- a pack ----------------------------------------------------------------------------


def test_a_paid_pack_is_credited_once_however_often_it_is_said(org, stripe):
    payment = bought(org, stripe)
    assert deliver(stripe) + deliver(stripe) == [200, 200]
    payment.refresh_from_db()
    assert (payment.status, payment.amount) == ("PAID", 900)
    row = CreditTransaction.objects.get()
    assert (row.type, row.amount, row.reference_id) == ("PURCHASE", 100, str(payment.pk))
    event = StripeEvent.objects.get()
    assert (event.status, event.org, event.type) == ("APPLIED", org, "checkout.session.completed")


@pytest.mark.django_db(transaction=True)
def test_the_same_event_twenty_times_at_once_has_one_effect(stripe):
    make_catalogue()
    org = make_organization()
    bought(org, stripe)
    body, signature = stripe.signed(stripe.events[0])
    results = run_together(20, lambda _: send(body, signature).status_code)
    assert Counter(results) == {200: 20}
    assert amounts(org) == [100]
    assert StripeEvent.objects.count() == 1


def test_an_unpaid_checkout_brings_nothing_and_an_ended_one_says_so(org, stripe):
    payment = start_checkout(org)
    stripe.expire(payment.checkout_id)
    assert deliver(stripe) == [200]
    payment.refresh_from_db()
    assert (payment.status, amounts(org)) == ("EXPIRED", [])


def test_what_the_event_claims_is_not_believed(org, stripe):
    payment = start_checkout(org)
    stripe.expire(payment.checkout_id)
    event = json.loads(json.dumps(stripe.events[0]))
    event["type"] = "checkout.session.completed"
    event["data"]["object"] |= {"status": "complete", "payment_status": "paid"}
    assert deliver(stripe, event) == [200]
    assert amounts(org) == []


@pytest.mark.breaks_ledger
def test_a_payment_that_is_paid_on_two_pages_is_credited_once_and_shown(org, stripe):
    payment = bought(org, stripe)
    page = {**stripe.objects[payment.checkout_id], "id": "cs_2", "payment_intent": "pi_2"}
    stripe.objects["cs_2"] = page
    stripe._emit("checkout.session.completed", page)
    assert set(deliver(stripe)) == {200}
    assert amounts(org) == [100]
    (found,) = mismatches()
    assert found.message.endswith("was paid already. Refund pi_2.")


@pytest.mark.breaks_ledger
@pytest.mark.parametrize("change", [{"amount_total": 1}, {"currency": "eur"}])
def test_a_sum_or_a_currency_that_we_did_not_ask_for_buys_nothing_and_is_shown(org, stripe, change):
    payment = bought(org, stripe)
    stripe.objects[payment.checkout_id] |= change
    assert deliver(stripe) == [200]
    assert (StripeEvent.objects.get().status, amounts(org)) == ("FAILED", [])
    (found,) = mismatches()
    assert "could not be applied" in found.message


def test_a_plan_in_another_currency_brings_nothing_until_it_is_put_right(org, stripe):
    bought(org, stripe, "plan-pro")
    (invoice,) = [each for key, each in stripe.objects.items() if key.startswith("in_")]
    invoice["currency"] = "eur"
    deliver(stripe)
    assert (tier(org), amounts(org)) == ("FREE", [])
    (failed,) = StripeEvent.objects.filter(status="FAILED")
    assert (failed.type, "is in eur" in failed.error) == ("invoice.paid", True)
    invoice["currency"] = "usd"
    deliver(stripe)
    assert (tier(org), amounts(org), mismatches()) == ("PRO", [1000], [])


@pytest.mark.parametrize("key", [None, "plan-gold:1", "plan-pro:one", "pack-100:1"])
def test_a_plan_of_no_known_price_brings_nothing_until_it_is_put_right(org, stripe, key):
    payment = bought(org, stripe, "plan-pro")
    subscription = stripe.objects[payment.checkout_id]["subscription"]
    price = stripe.objects[subscription]["items"]["data"][0]["price"]
    price["lookup_key"] = key
    deliver(stripe)
    assert (tier(org), amounts(org)) == ("FREE", [])
    assert {event.status for event in StripeEvent.objects.all()} == {"FAILED"}
    price["lookup_key"] = "plan-pro:1"
    deliver(stripe)
    assert (tier(org), amounts(org), mismatches()) == ("PRO", [1000], [])


def workshop(stripe):
    """The line of something that is none of our plans, and dearer."""
    price = stripe._new("price", "price", lookup_key=None, unit_amount=50_000, currency="usd")
    pricing = {"type": "price_details", "price_details": {"price": price["id"]}}
    period = {"start": 1, "end": 2}
    return {"object": "line_item", "amount": 50_000, "pricing": pricing, "period": period}


def test_one_odd_invoice_keeps_no_other_month_back(org, stripe):
    payment = bought(org, stripe, "plan-starter")
    subscription = stripe.objects[payment.checkout_id]["subscription"]
    deliver(stripe)
    for _ in range(2):
        stripe.renew(subscription)
    _, odd, _ = [each for key, each in stripe.objects.items() if key.startswith("in_")]
    lines = odd["lines"]["data"][:]
    odd["lines"]["data"][:] = [{**workshop(stripe), "pricing": None}, workshop(stripe)]
    deliver(stripe)
    assert PlanPeriod.objects.count() == 2
    (failed,) = StripeEvent.objects.filter(status="FAILED")
    assert failed.payload["data"]["object"]["id"] == odd["id"]
    assert "could not be applied" in mismatches()[0].message
    odd["lines"]["data"][:] = lines
    deliver(stripe)
    assert (PlanPeriod.objects.count(), mismatches()) == (3, [])


def test_an_invoice_that_is_not_paid_yet_brings_nothing(org, stripe):
    payment = bought(org, stripe, "plan-starter")
    stripe.renew(stripe.objects[payment.checkout_id]["subscription"])
    _, second = [each for key, each in stripe.objects.items() if key.startswith("in_")]
    second["status"] = "open"
    deliver(stripe)
    assert PlanPeriod.objects.count() == 1
    second["status"] = "paid"
    stripe._emit("invoice.paid", second)
    deliver(stripe)
    assert PlanPeriod.objects.count() == 2


def test_a_dearer_thing_on_the_same_invoice_is_not_taken_for_the_plan(org, stripe):
    payment = bought(org, stripe, "plan-starter")
    (invoice,) = [each for key, each in stripe.objects.items() if key.startswith("in_")]
    invoice["lines"]["data"].append(workshop(stripe))
    deliver(stripe)
    payment.refresh_from_db()
    assert (payment.status, tier(org), amounts(org)) == ("PAID", "STARTER", [300])
    assert PlanPeriod.objects.get().ends_at == Subscription.objects.get().period_end


def test_what_an_event_asks_of_stripe_does_not_grow_with_the_age_of_its_plan(org, stripe):
    payment = bought(org, stripe, "plan-starter")
    deliver(stripe)
    subscription = stripe.objects[payment.checkout_id]["subscription"]
    for _ in range(3):
        stripe.renew(subscription)
        stripe.calls.clear()
        deliver(stripe, *stripe.events[-2:])
        plan = [f"GET /v1/subscriptions/{subscription}", "GET /v1/invoices"]
        back = ["GET /v1/refunds", "GET /v1/disputes"]
        assert stripe.calls == [*plan, *back, *plan]
    # What was applied is not asked about again.
    deliver(stripe)
    assert len(stripe.calls) == 6


# --- a subscription --------------------------------------------------------------------


def steps_of_a_life(org, stripe):
    """Starter bought, upgraded to Pro, renewed, one month refunded in part, cancelled, ended: each
    step happens at Stripe when it is asked for."""
    gateway.price_id(Price.objects.get(code="plan-pro"))
    payment = bought(org, stripe, "plan-starter")
    yield
    subscription = stripe.objects[payment.checkout_id]["subscription"]
    stripe.change_plan(subscription, "plan-pro:1")
    yield
    stripe.renew(subscription)
    yield
    (charge,) = [
        each
        for key, each in stripe.objects.items()
        if key.startswith("ch_") and each["amount"] == 4900
    ]
    stripe.refund(charge["payment_intent"], 2450)
    yield
    stripe.cancel(subscription)
    yield
    stripe.end(subscription)


@pytest.fixture
def life(org, stripe):
    """All of it has happened before we hear of anything."""
    for _ in steps_of_a_life(org, stripe):
        pass
    return stripe.events


def end_state(org):
    paid = Payment.objects.for_org(org).order_by("invoice_id")
    return (
        tier(org),
        balance(org),
        sorted(amounts(org)),
        list(paid.values_list("amount", "credits", "status", "reversed_amount", "price__code")),
        list(Subscription.objects.values_list("status", "price__code", "cancel_at_period_end")),
        sorted(PlanPeriod.objects.values_list("credits", flat=True)),
    )


END_STATE = (
    # Renewed a month ahead: what was paid runs for another two.
    "PRO",
    # The month to come is not granted yet; its half that went back never will be.
    Balance(available=1000, held=0, posted=1000),
    [300, 700],
    [
        (1900, 300, "PAID", 0, "plan-starter"),
        (3000, 700, "PAID", 0, "plan-pro"),
        (4900, 1000, "PAID", 2450, "plan-pro"),
    ],
    [("ENDED", "plan-pro", True)],
    [300, 700, 1000],
)


def test_a_life_in_order_and_what_it_leaves(org, stripe, life):
    assert [event["type"] for event in life] == [
        "customer.subscription.created",
        "invoice.paid",
        "checkout.session.completed",
        "invoice.paid",
        "customer.subscription.updated",
        "invoice.paid",
        "customer.subscription.updated",
        "charge.refunded",
        "customer.subscription.updated",
        "customer.subscription.deleted",
    ]
    assert set(deliver(stripe)) == {200}
    assert end_state(org) == END_STATE
    age(org, 31)
    assert grant_monthly().paid == 1
    assert (tier(org), sorted(amounts(org))) == ("PRO", [300, 500, 700])
    age(org, 31)
    grant_monthly()
    assert tier(org) == "FREE"


def end_states_of_all_orders(org, stripe, to_come, before=()):
    """The state after every order of the events, as (order, state); shared steps happen once."""
    if not to_come:
        yield [event["type"] for event in before], end_state(org)
    for event in to_come:
        others = [each for each in to_come if each is not event]
        with transaction.atomic():
            assert deliver(stripe, event) == [200]
            yield from end_states_of_all_orders(org, stripe, others, (*before, event))
            transaction.set_rollback(True)


def test_all_120_orders_of_a_short_life_end_in_the_same_state(org, stripe, settings):
    settings.WEBHOOKS_PER_MINUTE_OF_ADDRESS = 10_000
    payment = bought(org, stripe, "plan-pro")
    subscription = stripe.objects[payment.checkout_id]["subscription"]
    (charge,) = [each for key, each in stripe.objects.items() if key.startswith("ch_")]
    stripe.refund(charge["payment_intent"], 2450)
    stripe.end(subscription)
    expected = (
        "PRO",
        Balance(available=500, held=0, posted=500),
        [-500, 1000],
        [(4900, 1000, "PAID", 2450, "plan-pro")],
        [("ENDED", "plan-pro", False)],
        [1000],
    )
    found = list(end_states_of_all_orders(org, stripe, stripe.events))
    assert [(order, state) for order, state in found if state != expected] == []
    assert len(found) == 120


def test_shuffled_orders_of_a_whole_life_end_in_the_same_state(org, stripe, life):
    dice = random.Random(6)
    for order in [dice.sample(life, len(life)) for _ in range(4)]:
        with transaction.atomic():
            deliver(stripe, *order)
            assert end_state(org) == END_STATE, [event["type"] for event in order]
            transaction.set_rollback(True)
    deliver(stripe)


@pytest.mark.parametrize("seed", range(6))
def test_heard_as_it_happens_late_twice_or_in_disorder_it_is_the_same(org, stripe, settings, seed):
    """After each step some of what has happened so far is told, whether it was before or not."""
    settings.WEBHOOKS_PER_MINUTE_OF_ADDRESS = 10_000
    dice = random.Random(seed)
    for _ in steps_of_a_life(org, stripe):
        told = [event for event in stripe.events if dice.random() < 0.35]
        for event in dice.sample(told, len(told)):
            assert deliver(stripe, event) == [200]
    deliver(stripe, *dice.sample(stripe.events, len(stripe.events)))
    assert end_state(org) == END_STATE


def test_each_step_is_there_as_soon_as_it_is_told(org, stripe):
    gateway.price_id(Price.objects.get(code="plan-pro"))
    payment = bought(org, stripe, "plan-starter")
    deliver(stripe)
    assert (tier(org), amounts(org)) == ("STARTER", [300])
    payment.refresh_from_db()
    assert (payment.status, payment.invoice_id[:3]) == ("PAID", "in_")
    subscription = stripe.objects[payment.checkout_id]["subscription"]
    stripe.change_plan(subscription, "plan-pro:1")
    deliver(stripe)
    assert (tier(org), amounts(org)) == ("PRO", [300, 700])
    stripe.change_plan(subscription, "plan-starter:1")
    deliver(stripe)
    assert (tier(org), amounts(org)) == ("PRO", [300, 700])
    stripe.renew(subscription)
    deliver(stripe)
    assert tier(org) == "PRO"  # until what was paid for ends
    age(org, 31)
    grant_monthly()
    assert (tier(org), amounts(org)) == ("STARTER", [300, 700, 300])


# --- an answer that another one overtook ------------------------------------------------


@pytest.fixture
def overtaken(stripe):
    """A cancellation whose handler learns that the plan goes on, while it ends, and we are told."""
    make_catalogue()
    payment = bought(make_organization(), stripe, "plan-pro")
    deliver(stripe)
    subscription = stripe.objects[payment.checkout_id]["subscription"]
    stripe.cancel(subscription)
    cancelled = stripe.events[-1]

    def end():
        stripe.end(subscription)
        assert deliver(stripe, stripe.events[-1]) == [200]

    return cancelled, lambda: deliver_overtaken(stripe, cancelled, 1, end)


@pytest.mark.django_db(transaction=True)
def test_an_answer_that_is_older_than_what_was_applied_meanwhile_is_fetched_again(overtaken):
    _, deliver_it = overtaken
    assert deliver_it() == [200]
    assert Subscription.objects.get().status == "ENDED"


@pytest.mark.django_db(transaction=True)
def test_an_event_that_is_overtaken_again_and_again_is_503_and_has_no_effect(
    stripe, overtaken, monkeypatch
):
    cancelled, deliver_it = overtaken
    monkeypatch.setattr("billing.webhooks.apply.ATTEMPTS", 1)
    assert deliver_it() == [503]
    assert Subscription.objects.get().status == "ENDED"
    assert StripeEvent.objects.get(pk=cancelled["id"]).status == "RECEIVED"
    assert deliver(stripe, cancelled) == [200]
    assert StripeEvent.objects.get(pk=cancelled["id"]).status == "APPLIED"


# --- money that goes back --------------------------------------------------------------


def test_a_refund_takes_unused_credits_and_leaves_the_rest_as_a_debt(org, stripe, api):
    payment = bought(org, stripe)
    deliver(stripe)
    make_spend(org, 70)
    payment.refresh_from_db()
    stripe.refund(payment.payment_intent_id, 450)
    deliver(stripe)
    assert balance(org) == Balance(available=0, held=0, posted=0, debt=20)
    stripe.refund(payment.payment_intent_id, 450)
    deliver(stripe)
    assert balance(org) == Balance(available=0, held=0, posted=0, debt=70)
    payment.refresh_from_db()
    assert (payment.reversed_amount, payment.reversals) == (900, 2)
    reversals = org.credit_reversals.order_by("pk")
    assert {each.reference_id for each in reversals} == {str(payment.pk)}
    assert [(each.taken, each.owed) for each in reversals] == [(30, 20), (0, 50)]
    bought(org, stripe)
    deliver(stripe)
    assert balance(org) == Balance(available=30, held=0, posted=30, debt=0)


def test_a_refund_that_is_heard_of_before_its_payment(org, stripe):
    payment = bought(org, stripe)
    intent = stripe.objects[payment.checkout_id]["payment_intent"]
    stripe.refund(intent, 900)
    deliver(stripe, *stripe.events[::-1])
    assert balance(org) == Balance(available=0, held=0, posted=0)
    assert amounts(org) == [100, -100]


@pytest.mark.django_db(transaction=True)
def test_a_refund_while_its_payment_is_being_applied_is_not_lost(stripe):
    """A refund that arrives before the payment is known, and after its handler asked for refunds."""
    make_catalogue()
    org = make_organization()
    payment = bought(org, stripe)
    (paid,) = stripe.events

    def refund():
        stripe.refund(stripe.objects[payment.checkout_id]["payment_intent"], 900)
        assert deliver(stripe, stripe.events[-1]) == [200]
        assert amounts(org) == []

    assert deliver_overtaken(stripe, paid, 3, refund) == [200]
    assert amounts(org) == [100, -100]
    assert {event.status for event in StripeEvent.objects.all()} == {"APPLIED"}
    payment.refresh_from_db()
    assert payment.reversed_amount == 900


def test_a_refund_of_what_others_sold_is_ignored(stripe):
    intent = stripe._charge("cus_theirs", 900, "usd")
    stripe.refund(intent, 900)
    assert deliver(stripe) == [200]
    assert StripeEvent.objects.get().status == "IGNORED"


def test_a_refund_that_fails_gives_the_credits_again(org, stripe):
    payment = bought(org, stripe)
    deliver(stripe)
    payment.refresh_from_db()
    refund = stripe.refund(payment.payment_intent_id, 900)
    deliver(stripe)
    assert balance(org).available == 0
    stripe.fail_refund(refund)
    deliver(stripe)
    payment.refresh_from_db()
    assert (payment.reversed_amount, balance(org).available) == (0, 100)


def test_a_dispute_takes_back_and_one_that_is_won_gives_again_and_once_more(org, stripe):
    payment = bought(org, stripe)
    deliver(stripe)
    payment.refresh_from_db()
    make_spend(org, 70)
    dispute = stripe.dispute(payment.payment_intent_id)
    deliver(stripe)
    assert balance(org) == Balance(available=0, held=0, posted=0, debt=70)
    assert went_back(payment) == (900, 900)
    stripe.close_dispute(dispute, won=True)
    deliver(stripe)
    assert balance(org) == Balance(available=30, held=0, posted=30, debt=0)
    assert went_back(payment) == (0, 0)
    stripe.refund(payment.payment_intent_id, 900)
    deliver(stripe)
    assert balance(org) == Balance(available=0, held=0, posted=0, debt=70)
    assert went_back(payment) == (900, 0)


def went_back(payment):
    """In all, and by disputes."""
    payment.refresh_from_db()
    return payment.reversed_amount, payment.disputed_amount


def disputed_and_won(stripe, payment):
    payment.refresh_from_db()
    dispute = stripe.dispute(payment.payment_intent_id)
    deliver(stripe)
    stripe.close_dispute(dispute, won=True)
    deliver(stripe)


def test_what_a_won_dispute_gives_again_ends_and_is_drawn_as_it_was_bought(org, stripe):
    payment = bought(org, stripe)
    deliver(stripe)
    disputed_and_won(stripe, payment)
    first, again = CreditGrant.objects.order_by("pk")
    assert first.expires_at is not None
    assert (again.remaining, again.priority, again.expires_at) == (100, 50, first.expires_at)


def test_what_had_ended_before_a_dispute_that_is_won_stays_ended(org, stripe):
    payment = bought(org, stripe)
    deliver(stripe)
    make_spend(org, 60)
    for lot_number in range(2):
        CreditGrant.objects.update(expires_at=timezone.now() - datetime.timedelta(days=1))
        credit_services.expire_grants()
        disputed_and_won(stripe, payment)
        # Spent credits were owed, and are settled; unused ones had ended.
        assert balance(org) == Balance(available=0, held=0, posted=0, debt=0)
        assert CreditGrant.objects.count() == 2 + lot_number
    assert amounts(org) == [100, -60, -40, *[100, -40, -60] * 2]


def test_a_month_that_was_disputed_before_it_began_comes_once_the_dispute_is_won(org, stripe):
    payment = bought(org, stripe, "plan-pro")
    deliver(stripe)
    stripe.renew(stripe.objects[payment.checkout_id]["subscription"])
    deliver(stripe)
    second = Payment.objects.get(period__granted_at=None)
    dispute = stripe.dispute(second.payment_intent_id)
    deliver(stripe)
    age(org, 31)
    grant_monthly()
    assert (tier(org), amounts(org)) == ("FREE", [1000, 60])
    stripe.close_dispute(dispute, won=True)
    deliver(stripe)
    assert (tier(org), amounts(org)) == ("PRO", [1000, 60, 1000])
    lot = CreditGrant.objects.latest("pk")
    assert (lot.priority, lot.expires_at) == (20, PlanPeriod.objects.get(payment=second).ends_at)


def test_a_dispute_that_is_lost_changes_nothing_more(org, stripe):
    payment = bought(org, stripe)
    deliver(stripe)
    payment.refresh_from_db()
    stripe.close_dispute(stripe.dispute(payment.payment_intent_id), won=False)
    deliver(stripe)
    assert amounts(org) == [100, -100]


def test_a_plan_whose_payment_went_back_whole_has_ended(org, stripe):
    payment = bought(org, stripe, "plan-pro")
    deliver(stripe)
    payment.refresh_from_db()
    assert tier(org) == "PRO"
    stripe.refund(payment.payment_intent_id, 4900)
    deliver(stripe)
    assert (tier(org), balance(org).posted) == ("FREE", 0)


def test_a_later_month_that_went_back_whole_leaves_nothing_of_the_months_before(org, stripe):
    payment = bought(org, stripe, "plan-pro")
    deliver(stripe)
    stripe.renew(stripe.objects[payment.checkout_id]["subscription"])
    deliver(stripe)
    age(org, 31)
    grant_monthly()
    assert (tier(org), amounts(org)) == ("PRO", [1000, 1000])
    second = Payment.objects.order_by("period__starts_at")[1]
    stripe.refund(second.payment_intent_id, 4900)
    deliver(stripe)
    assert (tier(org), amounts(org)) == ("FREE", [1000, 1000, -1000])


def test_of_two_plans_the_higher_ends_with_its_month_while_the_lower_goes_on(org, stripe):
    payment = bought(org, stripe, "plan-pro")
    stripe.end(stripe.objects[payment.checkout_id]["subscription"])
    deliver(stripe)
    bought(org, stripe, "plan-starter")
    deliver(stripe)
    assert tier(org) == "PRO"
    PlanPeriod.objects.filter(price__code="plan-pro").update(
        starts_at=F("starts_at") - datetime.timedelta(days=31),
        ends_at=F("ends_at") - datetime.timedelta(days=31),
    )
    assert grant_monthly().ended == 1
    assert tier(org) == "STARTER"
    assert grant_monthly().ended == 0


# --- what is not applied ---------------------------------------------------------------


def test_an_unknown_type_is_kept_and_answered_200(stripe):
    stripe._emit("product.created", {"id": "prod_1"})
    assert deliver(stripe) == [200]
    assert StripeEvent.objects.get().status == "IGNORED"


def test_an_endpoint_that_is_set_up_as_the_billing_page_says_hears_of_all_that_matters():
    page = (ROOT / "clipforge/docs/billing.md").read_text()
    _, _, setting_up = page.partition("<!-- Stripe events -->\n")
    named = re.findall(r"`([a-z_.]+\.[a-z_*]+)`", setting_up.partition("\n\n")[0])
    assert named[0] == "checkout.session.*"
    unheard = [kind for kind in LOOK_UPS if not any(fnmatch(kind, n) for n in named)]
    assert unheard == []


def test_what_others_sell_through_the_same_account_is_ignored(org, stripe):
    payment = start_checkout(org)
    stripe.objects[payment.checkout_id]["metadata"] = {"payment": "theirs"}
    stripe.pay(payment.checkout_id)
    assert deliver(stripe) == [200]
    assert (StripeEvent.objects.get().status, amounts(org)) == ("IGNORED", [])


def test_while_stripe_cannot_be_asked_the_event_waits(org, stripe):
    bought(org, stripe)
    stripe.faults.append("down")
    assert deliver(stripe) == [503]
    assert (StripeEvent.objects.get().status, amounts(org)) == ("RECEIVED", [])
    assert deliver(stripe) == [200]
    assert amounts(org) == [100]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("when", ["before", "between"])
def test_an_event_while_the_database_restarts_is_credited_once_afterwards(
    stripe, monkeypatch, when
):
    """Our connection is ended by the server before the event is stored, or before it is applied."""
    make_catalogue()
    org = make_organization()
    bought(org, stripe)
    name = "receive_event" if when == "before" else "apply_event"
    act = getattr(services, name)

    def lose_the_connection(*arguments):
        end_the_connection()
        return act(*arguments)

    monkeypatch.setattr(services, name, lose_the_connection)
    assert deliver(stripe) == [503]
    connection.close()  # as the end of a request does, which the test client leaves out
    monkeypatch.undo()
    assert amounts(org) == []
    assert deliver(stripe) == [200]
    assert amounts(org) == [100]


def test_without_a_database_the_answer_is_503(stripe, org, monkeypatch):
    bought(org, stripe)

    def refuse(document):
        raise OperationalError("no")

    monkeypatch.setattr(services, "receive_event", refuse)
    body, signature = stripe.signed(stripe.events[0])
    assert_problem(send(body, signature), 503, "unavailable")


# --- what is refused -------------------------------------------------------------------


@pytest.mark.parametrize("age_of_it", [301, -301, 10_000, -10_000])
def test_a_stale_and_a_future_event_are_refused(org, stripe, age_of_it, monkeypatch):
    bought(org, stripe)
    now = time.time()
    monkeypatch.setattr("billing.api.webhooks.time.time", lambda: now)
    body, signature = stripe.signed(stripe.events[0], at=now - age_of_it)
    with nothing_changes():
        assert_problem(send(body, signature), 400, "invalid_signature")


@pytest.mark.parametrize("age_of_it", [298, -298])
def test_clocks_may_differ_by_five_minutes(org, stripe, age_of_it, monkeypatch):
    bought(org, stripe)
    now = time.time()
    monkeypatch.setattr("billing.api.webhooks.time.time", lambda: now)
    body, signature = stripe.signed(stripe.events[0], at=now - age_of_it)
    assert send(body, signature).status_code == 200


def test_while_its_secret_is_rolled_an_event_has_two_signatures_and_one_that_fits_is_enough(
    org, stripe
):
    bought(org, stripe)
    body, signature = stripe.signed(stripe.events[0])
    time_of_it, ours = signature.split(",")
    other = f"v1={'0' * 64}"
    with nothing_changes():
        assert_problem(send(body, f"{time_of_it},{other},{other}"), 400, "invalid_signature")
    for both in (f"{other},{ours}", f"{ours},{other}"):
        assert send(body, f"{time_of_it},{both}").status_code == 200


FORGERIES = {
    "another body": (b"{} ", "{header}"),
    "none": (b"{}", ""),
    "nonsense": (b"{}", "nonsense"),
    "no digest": (b"{}", "t={now}"),
    "not UTF-8": (b"\xff\xfe", "{header}"),
    "two times": (b"{}", "t={now},{header}"),
    "another scheme": (b"{}", "v0{header}"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_event_is_refused(stripe, name):
    body, header = FORGERIES[name]
    true_header = stripe.signed({})[1]
    header = header.format(header=true_header, now=int(time.time()) - 1)
    if name == "another scheme":
        header = true_header.replace("v1=", "v0=")
    with nothing_changes():
        assert_problem(send(body, header), 400, "invalid_signature")


def test_an_oversized_event_is_refused_before_it_is_read(org, stripe):
    bought(org, stripe)
    event = {**stripe.events[0], "filler": "x" * 256 * 1024}
    body, signature = stripe.signed(event)
    with nothing_changes():
        answer = send(body, signature, **{"wsgi.input": Unreadable()})
    assert_problem(answer, 413, "too_large")


@pytest.mark.parametrize(
    "headers",
    [{"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "-1"}, {"HTTP_TRANSFER_ENCODING": "chunked"}],
)
def test_an_event_of_no_stated_length_is_refused_before_it_is_read(org, stripe, headers):
    bought(org, stripe)
    headers = {**headers, "wsgi.input": Unreadable()}
    with nothing_changes():
        answer = send(*stripe.signed(stripe.events[0]), **headers)
    assert_problem(answer, 411, "length_required")


@pytest.mark.parametrize("mode", [True, None, "false"])
def test_an_event_of_the_other_mode_is_refused(org, stripe, mode):
    bought(org, stripe)
    event = {**stripe.events[0], "livemode": mode}
    with nothing_changes():
        assert_problem(send(*stripe.signed(event)), 400, "wrong_mode")


GOOD = {"id": "evt_1", "type": "x", "created": 1, "livemode": False}
ABSURD = [
    *({**GOOD, "created": created} for created in (10**30, 253402300800, -1, True, 1.5, "1", None)),
    *({**GOOD, "id": name} for name in ("", "e" * 256, "evt_\0", None)),
    {**GOOD, "type": "x\0"},
    {**GOOD, "data": {"object": {"name": "a\0b"}}},
]


@pytest.mark.parametrize("number", range(len(ABSURD)))
def test_a_signed_event_that_no_row_can_hold_is_refused(stripe, number: int):
    with nothing_changes():
        assert_problem(send(*stripe.signed(ABSURD[number])), 400, "invalid_event")


def test_an_event_of_the_last_second_and_with_the_longest_id_is_kept(stripe):
    event = {**GOOD, "id": "e" * 255, "created": 253402300799}
    assert send(*stripe.signed(event)).status_code == 200


@pytest.mark.parametrize("event", [{}, {"id": 1, "type": "x", "created": 1, "livemode": False}])
def test_what_is_no_event_is_refused(stripe, event):
    with nothing_changes():
        assert_problem(send(*stripe.signed(event)), 400, "invalid_event")


def test_a_list_is_no_event(stripe):
    assert_problem(send(*stripe.signed([])), 400, "malformed_request")


def test_only_post_is_answered(anonymous):
    assert_problem(anonymous.get("/webhooks/stripe"), 405, "method_not_allowed")


def test_without_a_key_of_stripe_it_is_503():
    assert_problem(send(b"{}", ""), 503, "payments_not_configured")
    assert not BillingAccount.objects.exists()


# --- too many --------------------------------------------------------------------------


class Unreadable:
    """A body that fails the test when it is read."""

    def read(self, *_: object) -> bytes:
        raise AssertionError("the body was read")

    readline = read


@pytest.fixture
def five_a_minute(settings):
    """By a clock that stands still: no test meets the end of a minute."""
    settings.WEBHOOKS_PER_MINUTE_OF_ADDRESS = 5
    settings.STRIPE_SECRET_KEY = SECRET_KEY
    with time_machine.travel("2026-11-24 12:00:30Z", tick=False):
        yield


def unsigned_event(address="203.0.113.1", **headers):
    """An event without a signature."""
    return send(b"{}", "", REMOTE_ADDR=address, **headers)


def refusals(count, **options):
    return [unsigned_event(**options).status_code for _ in range(count)]


def test_the_sixth_event_in_a_minute_is_refused_before_body_or_database_are_read(
    five_a_minute, django_assert_num_queries
):
    assert refusals(5) == [400] * 5
    with django_assert_num_queries(0):
        answer = unsigned_event(**{"wsgi.input": Unreadable()})
    body = assert_problem(answer, 429, "rate_limited")
    assert 1 <= int(answer["Retry-After"]) <= 60
    assert "More than 5 events came from this address" in body["detail"]


def test_a_good_event_over_the_limit_is_stored_when_it_comes_again(org, stripe, five_a_minute):
    bought(org, stripe)
    refusals(5, address="127.0.0.1")
    with nothing_changes():
        assert deliver(stripe) == [429]
    with time_machine.travel("2026-11-24 12:01:30Z", tick=False):
        assert deliver(stripe) == [200]
    assert amounts(org) == [100]


def test_another_address_is_not_disturbed(five_a_minute):
    refusals(5)
    assert refusals(1) == [429]
    assert refusals(5, address="203.0.113.2") == [400] * 5


def test_a_forged_address_in_a_header_changes_nothing(five_a_minute):
    statuses = [unsigned_event(HTTP_X_FORWARDED_FOR=f"10.1.1.{n}").status_code for n in range(6)]
    assert statuses == [400] * 5 + [429]


def test_without_redis_the_limit_stays(settings, five_a_minute):
    with redis_server() as redis:
        options = {**settings.CACHES["counters"], "LOCATION": redis.url}
        settings.CACHES = {**settings.CACHES, "counters": options}
        be_patient("counters")
        assert refusals(1) == [400]
        redis.kill()
        assert refusals(5) == [400] * 5  # counted anew, in this process
        assert refusals(1) == [429]
