"""What staff may do beyond looking and editing: permissions that no single table stands for."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class Duty(models.Model):
    """No table. Carries the permissions that `roles` hands out, as `staff.<codename>`."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("grant_credits", "Can grant credits"),
            ("adjust_credits", "Can adjust credits"),
            ("confirm_credits", "Can confirm a large movement of credits"),
            ("change_tier", "Can change the tier of an organization"),
            ("override_limit", "Can override the rate limit of an organization"),
            ("suspend_organization", "Can suspend and restore an organization"),
            ("manage_keys", "Can issue and revoke API keys"),
            ("retry_work", "Can retry failed work"),
            ("rescue_work", "Can cancel work and release holds"),
            ("export_data", "Can download ledger, projects and payments"),
        ]

    def __str__(self) -> str:
        return "duty"


class RescueRun(models.Model):
    """What somebody confirmed on the rescue page, once: its token is the primary key.

    Inserted before the first item is touched. A second click finds it and shows what came of the
    first. Without `finished_at` it is under way, or was cut off.
    """

    token = models.UUIDField(primary_key=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, db_index=False, related_name="+"
    )
    action = models.CharField(max_length=16)
    reason = models.TextField()
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
    # One an item: label, whether it was done, and if not, why.
    results = models.JSONField(default=list)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.action} by {self.actor_id}"
