"""The comparison of Stripe, our payments and the ledger."""

from __future__ import annotations

import datetime
import logging
from typing import NamedTuple

from django.utils import timezone

from billing import gateway, refunding
from billing.models import (
    EventStatus,
    Payment,
    PaymentMethod,
    PaymentStatus,
    StripeEvent,
    Subscription,
    SubscriptionStatus,
)
from billing.selectors import Mismatch, mismatches
from billing.webhooks.apply import apply_event, catch_up
from billing.webhooks.facts import LOOK_UPS
from billing.webhooks.intake import receive_event

logger = logging.getLogger(__name__)

# A page of Stripe's that can be paid is closed by then, and a month that ends was renewed or not.
OVERDUE = datetime.timedelta(days=1)


class Findings(NamedTuple):
    missed: list[str]  # what we never heard of, now applied where it could be
    waiting: list[str]  # what could not be applied, and will be tried again
    mismatches: list[Mismatch]

    @property
    def ok(self) -> bool:
        return not (self.missed or self.waiting or self.mismatches)


def reconcile() -> Findings:
    """Fetch what Stripe never told us, apply what waits or failed, and compare payments and ledger.

    Refunds that were asked for and not carried out are. An event is applied as if it had come. Stripe keeps them for 30 days; whatever is still open
    when it should have ended is asked about by itself. Everything else is only reported: a person
    repairs it. Without Stripe only payments and ledger are compared. Raises Unavailable when Stripe
    is down.
    """
    missed = []
    for is_test in gateway.modes():
        with gateway.mode(is_test=is_test):
            missed += _fetch_missed()
    waiting = refunding.carry_out_open() + _apply_waiting()
    if gateway.modes():
        caught_up, not_yet = _catch_up()
        missed, waiting = missed + caught_up, waiting + not_yet
    return Findings(missed=missed, waiting=waiting, mismatches=mismatches())


def _fetch_missed() -> list[str]:
    missed = []
    for page in gateway.events(LOOK_UPS):
        ids = [event["id"] for event in page]
        known = set(StripeEvent.objects.filter(pk__in=ids).values_list("pk", flat=True))
        missed += [event for event in page if event["id"] not in known]
    for event in reversed(missed):
        receive_event(event)
    return [f"{event['id']} ({event['type']})" for event in reversed(missed)]


def _apply_waiting() -> list[str]:
    waiting = []
    open_ = StripeEvent.objects.filter(status__in=[EventStatus.RECEIVED, EventStatus.FAILED])
    for event in list(open_.order_by("received_at")):
        try:
            apply_event(event)
        except Exception as error:  # an unforeseen error must not keep the others waiting
            logger.exception("event still waits", extra={"event": event.pk})
            waiting.append(f"{event.pk} ({event.type}): {error}")
    return waiting


def _catch_up() -> tuple[list[str], list[str]]:
    """Catch up with subscriptions that ended or were renewed without an event.

    Returns (found, failed).
    """
    overdue = _overdue()
    not_yet = []
    for stripe_id, known in overdue.items():
        try:
            if known.org.is_sandbox in gateway.modes():
                catch_up(known)
        except Exception as error:  # as above
            logger.exception("still overdue", extra={"id": stripe_id})
            not_yet.append(f"{stripe_id} (overdue): {error}")
    still = _overdue()
    return [f"{each} (overdue)" for each in overdue if each not in still], not_yet


def _overdue() -> dict[str, Payment | Subscription]:
    """By Stripe's id."""
    then = timezone.now() - OVERDUE
    pages = Payment.objects.filter(status=PaymentStatus.PENDING, created_at__lt=then)
    plans = Subscription.objects.filter(method=PaymentMethod.STRIPE, period_end__lt=then)
    found: dict[str, Payment | Subscription] = {
        page.checkout_id: page for page in pages.exclude(checkout_id="")
    }
    found |= {plan.stripe_id: plan for plan in plans.exclude(status=SubscriptionStatus.ENDED)}
    return found
