from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from clipforge.audit.commands import AuditedCommand
from clipforge.orgs import selectors, services
from clipforge.orgs.models import Tier


class Command(AuditedCommand):
    help = "Move an organization to another tier, at once."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("org", help="id, slug or name of the organization")
        parser.add_argument("tier", choices=Tier.values)

    def run(self, *, org: str, tier: str, reason: str, **options: Any) -> dict[str, Any]:
        organization = selectors.find_organization(org)
        before, after = services.change_tier(
            organization=organization, tier=tier, reason=reason, actor=self.actor
        )
        self.say(f"{organization.name}: {before} → {after}.")
        return {"org": organization.pk, "before": before, "after": after}
