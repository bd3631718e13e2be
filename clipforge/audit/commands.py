"""The base of every operator command that changes something."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth import get_user_model
from django.core.management.base import CommandParser

from clipforge.audit.actor import Actor
from clipforge.common.commands import DryRunCommand
from clipforge.common.errors import NotFound


class AuditedCommand(DryRunCommand):
    """Names its cause to the services that it calls.

    `--operator` names the member of staff it is run for; the audit notes that person, else the OS
    user. `--reason` is kept with it.
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
        super().add_arguments(parser)

    def perform(self, **options: Any) -> dict[str, Any]:
        self.operator = staff_named(options["operator"])
        return super().perform(**options)

    @property
    def actor(self) -> Actor:
        return Actor.of_command(self.command_name, operator=self.operator)


def staff_named(email: str | None) -> Any:
    """The active member of staff with this address or user name, None for none. Raises NotFound."""
    if not email:
        return None
    people = get_user_model()._default_manager.filter(is_staff=True, is_active=True)
    found = people.filter(email__iexact=email).first() or people.filter(username=email).first()
    if found is None:
        raise NotFound(f'There is no active member of staff with the address "{email}".')
    return found
