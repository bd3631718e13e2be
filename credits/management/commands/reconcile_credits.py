from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from clipforge.common.commands import OperatorCommand
from clipforge.orgs.models import Organization
from clipforge.orgs.selectors import find_organization
from credits import reconciling
from credits.invariants import Breach


class Command(OperatorCommand):
    help = (
        "Prove that the ledger adds up: every invariant, over all organizations. Reports "
        "each breach and exits 1; moves no credits. Repair a breach by hand, with a reason."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--org", help="only this organization: its id, slug or name")

    def handle(self, **options: Any) -> None:
        super().handle(**options)
        if self.breaches:
            raise CommandError(f"The ledger does not add up: {len(self.breaches)} breaches.")

    def run(self, *, org: str | None, **options: Any) -> dict[str, Any]:
        if org:
            self.breaches = reconciling.breaches(find_organization(org))
        else:  # recorded, so that the dashboard shows when the whole ledger was last checked
            _, self.breaches = reconciling.check_ledger(actor=f"command:{self.command_name}")
        self._print_table()
        return {"ok": not self.breaches, "breaches": [each._asdict() for each in self.breaches]}

    def _print_table(self) -> None:
        if not self.breaches:
            self.say("The ledger adds up: every invariant holds.")
            return
        names = _names(self.breaches)
        width = max(map(len, ["organization", *names.values()]))
        self.say(f"#  {'organization':{width}}  what")
        for breach in self.breaches:
            self.say(f"{breach.invariant}  {names[breach.org_id]:{width}}  {breach.message}")


def _names(breaches: list[Breach]) -> dict[Any, str]:
    orgs = Organization.objects.in_bulk({breach.org_id for breach in breaches})
    return {org.pk: org.slug for org in orgs.values()}
