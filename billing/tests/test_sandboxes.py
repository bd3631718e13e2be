"""Sandboxes: free credits, and the test mode of Stripe for them and for nobody else."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from billing import gateway, sandboxes, services
from billing.models import Payment, StripeEvent
from billing.tests.makers import deliver, send, start_checkout
from clipforge.common.errors import Unavailable
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.factories import REASON, TESTER, make_grant, make_organization
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.stripe import SECRET_KEY, WEBHOOK_SECRET, Stripe
from clipforge.orgs import services as org_services
from clipforge.orgs.models import Organization
from credits.models import CreditTransaction
from credits.selectors import Balance, balance
from credits.tests.makers import make_hold, make_spend

pytestmark = pytest.mark.django_db


def sandbox_of(org: Organization) -> Organization:
    return org_services.ensure_sandbox(organization=org, reason=REASON, actor=TESTER)


@pytest.fixture
def org() -> Organization:
    return make_organization(name="Acme", tier="FREE")


@pytest.fixture
def modes(stripe: Stripe, settings: Any) -> Stripe:
    """The stand-in is the account of the test mode: it refuses the live key."""
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = "sk_live_ours", "whsec_live"
    settings.STRIPE_TEST_SECRET_KEY = SECRET_KEY
    settings.STRIPE_TEST_WEBHOOK_SECRET = WEBHOOK_SECRET
    return stripe


# --- credits ----------------------------------------------------------------------------


def test_a_sandbox_is_made_once_with_its_tier_and_free_credits(org):
    sandbox = sandbox_of(org)
    assert (sandbox.tier, sandbox.sandbox_of_id, sandbox.is_sandbox) == ("FREE", org.pk, True)
    assert balance(sandbox) == Balance(available=10_000, held=0, posted=10_000)
    assert sandbox_of(org) == sandbox
    assert CreditTransaction.objects.for_org(org).count() == 0


@pytest.mark.django_db(transaction=True)
def test_of_four_that_make_it_at_once_all_get_the_same():
    org = make_organization()
    assert len(set(run_together(4, lambda _: sandbox_of(org)))) == 1
    assert Organization.objects.filter(sandbox_of=org).count() == 1


def test_its_tier_and_its_suspension_are_those_of_its_organization(org):
    sandbox = sandbox_of(org)
    org_services.change_tier(organization=org, tier="PRO", reason=REASON, actor=TESTER)
    org_services.suspend(organization=org, reason=REASON, actor=TESTER)
    sandbox.refresh_from_db()
    assert (sandbox.tier, sandbox.is_active) == ("PRO", False)
    org_services.restore(organization=org, reason=REASON, actor=TESTER)
    sandbox.refresh_from_db()
    assert sandbox.is_active


def test_one_that_has_less_than_half_is_filled_up_once_a_day(org):
    sandbox = sandbox_of(org)
    tomorrow = timezone.now() + datetime.timedelta(days=1)
    make_spend(sandbox, 5000)
    with time_machine.travel(tomorrow):
        assert sandboxes.fill_up_all() == 0  # half is enough
    make_hold(sandbox, 1)
    assert sandboxes.fill_up_all() == 0  # it was given some today
    poor = make_organization()
    make_grant(poor, 1)
    with time_machine.travel(tomorrow):
        assert sandboxes.fill_up_all() == 1
    assert balance(sandbox) == Balance(available=10_000, held=1, posted=10_001)
    assert balance(poor).available == 1


def test_a_day_later_it_has_all_again(org):
    sandbox = sandbox_of(org)
    make_spend(sandbox, 6000)
    with time_machine.travel(timezone.now() + datetime.timedelta(days=1)):
        assert sandboxes.fill_up_all() == 1
        assert balance(sandbox).available == 10_000
        assert sandboxes.fill_up_all() == 0


# --- Stripe -----------------------------------------------------------------------------


def test_a_sandbox_buys_in_the_test_mode_and_nothing_moves_for_its_organization(org, modes):
    sandbox = sandbox_of(org)
    payment = start_checkout(sandbox)
    modes.pay(payment.checkout_id)
    assert set(deliver(modes)) == {200}
    assert balance(sandbox).available == 10_100
    assert set(StripeEvent.objects.values_list("is_test", flat=True)) == {True}
    assert balance(org).available == 0


def test_a_plan_that_is_paid_in_a_test_gives_its_credits_and_no_tier(org, modes):
    """Else a test card would buy the limits of any tier."""
    sandbox = sandbox_of(org)
    payment = start_checkout(sandbox, code="plan-pro")
    modes.pay(payment.checkout_id)
    assert set(deliver(modes)) == {200}
    assert balance(sandbox).available > 10_000
    sandbox.refresh_from_db()
    org.refresh_from_db()
    assert (sandbox.tier, org.tier) == ("FREE", "FREE")


def test_a_live_organization_is_asked_about_with_the_live_key(org, modes):
    with gateway.mode_of(org):
        assert gateway.is_live()
    with gateway.mode_of(sandbox_of(org)):
        assert not gateway.is_live()
    assert not gateway.is_test()


@pytest.mark.breaks_ledger  # a person has to look at that event
def test_what_is_paid_in_a_test_is_never_credited_to_a_live_organization(org, modes):
    sandbox = sandbox_of(org)
    payment = start_checkout(sandbox)
    modes.pay(payment.checkout_id)
    # As if an object of the test mode named a live organization.
    Organization.objects.filter(pk=sandbox.pk).update(sandbox_of=None)
    before = balance(sandbox)
    deliver(modes)
    assert balance(sandbox) == before
    assert "FAILED" in set(StripeEvent.objects.values_list("status", flat=True))
    assert Payment.objects.get(pk=payment.pk).status == "PENDING"


def test_an_event_of_the_test_mode_under_the_secret_of_the_live_one_is_refused(modes):
    body = json.dumps({"id": "evt_1", "type": "x", "created": 1, "livemode": False}).encode()
    stamp = int(time.time())
    mac = hmac.new(b"whsec_live", f"{stamp}.".encode() + body, hashlib.sha256)
    assert_problem(send(body, f"t={stamp},v1={mac.hexdigest()}"), 400, "wrong_mode")
    assert_problem(send(body, f"t={stamp},v1={'0' * 64}"), 400, "invalid_signature")
    assert not StripeEvent.objects.exists()


def test_without_keys_of_the_test_mode_a_sandbox_cannot_pay(org, stripe):
    with pytest.raises(Unavailable) as refused:
        services.open_portal(org=sandbox_of(org))
    assert refused.value.error_code == "payments_not_configured"
