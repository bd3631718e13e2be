"""`manage.py faultdrill`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import ModuleType
from typing import IO, Any, cast

from django.core.management.base import CommandError
from rich.console import Console
from rich.table import Table

from clipforge.common.commands import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Break things in a throw-away service under load, on servers of its own, and print what came "
        "of each: nothing may be lost or happen twice, and all has recovered within five seconds (the "
        "work of a dead worker: within its lease, a sweep and five seconds). Touches no other service and no data of yours. Exits 1 on any "
        "breach. Needs the packages of the tests."
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

    def handle(self, **options: Any) -> None:
        super().handle(**options)
        if self.wrong:  # after the report, which is worth most then
            raise CommandError("; ".join(self.wrong))

    def run(self, *, only: str, worker_seconds: float, **options: Any) -> dict[str, Any]:
        # What only tests need is not installed everywhere.
        from clipforge.devtools.testing import drills
        from clipforge.devtools.testing.drills import topology
        from clipforge.devtools.testing.drills import workers as drill_workers

        of_work = dict(drill_workers.DRILLS)
        if worker_seconds:
            of_work["worker killed at random"] = drill_workers.killed_at_random(worker_seconds)
        rows = [
            *self._rows(drills.stand, drills.FAULTS, only),
            *self._rows(drill_workers.bench, of_work, only),
            *self._around_web(topology, only),
        ]
        if not rows:
            raise CommandError(f'No fault has "{only}" in its name.')
        self.wrong = [each for row in rows for each in drills.breaches(row) + drills.too_slow(row)]
        if not self.as_json:
            self._show(rows)
        if not self.wrong:
            self.say(f"{len(rows)} faults, nothing lost, nothing double.")
        return {"faults": [row._asdict() for row in rows], "wrong": self.wrong}

    def _around_web(self, topology: ModuleType, only: str) -> Iterator[Any]:
        from clipforge.devtools.testing.drills import Row

        if topology.MISSING:
            names = [name for name in topology.FAULTS if only in name]
            return iter([Row(name, skipped=topology.MISSING) for name in names])
        return self._rows(topology.stand, topology.FAULTS, only)

    def _rows(
        self, place: Callable[[], AbstractContextManager[Any]], faults: dict[str, Any], only: str
    ) -> Iterator[Any]:
        """A row for each drill, also for one that fails; the rows before it are kept."""
        from clipforge.devtools.testing.drills import Row, attempt

        waiting = [name for name in faults if only in name]
        while waiting:
            now = "a new service"
            try:
                with place() as there:
                    while waiting:
                        now = waiting.pop(0)
                        self.say(f"{now} ...")
                        yield attempt(there, now, faults[now])
                    now = "the end of the service"
            except Exception as error:
                yield Row(now, unexplained=f"{type(error).__name__}: {error}")
                if now == "a new service":
                    return

    def _show(self, rows: list[Any]) -> None:
        table = Table()
        for name in ("fault", "requests", "5xx", "broken", "lost", "double", "recovery s"):
            table.add_column(name, justify="left" if name == "fault" else "right")
        for row in rows:
            table.add_row(*("–" if value is None else str(value) for value in row[:7]))
        Console(file=cast("IO[str]", self.stdout)).print(table)
        for row in rows:
            if row.skipped:
                self.say(f"{row.fault}: not done, {row.skipped}")
