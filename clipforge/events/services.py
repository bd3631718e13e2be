"""Writes to webhook endpoints, and what their owners ask for. Each change leaves its audit row."""

from __future__ import annotations

import datetime
import logging
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.common.errors import Conflict, Invalid, NotFound
from clipforge.common.outbound import require_address
from clipforge.common.versions import version_of
from clipforge.events import disabling, outbox, signing
from clipforge.events.models import Delivery, DeliveryStatus, Endpoint, Event
from clipforge.events.registry import all_types
from clipforge.events.selectors import endpoints
from clipforge.orgs.models import Organization

logger = logging.getLogger(__name__)

# Of one organization.
MAX_ENDPOINTS = 10
# Characters, as in the column.
MAX_DESCRIPTION = 200
# How long a former secret signs beside the new one, and how many of them at most: who rotates again,
# because the answer was lost, must not be left with a secret that nobody has.
OVERLAP = datetime.timedelta(hours=24)
MAX_FORMER = 3
# Events of one replay of a range.
MAX_REPLAY = 10_000

# The type of the events that an endpoint is tested with.
TEST = "endpoint.test"


class NewSecret(NamedTuple):
    """An endpoint and its secret, which is shown this once."""

    endpoint: Endpoint
    secret: str


def create_endpoint(
    *,
    org: Organization,
    url: str,
    event_types: list[str] | None = None,
    description: str = "",
    api_version: str | None = None,
    reason: str,
    actor: Actor,
) -> NewSecret:
    """Make an endpoint that is told of events from now on; of all, unless types are named.

    In this version of the API; else in that of requests of the organization that ask for none. Raises Invalid for an address that nothing is sent to and for a type that does not exist,
    Conflict for an address that the organization has an endpoint at, and for one too many.
    """
    endpoint = Endpoint(
        org=org,
        url=require_address(url),
        event_types=_known(event_types or []),
        description=_description(description),
        api_version=api_version or version_of("", org.created_at).name,
        salt=signing.new_salt(),
    )
    with transaction.atomic():
        # One at a time: two that are made at once would both be the last that is allowed.
        Organization.objects.select_for_update(no_key=True).get(pk=org.pk)
        if endpoints(org).count() >= MAX_ENDPOINTS:
            raise Conflict(
                f"An organization has at most {MAX_ENDPOINTS} webhook endpoints. Delete one first.",
                code="too_many_endpoints",
            )
        _save(endpoint, force_insert=True)
        write_entry(
            actor=actor,
            verb="add",
            subject=endpoint,
            org=org,
            after=_shown(endpoint),
            reason=reason,
        )
    logger.info("webhook endpoint created", extra=_facts(endpoint, actor))
    return NewSecret(endpoint, signing.secret_of(endpoint.salt))


def update_endpoint(*, endpoint: Endpoint, reason: str, actor: Actor, **changes: Any) -> Endpoint:
    """Change `url`, `event_types`, `description`, `api_version` or `is_enabled`. What is equal changes nothing.

    Enabled again, an endpoint is sent at once what waits for it. Raises as `create_endpoint` does.
    """
    if "url" in changes:
        changes["url"] = require_address(changes["url"])
    if "event_types" in changes:
        changes["event_types"] = _known(changes["event_types"])
    if "description" in changes:
        changes["description"] = _description(changes["description"])
    enabled = changes.pop("is_enabled", None)
    with transaction.atomic():
        locked = _locked(endpoint)
        before = {name: getattr(locked, name) for name in changes}
        after = {name: new for name, new in changes.items() if before[name] != new}
        if after:
            for name, new in after.items():
                setattr(locked, name, new)
            _save(locked, update_fields=[*after, "updated_at"])
            write_entry(
                actor=actor,
                verb="change",
                subject=locked,
                org=locked.org,
                before={name: before[name] for name in after},
                after=after,
                reason=reason,
            )
        if enabled is True:
            _enable(locked, reason, actor)
        elif enabled is False:
            because = Endpoint.Disabled.BY_HAND
            disabling.disable(locked, because=because, reason=reason, actor=actor)
        locked.refresh_from_db()
    return locked


def delete_endpoint(*, endpoint: Endpoint, reason: str, actor: Actor) -> None:
    """Send nothing to it any more. What waits for it is never sent; its deliveries go with their events.

    Raises NotFound when it is deleted already.
    """
    with transaction.atomic():
        locked = _locked(endpoint)
        locked.deleted_at = timezone.now()
        locked.save(update_fields=["deleted_at"])
        write_entry(
            actor=actor,
            verb="delete",
            subject=locked,
            org=locked.org,
            before=_shown(locked),
            reason=reason,
        )
    logger.info("webhook endpoint deleted", extra=_facts(endpoint, actor))


def rotate_secret(*, endpoint: Endpoint, reason: str, actor: Actor) -> NewSecret:
    """Give the endpoint a new secret. For a day, the ones before, three at most, sign beside it."""
    with transaction.atomic():
        locked = _locked(endpoint)
        now = timezone.now()
        rotated = signing.Former(salt=locked.salt, until=(now + OVERLAP).isoformat())
        former = [rotated, *signing.still_good(locked.former_salts, now)]
        locked.former_salts, locked.salt = former[:MAX_FORMER], signing.new_salt()
        locked.save(update_fields=["salt", "former_salts", "updated_at"])
        write_entry(
            actor=actor,
            verb="rotate_secret",
            subject=locked,
            org=locked.org,
            after={"former_secret_until": rotated["until"]},
            reason=reason,
        )
    logger.info("webhook secret rotated", extra=_facts(endpoint, actor))
    return NewSecret(locked, signing.secret_of(locked.salt))


