from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from clipforge.common.commands import OperatorCommand
from clipforge.orgs import selectors, services


class Command(OperatorCommand):
    help = "Revoke an API key, at once. Repeating it changes nothing."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", help="id or prefix of the key")

    def run(self, *, id: str, **options: Any) -> dict[str, Any]:  # noqa: A002 - the argument's name
        api_key = selectors.find_api_key(id)
        revoked = services.revoke_api_key(api_key=api_key, actor=self.actor)
        outcome = "revoked" if revoked else "was revoked already"
        self.say(f"{api_key} of {api_key.organization.name} {outcome}.")
        return {"id": api_key.pk, "prefix": api_key.prefix, "revoked": revoked}
