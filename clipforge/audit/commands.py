"""The base of every operator command that changes something."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth import get_user_model
from django.core.management.base import CommandParser
from django.db import transaction

from clipforge.audit.actor import Actor
from clipforge.common.commands import OperatorCommand
from clipforge.common.errors import NotFound


class AuditedCommand(OperatorCommand):
    """Names its cause to the services that it calls, and can be tried without an effect.

    `--operator` names the member of staff it is run for; the audit notes that person, else the OS
    user. `--reason` is kept with it. `--dry-run` does everything in one transaction, prints the
    result and rolls it back: only what PostgreSQL does not hold needs care in `run`, which asks
    `self.is_dry_run`.
    """

    # What the audit keeps where no `--reason` is given. Empty: one has to be given.
    default_reason: ClassVar[str] = ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--operator",
            metavar="EMAIL",
            help="the member of staff it is run for; kept in the audit",
        )
        parser.add_argument(
            "--reason",
            required=not self.default_reason,
            default=self.default_reason,
            help="why, in at least ten characters; kept in the audit",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="print what would change, and change nothing"
        )
        super().add_arguments(parser)

    def perform(self, **options: Any) -> dict[str, Any]:
        self.is_dry_run: bool = options["dry_run"]
        self.operator = staff_named(options["operator"]) if options["operator"] else None
        if not self.is_dry_run:
            return self.run(**options)
        with transaction.atomic():
            result = self.run(**options)
            transaction.set_rollback(True)
        self.say("Dry run: nothing was changed.")
        return {**result, "dry_run": True}

    @property
    def actor(self) -> Actor:
        return Actor.of_command(self.command_name, operator=self.operator)


def staff_named(email: str) -> Any:
    """The active member of staff with this address or user name. Raises NotFound."""
    people = get_user_model()._default_manager.filter(is_staff=True, is_active=True)
    found = people.filter(email__iexact=email).first() or people.filter(username=email).first()
    if found is None:
        raise NotFound(f'There is no active member of staff with the address "{email}".')
    return found
