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
        parser.add_argument(
            "--descendants",
            action="store_true",
            help="also the keys that were made with it, or in its place by rotation",
        )

    def run(
        self,
        *,
        id: str,  # noqa: A002 - the argument's name
        descendants: bool,
        reason: str,
        **options: Any,
    ) -> dict[str, Any]:
        api_key = selectors.find_api_key(id)
        revoked = services.revoke_api_key(api_key=api_key, reason=reason, actor=self.actor)
        outcome = "revoked" if revoked else "was revoked already"
        self.say(f"{api_key} of {api_key.organization.name} {outcome}.")
        said: dict[str, Any] = {
            "id": api_key.pk,
            "prefix": api_key.prefix,
            "revoked": revoked,
        }
        if descendants:
            others = services.revoke_with_descendants(
                api_key=api_key, reason=reason, actor=self.actor
            )
            said["descendants"] = [each.prefix for each in others]
            for each in others:
                self.say(f"{each}, which comes from it, revoked.")
        return said
