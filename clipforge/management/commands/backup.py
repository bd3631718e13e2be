from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from clipforge import backups
from clipforge.common.commands import OperatorCommand
from clipforge.common.errors import Invalid


class Command(OperatorCommand):
    help = (
        "Write a dump of the database into a folder: one moment, while the service works. Media is "
        "referenced, not copied: back up the store beside it. `restore` reads it."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="it is made if need be; only you may read it")
        parser.add_argument("--keep", type=int, metavar="N", help="keep the newest N dumps there")

    def run(self, *, folder: Path, keep: int | None, **options: Any) -> dict[str, Any]:
        if keep is not None and keep < 1:
            raise Invalid("--keep must be at least 1.")
        made = backups.back_up(folder, keep=keep)
        self.say(
            f"{made.path}: {made.bytes:,} bytes, everything committed before {made.at:%H:%M:%S.%f} UTC."
        )
        return made._asdict()
