"""Events, the endpoints that are told of them, and each delivery with its attempts."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from clipforge.common.models import OrgQuerySet, TimestampedModel, UUIDModel
from clipforge.orgs.models import Organization


class EventSequence(models.Model):
    """The number of the latest event of an object. Outlives its events, so that none has a number twice."""

    object_id = models.UUIDField(primary_key=True)
    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    latest = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.object_id}: {self.latest}"


class Event(UUIDModel):
    """A change that customers are told of. Written in the transaction of the change, and never changed.

    `body` is sent to every endpoint, byte by byte as it is here: that is what signatures are of.
    """

    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    type = models.CharField(max_length=64, help_text="As in project.ready.")
    object_id = models.UUIDField()
    sequence = models.PositiveIntegerField(help_text="Of the events of its object: 1, 2, 3 …")
    body = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    objects = OrgQuerySet["Event"].as_manager()

    class Meta:
        constraints = [
            # Two events of an object in one place would be in no order. Also finds what was told of an
            # export already.
            models.UniqueConstraint(fields=["object_id", "sequence"], name="events_event_in_order")
        ]
        indexes = [
            # The replay of a range of time.
            models.Index(fields=["org", "created_at", "id"], name="events_event_org_created"),
            # The sweep of what is old; and the admin's list of all events, nulls last, of which there
            # are none, so that it is no order of the index above.
            models.Index(
                F("created_at").desc(nulls_last=True),
                F("id").desc(nulls_last=True),
                name="events_event_newest",
            ),
        ]

    def __str__(self) -> str:
        return self.type


class Endpoint(UUIDModel, TimestampedModel):
    """An address of a customer's that is told of its events.

    One worker at a time sends to it: the one that has it under a lease.
    """

    class Disabled(models.TextChoices):
        BY_HAND = "BY_HAND", "By hand"
        FAILURES = "FAILURES", "After days of failures"

    org = models.ForeignKey(
        Organization, models.PROTECT, db_index=False, related_name="webhook_endpoints"
    )
    url = models.CharField(max_length=500)
    description = models.CharField(max_length=200, blank=True)
    event_types: ArrayField[list[str], list[str]] = ArrayField(
        models.CharField(max_length=64),
        default=list,
        blank=True,
        help_text="Of which it is told; empty: of all.",
    )
    # Of the API, by date: what it is told has the shape of that. Those of before were told in this one.
    api_version = models.CharField(max_length=10, db_default="2026-11-30")
    is_enabled = models.BooleanField(default=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_because = models.CharField(max_length=8, choices=Disabled, blank=True)
    # Its secret is derived from this and a key that is not in the database: `signing.secret_of`.
    salt = models.CharField(max_length=64, editable=False)
    # Salts of secrets before it, and until when each signs too: `[{"salt", "until"}]`, newest first.
    former_salts = models.JSONField(default=list, blank=True, editable=False)
    # The first failure since it last took something.
    failing_since = models.DateTimeField(null=True, blank=True)
    # How often in a row it gave no answer at all, and until when it is left alone for that.
    unanswered = models.PositiveIntegerField(default=0, editable=False)
    paused_until = models.DateTimeField(null=True, blank=True)
    # The worker that sends to it now.
    holder = models.UUIDField(null=True, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Deleted for the customer. The row goes with the last of its deliveries.
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = OrgQuerySet["Endpoint"].as_manager()

    class Meta:
        verbose_name = "webhook endpoint"
        constraints = [
            # An endpoint that is made twice would get everything twice.
            models.UniqueConstraint(
                fields=["org", "url"],
                condition=Q(deleted_at=None),
                name="events_endpoint_once_per_url",
            ),
            models.CheckConstraint(
                condition=Q(is_enabled=True, disabled_at=None, disabled_because="")
                | (Q(is_enabled=False, disabled_at__isnull=False) & ~Q(disabled_because="")),
                name="events_endpoint_disabled_fits",
            ),
        ]
        indexes = [
            # `GET /webhooks/endpoints`, and those that an event is for.
            models.Index(
                fields=["org", "-created_at", "-id"],
                condition=Q(deleted_at=None),
                name="events_endpoint_newest",
            ),
        ]

    def __str__(self) -> str:
        return self.url


class DeliveryStatus(models.TextChoices):
    PENDING = "PENDING", "Pending"
    DELIVERED = "DELIVERED", "Delivered"
    FAILED = "FAILED", "Given up"


class Delivery(UUIDModel):
    """One event for one endpoint. PENDING until the endpoint took it, or it was tried for a day."""

    Status = DeliveryStatus

    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    endpoint = models.ForeignKey(
        Endpoint, models.CASCADE, db_index=False, related_name="deliveries"
    )
    event = models.ForeignKey(Event, models.CASCADE, db_index=False, related_name="deliveries")
    # Of the event: what it is, for lists that do not look up each, and its place in the order.
    event_type = models.CharField(max_length=64, default="", db_default="", editable=False)
    object_id = models.UUIDField(editable=False)
    sequence = models.PositiveIntegerField(editable=False)
    status = models.CharField(max_length=9, choices=DeliveryStatus, default=DeliveryStatus.PENDING)
    # How often since it became PENDING, the last time it did.
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True, db_default=Now())
    # What became of the last attempt.
    answer_status = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=32, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    delivered_at = models.DateTimeField(null=True, blank=True)

    objects = OrgQuerySet["Delivery"].as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            # A replay is the same delivery again. Also finds those of an event that is swept.
            models.UniqueConstraint(fields=["event", "endpoint"], name="events_delivery_once"),
        ]
        indexes = [
            # `selectors.due_deliveries`: those of an endpoint that are due.
            models.Index(
                fields=["endpoint", "next_try_at", "id"],
                condition=Q(status="PENDING"),
                name="events_delivery_due",
            ),
            # The same: whether an earlier one of the object is still to come.
            models.Index(
                fields=["endpoint", "object_id", "sequence"],
                condition=Q(status="PENDING"),
                name="events_delivery_order",
            ),
            # `GET /webhooks/endpoints/{id}/deliveries`, and of one status.
            models.Index(fields=["endpoint", "-created_at", "-id"], name="events_delivery_newest"),
            models.Index(
                fields=["endpoint", "status", "-created_at", "-id"],
                name="events_delivery_status",
            ),
            # The admin's lists: of all, and of an organization.
            models.Index(
                F("created_at").desc(nulls_last=True),
                F("id").desc(nulls_last=True),
                name="events_delivery_all",
            ),
            models.Index(fields=["org", "-created_at", "-id"], name="events_delivery_of_org"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} to {self.endpoint_id}"


class Attempt(models.Model):
    """One request of a delivery, and what came back."""

    # Carried by the index below.
    delivery = models.ForeignKey(Delivery, models.CASCADE, db_index=False, related_name="attempts")
    url = models.CharField(max_length=500)
    sent_at = models.DateTimeField(help_text="Also the time that was signed.")
    seconds = models.FloatField()
    answer_status = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="None: no answer came."
    )
    error = models.CharField(max_length=32, blank=True, help_text="Why there was no answer.")
    answer = models.TextField(blank=True, help_text="The beginning of the answer.")

    class Meta:
        indexes = [
            # The attempts of a delivery, in order.
            models.Index(fields=["delivery", "id"], name="events_attempt_of_delivery"),
        ]

    def __str__(self) -> str:
        return str(self.answer_status or self.error)
