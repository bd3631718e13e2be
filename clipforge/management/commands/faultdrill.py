"""`manage.py faultdrill`."""

from __future__ import annotations

import argparse
from typing import IO, Any, cast

from django.core.management.base import CommandError
from rich.console import Console
from rich.table import Table

from clipforge.common.commands import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Break things in a throw-away service under load, on servers of its own, and print what came "
        "of each: nothing may be lost or happen twice. Touches no other service and no data of yours. "
        "Exits 1 on any breach. Needs the packages of the tests."
    )

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--only", metavar="TEXT", default="", help="faults whose name has this")
        parser.add_argument(
            "--worker-seconds",
            type=float,
            default=60,
            metavar="N",
            help="for how long workers are killed at random moments (0: not at all; default 60)",
        )

    def run(self, *, only: str, worker_seconds: float, **options: Any) -> dict[str, Any]:
        from clipforge.testing import drills  # what only tests need is not installed everywhere

        names = [name for name in drills.FAULTS if only in name]
        rows = []
        if names:
            with drills.stand() as stand:
                for name in names:
                    self.say(f"{name} ...")
                    rows.append(stand.run(name, drills.FAULTS[name]))
        if worker_seconds and only in "worker killed":
            self.say("worker killed ...")
            rows.append(drills.workers_killed(worker_seconds))
        if not rows:
            raise CommandError(f'No fault has "{only}" in its name.')
        if not self.as_json:
            self._show(rows)
        wrong = [breach for row in rows for breach in drills.breaches(row)]
        if wrong:
            raise CommandError("; ".join(wrong))
        self.say(f"{len(rows)} faults, nothing lost, nothing double.")
        return {"faults": [row._asdict() for row in rows]}

    def _show(self, rows: list[Any]) -> None:
        table = Table()
        for name in ("fault", "requests", "5xx", "broken", "lost", "double", "recovery s"):
            table.add_column(name, justify="left" if name == "fault" else "right")
        for row in rows:
            table.add_row(*(str(value) for value in row[:7]))
        Console(file=cast("IO[str]", self.stdout)).print(table)
