from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from clipforge import backups
from clipforge.common.commands import OperatorCommand
from clipforge.common.errors import Invalid


class Command(OperatorCommand):
    help = (
        "Restore a dump of `backup` into an empty database, then prove the ledger and look for files that "
        "rows name and that are not there. Exits 1 when anything is wrong. Start web and workers after it."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dump", type=Path, nargs="?")
        parser.add_argument(
            "--recovered",
            action="store_true",
            help="restore nothing: PostgreSQL has recovered the database itself, prove what came of it",
        )

    def run(self, *, dump: Path | None, recovered: bool, **options: Any) -> dict[str, Any]:
        if (dump is None) is not recovered:
            raise Invalid("Name a dump, or give --recovered.")
        proof = backups.restore(dump) if dump else backups.prove()
        self.say(
            f"{'Restored' if dump else 'Proved'} in {proof.seconds:.1f} s (RTO), as of {proof.at:%Y-%m-%d %H:%M:%S} UTC (RPO)."
        )
        self.say(
            f"Breaches of the ledger: {proof.breaches}. Jobs that workers will take up: {proof.open_jobs}."
        )
        for row in proof.rows_without_file:
            self.say(f"The file of this row is missing: {row}")
        if not proof.cache_emptied:
            self.say("Redis was away: empty it before you start the service.")
        self.say("Files that no row names any more are kept until `storage accept`.")
        if proof.breaches or proof.rows_without_file or not proof.cache_emptied:
            self.failure = "Not everything is right: see above."
        return proof._asdict()
