"""Mails about credits to the owners and admins of an organization."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from clipforge.common.models import OrgQuerySet
from clipforge.orgs.models import Organization


class AlertKind(models.TextChoices):
    LOW_BALANCE = "LOW_BALANCE", "Low balance"
    EXPIRING = "EXPIRING", "Credits about to end"


class AlertStatus(models.TextChoices):
    PENDING = "PENDING", "Pending"
    SENT = "SENT", "Sent"
    FAILED = "FAILED", "Failed"


class Alert(models.Model):
    """A mail to those who run an organization: a row first, sent once that is committed.

    It leaves PENDING before it is handed to the mail server, so that it is never sent twice; one
    that was lost on the way is FAILED, or, after a crash at that very moment, SENT.
    """

    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="alerts")
    kind = models.CharField(max_length=16, choices=AlertKind)
    key = models.CharField(max_length=100, help_text="What it is about; told once.")
    subject = models.CharField(max_length=200)
    body = models.TextField()
    status = models.CharField(max_length=8, choices=AlertStatus, default=AlertStatus.PENDING)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True, blank=True)

    objects = OrgQuerySet["Alert"].as_manager()

    class Meta:
        constraints = [
            # Also finds what was told already.
            models.UniqueConstraint(fields=["org", "kind", "key"], name="billing_alert_once")
        ]
        indexes = [
            # `billing.alerts.send`, every minute.
            models.Index(
                fields=["id"],
                condition=Q(status=AlertStatus.PENDING),
                name="billing_alert_pending",
            ),
            # The admin's list by status and kind.
            models.Index(fields=["status", "-id"], name="billing_alert_status"),
            models.Index(fields=["kind", "-id"], name="billing_alert_kind"),
            # The staff's first page: how many could not be sent.
            models.Index(
                fields=["created_at"],
                condition=Q(status=AlertStatus.FAILED),
                name="billing_alert_failed",
            ),
        ]

    def __str__(self) -> str:
        return self.subject
