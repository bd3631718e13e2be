from __future__ import annotations

import time
from collections import Counter
from typing import Any

from django.core.management.base import CommandParser

from clipforge.audit.commands import AuditedCommand
from clipforge.jobs import store_audit, store_markers


class Command(AuditedCommand):
    help = (
        "Compare rows and files both ways, and exit 1 where they do not fit; or accept the store after the "
        "database was restored to an older moment, so that sweeps go on."
    )
    default_reason = "The store is looked after"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["audit", "accept"])
        parser.add_argument(
            "--repair",
            action="store_true",
            help="with audit: take files that no row names out of their places, and remove those that "
            "were taken out a day ago",
        )

    def run(self, *, action: str, repair: bool, reason: str, **options: Any) -> dict[str, Any]:
        return self._accept(reason) if action == "accept" else self._audit(repair=repair)

    def _accept(self, reason: str) -> dict[str, Any]:
        marker = store_markers.accept(actor=self.actor, reason=reason)
        self.say("The store is accepted: sweeps go on within the hour.")
        return {"marker": marker.pk}

    def _audit(self, *, repair: bool) -> dict[str, Any]:
        now, counts = time.time(), Counter[str]()
        look = store_audit.repair if repair and not self.is_dry_run else store_audit.findings
        for finding in look(now=now):
            counts[finding.problem] += 1
            self.say(": ".join(part for part in finding if part))
        found = counts.total()
        if found:
            self.failure = f"{found} findings."
        self.say("Rows and files fit." if not found else "Nothing else was changed.")
        return {"findings": dict(counts), "repaired": repair and not self.is_dry_run}
