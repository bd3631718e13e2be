from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from clipforge.audit.commands import AuditedCommand
from clipforge.orgs import selectors, services


class Command(AuditedCommand):
    help = (
        "Make a key that takes the place of another and may do the same. It is shown once; the other "
        "works for some hours more. The owners get mail."
    )
    default_reason = "rotated by an operator"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", help="id or prefix of the key")
        parser.add_argument(
            "--hours",
            type=int,
            default=services.OVERLAP,
            help=f"so long the other still works: {services.OVERLAP} unless said, "
            f"{services.MAX_OVERLAP} at most",
        )

    def run(
        self,
        *,
        id: str,  # noqa: A002 - the argument's name
        hours: int,
        reason: str,
        **options: Any,
    ) -> dict[str, Any]:
        old = selectors.find_api_key(id)
        api_key, secret = services.rotate_api_key(
            api_key=old,
            overlap_hours=hours,
            created_by=self.operator,
            reason=reason,
            actor=self.actor,
        )
        old.refresh_from_db(fields=["expires_at"])
        if self.is_dry_run:
            self.say(f"{old} would be rotated, and would work until {old.expires_at}.")
            return {"id": old.pk, "prefix": old.prefix, "ends": old.expires_at}
        self.say(f"The key in place of {old}, shown only now:\n\n  {secret}\n")
        self.say(f"The one before works until {old.expires_at:%Y-%m-%d %H:%M} UTC.")
        return {
            "id": api_key.pk,
            "prefix": api_key.prefix,
            "key": secret,
            "replaces": old.prefix,
            "ends": old.expires_at,
        }
