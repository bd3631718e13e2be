from __future__ import annotations

import datetime
from typing import Any

from django.core.management.base import CommandParser

from clipforge.audit.actor import Actor
from clipforge.common.commands import OperatorCommand, day
from clipforge.common.models import uuid7
from clipforge.orgs.selectors import find_organization
from credits import selectors, services
from credits.models import GrantKind


class Command(OperatorCommand):
    help = "Give an organization credits that it did not pay for."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("org", metavar="ORG", help="id, slug or name of the organization")
        parser.add_argument("amount", metavar="N", type=int, help="credits")
        parser.add_argument("--reason", required=True, help="why; the customer sees it")
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
        granted = services.grant(
            org=organization,
            amount=amount,
            kind=GrantKind.PROMO,
            reason=reason,
            expires_at=expires,
            actor=Actor.of_command(self.command_name),
            idempotency_key=key or f"command:{self.command_name}:{uuid7()}",
        )
        available = selectors.balance(organization).available
        self.say(f"Granted {amount} credits to {organization.name}; {available} are available.")
        return {
            "org": organization.pk,
            "transaction": granted.pk,
            "key": granted.idempotency_key,
            "amount": granted.amount,
            "expires_at": expires,
            "available": available,
        }