def send_test(*, endpoint: Endpoint) -> Delivery:
    """Tell the endpoint, and no other, of an event that is only a test. Raises Conflict if it is disabled.

    A test before it that failed is given up: this one would wait for its retry, which may be hours away.
    """
    with transaction.atomic():
        locked = _locked(endpoint)
        _require_enabled(locked)
        failing = Delivery.objects.filter(
            endpoint=locked, object_id=locked.pk, status=DeliveryStatus.PENDING, tries__gt=0
        )
        failing.update(status=DeliveryStatus.FAILED, next_try_at=None)
        return outbox.record_for(locked, TEST)


def replay_delivery(*, delivery: Delivery) -> Delivery:
    """Send it again, under the same id, with a day of attempts before it.

    One that is still to be sent is tried at once. Raises Conflict where the endpoint is disabled.
    """
    with transaction.atomic():
        endpoint = _locked(delivery.endpoint)
        _require_enabled(endpoint)
        _again(Delivery.objects.filter(pk=delivery.pk))
        outbox.defer_sending(endpoint.pk)
    delivery.refresh_from_db()
    return delivery


def replay_range(*, endpoint: Endpoint, after: datetime.datetime, before: datetime.datetime) -> int:
    """Send the endpoint again all that happened from `after` until just before `before`.

    Of the types that it is told of now; also what happened before it was made, or while it was
    disabled. Returns how many. Raises Invalid for an empty range and for more than MAX_REPLAY
    events, Conflict where the endpoint is disabled.
    """
    if not after < before:
        raise Invalid("The range ends before it begins.", code="empty_range")
    with transaction.atomic():
        locked = _locked(endpoint)
        _require_enabled(locked)
        happened = Event.objects.for_org(locked.org).filter(
            created_at__gte=after, created_at__lt=before
        )
        # Without what is sent of them: ten thousand bodies are much memory for a web process.
        happened = happened.exclude(type=TEST).defer("body")
        if locked.event_types:
            happened = happened.filter(type__in=locked.event_types)
        events = list(happened.order_by("created_at", "id")[: MAX_REPLAY + 1])
        if len(events) > MAX_REPLAY:
            raise Invalid(
                f"More than {MAX_REPLAY} events are in this range. Choose a shorter one.",
                code="range_too_long",
            )
        _again(Delivery.objects.filter(endpoint=locked, event__in=events))
        Delivery.objects.bulk_create(
            outbox.deliveries_of(events, locked.pk), ignore_conflicts=True, batch_size=1000
        )
        outbox.defer_sending(locked.pk)
    return len(events)


def _again(deliveries: Any) -> None:
    deliveries.update(status=DeliveryStatus.PENDING, tries=0, next_try_at=Now(), delivered_at=None)


def _enable(locked: Endpoint, reason: str, actor: Actor) -> None:
    disabled = Endpoint.objects.filter(pk=locked.pk, is_enabled=False)
    if not disabled.update(
        is_enabled=True,
        disabled_at=None,
        disabled_because="",
        failing_since=None,
        unanswered=0,
        paused_until=None,
        updated_at=Now(),
    ):
        return
    write_entry(
        actor=actor,
        verb="enable",
        subject=locked,
        org=locked.org,
        before={"is_enabled": False},
        after={"is_enabled": True},
        reason=reason,
    )
    outbox.defer_sending(locked.pk)


def _locked(endpoint: Endpoint) -> Endpoint:
    """Raises NotFound when it was deleted meanwhile."""
    found = endpoints(endpoint.org).select_for_update(of=("self",), no_key=True)
    locked = found.select_related("org").filter(pk=endpoint.pk).first()
    if locked is None:
        raise NotFound
    return locked


def _save(endpoint: Endpoint, **options: Any) -> None:
    try:
        with transaction.atomic():
            endpoint.save(**options)
    except IntegrityError:
        raise Conflict(
            "There is an endpoint at this address already. To have its secret again, rotate it.",
            code="endpoint_exists",
        ) from None


def _require_enabled(endpoint: Endpoint) -> None:
    if not endpoint.is_enabled:
        raise Conflict("The endpoint is disabled. Enable it first.", code="endpoint_disabled")


def _known(event_types: list[str]) -> list[str]:
    names = {each.name for each in all_types()} - {TEST}
    unknown = sorted(set(event_types) - names)
    if unknown:
        raise Invalid(f"There is no event {', '.join(unknown)}.", code="unknown_event_type")
    return sorted(set(event_types))


def _description(text: str) -> str:
    if len(text) > MAX_DESCRIPTION:
        raise Invalid(f"A description has at most {MAX_DESCRIPTION} characters.")
    return text


def _shown(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "url": endpoint.url,
        "event_types": endpoint.event_types,
        "description": endpoint.description,
        "api_version": endpoint.api_version,
    }


def _facts(endpoint: Endpoint, actor: Actor) -> dict[str, str]:
    return {
        "org": str(endpoint.org_id),
        "endpoint": str(endpoint.pk),
        "actor": str(actor),
    }
