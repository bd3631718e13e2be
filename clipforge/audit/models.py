"""The audit: one row for each change of an organization, a key, a tier, a limit, money or a person."""

from __future__ import annotations

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now

from clipforge.audit.actor import ActorKind


class AuditEntry(models.Model):
    """One change: its cause, its subject, both states and the reason. Append-only by a trigger.

    Written by `clipforge.audit.services` in the transaction of the change. The table is named after
    the model that it was made for; renaming it would stop the code that runs during a deployment.
    """

    created_at = models.DateTimeField(db_default=Now())
    # The person who answers for it. An account that changed something is deactivated, not deleted.
    # Null for what no person of the staff did: a command without operator, Stripe, the system.
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
    )
    actor_kind = models.CharField(
        max_length=16, choices=ActorKind, default=ActorKind.USER, db_default=ActorKind.USER
    )
    actor_name = models.CharField(
        max_length=255,
        blank=True,
        db_default="",
        help_text="A command, an event of Stripe's, a part of the system, the prefix of a key.",
    )
    actor_label = models.CharField(
        max_length=200, blank=True, db_default="", help_text="What it was called then."
    )
    org = models.ForeignKey(
        "orgs.Organization",
        models.PROTECT,
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
    )
    verb = models.CharField(max_length=64, help_text="As in change_tier, grant_credits.")
    object_type = models.CharField(max_length=64, help_text="As in orgs.organization.")
    object_id = models.CharField(max_length=64)
    object_label = models.CharField(max_length=200, help_text="What it was called then.")
    before = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    after = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    reason = models.TextField()
    request_id = models.CharField(max_length=64)
    address = models.GenericIPAddressField(null=True, help_text="Where the request came from.")

    class Meta:
        db_table = "orgs_staffaction"
        verbose_name_plural = "audit entries"
        indexes = [
            # The timeline of an organization.
            models.Index(fields=["org", "created_at", "id"], name="orgs_staffaction_org_created"),
            # What was done to one row; an id is looked for without its type as well.
            models.Index(fields=["object_id", "object_type"], name="orgs_staffaction_of_object"),
            # What one of the staff did; also serves the foreign key.
            models.Index(fields=["actor", "created_at"], name="orgs_staffaction_actor"),
            # What was done by one request, of which the log tells.
            models.Index(fields=["request_id"], name="orgs_staffaction_request"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} of {self.object_label}"
