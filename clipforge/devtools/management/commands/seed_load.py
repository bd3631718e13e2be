from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from clipforge.common.commands import OperatorCommand
from clipforge.common.errors import Conflict
from clipforge.devtools.seeding.services import OrgKey, seed
from clipforge.devtools.seeding.tables import Progress
from clipforge.devtools.seeding.world import Sizes


class Command(OperatorCommand):
    help = (
        "Fill an empty database with two years of use, for load tests: organizations of all tiers, one "
        "of them very busy, with their projects, moments, exports and ledger. No video files."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--orgs", type=int, default=200, metavar="N")
        parser.add_argument("--projects", type=int, default=5_000, metavar="N")
        parser.add_argument("--moments", type=int, default=50_000, metavar="N")
        parser.add_argument("--transactions", type=int, default=100_000, metavar="N")
        parser.add_argument("--exports", type=int, default=20_000, metavar="N")
        parser.add_argument("--seed", type=int, default=1, metavar="N", help="same seed, same data")
        parser.add_argument(
            "--keys",
            type=Path,
            metavar="FILE",
            help="make an API key for each organization and write them here, one JSON object a line",
        )
        parser.add_argument(
            "--into-existing",
            action="store_true",
            help="also when there are organizations already; work and credits are locked meanwhile",
        )

    def run(self, *, keys: Path | None, into_existing: bool, **options: Any) -> dict[str, Any]:
        sizes = Sizes(*(options[name] for name in Sizes._fields))
        began = time.monotonic()
        # The file first: keys that cannot be written down are lost.
        with self._key_file(keys) as write, self._bars() as progress:
            made = seed(
                sizes,
                number=options["seed"],
                into_existing=into_existing,
                with_keys=keys is not None,
                progress=progress,
            )
            write(made)
        seconds = round(time.monotonic() - began, 1)
        rows = ", ".join(f"{count:,} {name}" for name, count in sizes._asdict().items())
        self.say(f"{rows} in {seconds:g} s.")
        return {**sizes._asdict(), "seed": options["seed"], "keys": keys, "seconds": seconds}

    @contextlib.contextmanager
    def _key_file(self, path: Path | None) -> Iterator[Callable[[list[OrgKey]], None]]:
        """A function that writes keys to a new file that only its owner can read; deleted on failure."""
        if path is None:
            yield lambda _: None
            return
        try:
            file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")
        except OSError as error:
            raise Conflict(f"The keys cannot be written to {path}: {error.strerror}.") from error
        try:
            with file:
                yield lambda made: file.writelines(f"{json.dumps(key._asdict())}\n" for key in made)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    @contextlib.contextmanager
    def _bars(self) -> Iterator[Progress]:
        columns = [TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn()]
        with Bars(
            *columns, TimeElapsedColumn(), console=Console(quiet=self.as_json), transient=False
        ) as bars:
            tasks: dict[str, Any] = {}

            def show(stage: str, done: int, total: int) -> None:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(stage, total=total)
                bars.update(tasks[stage], completed=done)

            yield show
