from __future__ import annotations

import datetime
from typing import Any

from django.core.management.base import CommandParser

from clipforge.common.commands import day
from clipforge.orgs.selectors import find_organization
from clipforge.staff.approvals.commands import ProposingCommand, token_of
from clipforge.staff.approvals.proposals import Proposal
from clipforge.staff.approvals.services import submit
from clipforge.staff.models import ApprovalKind, ApprovalRequest
from credits import selectors as credit_selectors
from credits.models import GrantKind
from credits.rules import require_amount


class Command(ProposingCommand):
    help = (
        "Give an organization credits that it did not pay for. Above the limit of one person "
        "(STAFF_GRANT_CONFIRM_CREDITS) it leaves a request that a second person has to confirm."
    )
    kind = ApprovalKind.GRANT

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("org", metavar="ORG", help="id, slug or name of the organization")
        parser.add_argument("amount", metavar="N", type=int, help="credits")
        parser.add_argument(
            "--expires", type=day, metavar="YYYY-MM-DD", help="last day they can be spent"
        )
        parser.add_argument(
            "--key", help="idempotency key: the same key a second time gives nothing more"
        )

    def run(
        self,
        *,
        org: str,
        amount: int,
        reason: str,
        expires: datetime.datetime | None,
        key: str | None,
        **options: Any,
    ) -> dict[str, Any]:
        organization = find_organization(org)
        require_amount(amount)
        proposal = Proposal(
            org=organization,
            kind=self.kind,
            amount=amount,
            reason=reason.strip(),
            grant_kind=GrantKind.PROMO,
            expires_at=expires,
        )
        outcome = submit(proposal, token=token_of(organization, key), actor=self.actor)
        if isinstance(outcome.made, ApprovalRequest):
            return self.pending(outcome.made)
        granted = outcome.made
        available = credit_selectors.balance(organization).available
        if outcome.is_repetition:
            self.say("This key was used before: nothing more was granted.")
        else:
            self.say(f"Granted {amount} credits to {organization.name}; {available} are available.")
        return {
            "org": organization.pk,
            "transaction": granted.pk,
            "key": key or granted.idempotency_key,
            "amount": granted.amount,
            "expires_at": expires,
            "available": available,
        }
