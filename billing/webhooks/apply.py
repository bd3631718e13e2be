"""Applying a stored event, once, under the version of the account that it changes."""

from __future__ import annotations

import functools
import logging
import uuid
from collections.abc import Callable
from typing import Any

from django.db.transaction import atomic
from django.utils import timezone

from billing import gateway, subscriptions
from billing.accounts import lock_account
from billing.models import BillingAccount, EventStatus, Payment, StripeEvent, Subscription
from billing.webhooks.facts import (
    LOOK_UPS,
    Facts,
    checkout_facts,
    org_hinted,
    reversal_facts,
    subscription_facts,
)
from clipforge.audit.actor import Actor
from clipforge.common.errors import Invalid, Unavailable

logger = logging.getLogger(__name__)

# How often a newer answer may overtake ours before Stripe is asked to come again.
ATTEMPTS = 5
# What has had its effect, or will never have one.
DONE = {EventStatus.APPLIED, EventStatus.IGNORED}


def apply_event(event: StripeEvent) -> str:
    """Do what follows from the event, once. Returns its status afterwards.

    Raises Unavailable when Stripe cannot be asked: the event stays RECEIVED and is applied when it
    comes again, or by `billing.reconciling`.
    """
    with gateway.mode(is_test=event.is_test):
        return _apply_in_mode(event)


def _apply_in_mode(event: StripeEvent) -> str:
    if event.status in DONE:
        return event.status
    look_up = LOOK_UPS.get(event.type)
    thing = event.payload.get("data", {}).get("object", {})
    if look_up is None or not thing.get("id"):
        return _finish(event, EventStatus.IGNORED)
    try:
        return _apply(event, functools.partial(look_up, thing), org_hinted(thing))
    except Invalid as error:
        logger.error("event cannot be applied", extra={"event": event.pk, "why": error.message})
        return _finish(event, EventStatus.FAILED, error=error.message)


def catch_up(known: Payment | Subscription) -> None:
    """Do what Stripe says of it now, without an event. Raises Unavailable, and Invalid."""
    look_up, stripe_id = (
        (checkout_facts, known.checkout_id)
        if isinstance(known, Payment)
        else (subscription_facts, known.stripe_id)
    )
    with gateway.mode_of(known.org):
        _apply(None, functools.partial(look_up, {"id": stripe_id}), known.org_id)


def follow_money(payment: Payment) -> None:
    """Let the credits of a payment follow what Stripe says now that went back of it. Raises as above."""
    thing = {"payment_intent": payment.payment_intent_id}
    with gateway.mode_of(payment.org):
        _apply(None, functools.partial(reversal_facts, thing), payment.org_id)


def _apply(
    event: StripeEvent | None, look_up: Callable[[], Facts | None], org_id: uuid.UUID | None
) -> str:
    """`org_id` is whose it probably is: the version has to be read before Stripe is asked."""
    actor = Actor.of_stripe("" if event is None else event.pk)
    for _ in range(ATTEMPTS):
        version = _version_of(org_id)
        facts = look_up()
        if facts is None:
            return _finish(event, EventStatus.IGNORED)
        if facts.org_id != org_id:
            org_id = facts.org_id
            continue
        with atomic():
            account = lock_account(facts.org_id)
            if account.org.is_sandbox is not gateway.is_test():
                # Credits that were paid for in a test are good for tests only.
                raise Invalid("This is about an organization of the other mode, test or live.")
            if event is not None:
                event = StripeEvent.objects.select_for_update().get(pk=event.pk)
                if event.status in DONE:
                    return event.status
            if account.sync_version != version:
                continue
            account.sync_version += 1
            account.save(update_fields=["sync_version"])
            why_not = facts.write(account, actor)
            subscriptions.settle_tier(account, now=timezone.now(), actor=actor)
            status = EventStatus.FAILED if why_not else EventStatus.APPLIED
            return _finish(event, status, org_id=org_id, error=why_not)
    raise Unavailable("Too much is happening at once. Send the event again.")


def _version_of(org_id: uuid.UUID | None) -> int:
    if org_id is None:
        return -1
    versions = BillingAccount.objects.filter(pk=org_id).values_list("sync_version", flat=True)
    return versions.first() or 0


def _finish(event: StripeEvent | None, status: EventStatus, **fields: Any) -> str:
    if event is not None:
        # What was applied by another process meanwhile, or set aside by a person, stays so.
        undecided = StripeEvent.objects.filter(pk=event.pk).exclude(status__in=DONE)
        undecided.update(status=status, applied_at=timezone.now(), **fields)
    return status
