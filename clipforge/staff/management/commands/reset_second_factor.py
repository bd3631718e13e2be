from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from clipforge.audit.commands import AuditedCommand
from clipforge.staff.login import second_factor


class Command(AuditedCommand):
    help = (
        "Take the second factor from one of the staff, and end all their sessions: "
        "they set up a new one when they sign in."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="address or user name")

    def run(self, *, email: str, reason: str, **options: Any) -> dict[str, Any]:
        user = second_factor.find_person(email)
        had = second_factor.device_of(user) is not None
        second_factor.reset(user=user, actor=self.actor, reason=reason)
        self.say(
            f"{user} is signed out everywhere and sets up a second factor at the next sign-in."
            if had
            else f"{user} had none. All their sessions have ended."
        )
        return {"user": user.pk, "had_second_factor": had}
