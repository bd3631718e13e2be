from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from clipforge.orgs import services as org_services
from clipforge.orgs.models import Tier
from clipforge.staff.approvals.commands import ProposingCommand, token_of
from clipforge.staff.approvals.proposals import Proposal
from clipforge.staff.approvals.services import submit
from clipforge.staff.models import ApprovalKind
from credits.models import GrantKind
from credits.rules import require_amount


class Command(ProposingCommand):
    help = "Create an organization, with an owner and credits if asked for."
    kind = ApprovalKind.GRANT
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
        asked = None
        with transaction.atomic():
            organization = org_services.create_organization(
                name=name, tier=tier, owner_email=owner, reason=reason, actor=self.actor
            )
            if amount:
                require_amount(amount)
                proposal = Proposal(
                    org=organization,
                    kind=self.kind,
                    amount=amount,
                    reason="credits to start with",
                    grant_kind=GrantKind.PROMO,
                )
                token = token_of(organization, self.command_name)
                asked = submit(proposal, token=token, actor=self.actor).request
        given = 0 if asked else amount
        self.say(f"{organization.name} ({tier}) created with {given} credits: {organization.pk}")
        waiting = self.pending(asked) if asked else {}
        self.say(f"Next: manage.py create_api_key {organization.slug}")
        return {
            **waiting,
            "id": organization.pk,
            "slug": organization.slug,
            "tier": tier,
            "owner": owner,
            "credits": given,
        }
