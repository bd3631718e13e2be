from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError
from rich.console import Console
from rich.table import Table

from clipforge.common.commands import OperatorCommand
from clipforge.devtools.query_plans.pages import pages
from clipforge.devtools.query_plans.report import Finding, measure, unused

# Columns, where the output is no terminal: a line of a log should be whole.
WIDTH = 220


class Command(OperatorCommand):
    help = (
        "Run every list, detail, queue and admin page under EXPLAIN on the data that are here, first "
        "and deep, and show what each costs. Reads only. Exit 1 when one is beyond its budget, or "
        "when one of the nine promised indexes serves nothing."
    )

    def handle(self, **options: Any) -> None:
        super().handle(**options)
        if self.wrong or self.idle:
            raise CommandError(
                f"{len(self.wrong)} of {len(self.findings)} pages are beyond their budget; "
                f"{len(self.idle)} promised indexes are used by nothing."
            )

    def run(self, **options: Any) -> dict[str, Any]:
        self.findings = [measure(page) for page in pages()]
        self.wrong = [finding for finding in self.findings if finding.faults]
        self.idle = unused(self.findings)
        if not self.as_json:
            self._print()
        return {
            "ok": not self.wrong and not self.idle,
            "pages": [_as_json(finding) for finding in self.findings],
            "unused_indexes": self.idle,
        }

    def _print(self) -> None:
        headings = ["page", "place", "indexes", "rows", "read", "sorted", "buffers", "of", "ms"]
        table = Table(*headings)
        for finding in self.findings:
            table.add_row(*_cells(finding), style="red" if finding.faults else "")
        width = None if sys.stdout.isatty() else WIDTH
        Console(file=self.stdout, width=width).print(table)  # type: ignore[arg-type]
        for finding in self.wrong:
            self.say(f"{finding.page} ({finding.place or 'page'}): {'; '.join(finding.faults)}")
        for name in self.idle:
            self.say(f"used by nothing: {name}")
        if not self.wrong and not self.idle:
            self.say(f"{len(self.findings)} pages within their budgets; no promised index is idle.")


def _cells(finding: Finding) -> list[str]:
    cost = finding.cost
    per_row = f"{cost.read / max(1, cost.returned):.2f}"
    return [
        finding.page,
        finding.place,
        ", ".join(sorted(cost.indexes)),
        str(cost.returned),
        f"{cost.read} ({per_row})",
        str(cost.sorted),
        str(cost.buffers),
        str(finding.budget.buffers_for(cost)),
        f"{cost.milliseconds:.2f}",
    ]


def _as_json(finding: Finding) -> dict[str, Any]:
    cost = finding.cost
    return {
        "page": finding.page,
        "place": finding.place,
        "indexes": sorted(cost.indexes),
        "queries": cost.statements,
        "rows": cost.returned,
        "read_per_row": round(cost.read / max(1, cost.returned), 2),
        "sorted": cost.sorted,
        "buffers": cost.buffers,
        "buffers_allowed": finding.budget.buffers_for(cost),
        "milliseconds": round(cost.milliseconds, 3),
        "faults": finding.faults,
    }
