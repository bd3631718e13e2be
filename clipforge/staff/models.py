"""What staff may do beyond looking and editing: permissions that no single table stands for."""

from __future__ import annotations

from django.db import models


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
