from __future__ import annotations

import datetime
from typing import Any

from django.core.management.base import CommandParser

from clipforge.audit.commands import AuditedCommand
from clipforge.common.commands import day
from clipforge.orgs import selectors, services
from clipforge.orgs.models import Scope


class Command(AuditedCommand):
    help = "Make an API key for an organization. It is shown once and cannot be shown again."
    default_reason = "created by an operator"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("org", help="id, slug or name of the organization")
        parser.add_argument("--name", default="created by an operator", help="what it is for")
        parser.add_argument("--expires", type=day, metavar="YYYY-MM-DD", help="last day it works")
        parser.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            default=[],
            help="what it may do; several may be given, none for all",
        )
        parser.add_argument(
            "--address",
            action="append",
            default=[],
            metavar="NETWORK",
            help="where it works from, like 203.0.113.0/24; several may be given",
        )
        parser.add_argument("--cap", type=int, metavar="CREDITS", help="at most so many a month")
        parser.add_argument(
            "--test", action="store_true", help="of the sandbox, which is made if there is none"
        )

    def run(
        self,
        *,
        org: str,
        name: str,
        expires: datetime.datetime | None,
        scope: list[str],
        address: list[str],
        cap: int | None,
        test: bool,
        reason: str,
        **options: Any,
    ) -> dict[str, Any]:
        organization = selectors.find_organization(org)
        if test:
            organization = services.ensure_sandbox(
                organization=organization, reason=reason, actor=self.actor
            )
        api_key, secret = services.create_api_key(
            organization=organization,
            name=name,
            created_by=self.operator,
            expires_at=expires,
            scopes=" ".join(scope),
            allowed_addresses=address,
            monthly_cap=cap,
            reason=reason,
            actor=self.actor,
        )
        if self.is_dry_run:
            self.say(f"An API key of {organization.name} would be made, named “{name}”.")
            return {"org": organization.pk, "name": name, "expires_at": expires}
        self.say(f"API key of {organization.name}, shown only now:\n\n  {secret}\n")
        self.say(f"Revoke it with: manage.py revoke_api_key {api_key.prefix}")
        return {
            "org": organization.pk,
            "id": api_key.pk,
            "prefix": api_key.prefix,
            "key": secret,
            "expires_at": expires,
        }
