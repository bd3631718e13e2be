from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from billing import reconciling
from clipforge.common.commands import DryRunCommand


class Command(DryRunCommand):
    help = (
        "Compare Stripe, payments and ledger. Events that never came are fetched and applied, and "
        "those that failed are tried again; everything else that does not agree is reported and "
        "left as it is. Exits 1 on any finding."
    )

    def handle(self, **options: Any) -> None:
        super().handle(**options)
        if not self.findings.ok:
            missed, waiting, mismatches = self.findings
            count = len(missed) + len(waiting) + len(mismatches)
            raise CommandError(f"Payments do not add up: {count} findings.")

    def run(self, **options: Any) -> dict[str, Any]:
        self.findings = reconciling.reconcile()
        for event in self.findings.missed:
            self.say(f"never came   {event}")
        for event in self.findings.waiting:
            self.say(f"not applied  {event}")
        for found in self.findings.mismatches:
            self.say(f"mismatch     {found.org_id}  {found.message}")
        if self.findings.ok:
            self.say("Payments and ledger agree, and nothing was missed.")
        return {
            "ok": self.findings.ok,
            "missed": self.findings.missed,
            "waiting": self.findings.waiting,
            "mismatches": [found._asdict() for found in self.findings.mismatches],
        }
