from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from clipforge.audit.commands import AuditedCommand
from clipforge.orgs import services as org_services
from clipforge.orgs.models import Tier
from credits import services as credit_services
from credits.models import GrantKind


class Command(AuditedCommand):
    help = "Create an organization, with an owner and credits if asked for."
    default_reason = "created by an operator"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--tier", choices=Tier.values, default=Tier.FREE.value)
        parser.add_argument("--owner", metavar="EMAIL", help="created if there is no such user")
        parser.add_argument(
            "--credits", type=int, default=0, metavar="N", help="credits to start with"
        )

    def run(
        self, *, name: str, tier: str, owner: str | None, reason: str, **options: Any
    ) -> dict[str, Any]:
        amount: int = options["credits"]
        with transaction.atomic():
            organization = org_services.create_organization(
                name=name, tier=tier, owner_email=owner, reason=reason, actor=self.actor
            )
            if amount:
                credit_services.grant(
                    org=organization,
                    amount=amount,
                    kind=GrantKind.PROMO,
                    reason="credits to start with",
                    actor=self.actor,
                    idempotency_key="create_org",
                )
        self.say(f"{organization.name} ({tier}) created with {amount} credits: {organization.pk}")
        self.say(f"Next: manage.py create_api_key {organization.slug}")
        return {
            "id": organization.pk,
            "slug": organization.slug,
            "tier": tier,
            "owner": owner,
            "credits": amount,
        }
