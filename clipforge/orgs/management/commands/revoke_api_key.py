from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from clipforge.audit.commands import AuditedCommand
from clipforge.orgs import selectors, services


class Command(AuditedCommand):
    help = "Revoke an API key, at once. Repeating it changes nothing."
    default_reason = "revoked by an operator"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", help="id or prefix of the key")

    def run(
        self,
        *,
        id: str,  # noqa: A002 - the argument's name
        reason: str,
        **options: Any,
    ) -> dict[str, Any]:
        api_key = selectors.find_api_key(id)
        revoked = services.revoke_api_key(api_key=api_key, reason=reason, actor=self.actor)
        outcome = "revoked" if revoked else "was revoked already"
        self.say(f"{api_key} of {api_key.organization.name} {outcome}.")
        return {"id": api_key.pk, "prefix": api_key.prefix, "revoked": revoked}
