"""The base of every operator command: readable for people, parseable with `--json`."""

from __future__ import annotations

import argparse
import datetime
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from clipforge.common.cache.metrics import metrics
from clipforge.common.errors import DomainError


class OperatorCommand(BaseCommand):
    """Subclasses write `run`, which returns what `--json` prints, and print for people as they go.

    A DomainError becomes one sentence on stderr and exit code 1; so does `failure`, where `run`
    sets it because a part failed, after all was printed.
    """

    failure = ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object last, and nothing else"
        )
        self.arguments(parser)

    def arguments(self, parser: CommandParser) -> None:
        """Declare the arguments of the command."""

    def run(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Do it, and return what `--json` prints."""
        raise NotImplementedError

    def perform(self, **options: Any) -> dict[str, Any]:
        """Call `run`. A base class between wraps it here."""
        return self.run(**options)

    def say(self, line: str = "") -> None:
        """Print for people, at once, also into a pipe; silent under --json."""
        if not self.as_json:
            self.stdout.write(line)
            self.stdout.flush()

    def handle(self, **options: Any) -> None:
        self.as_json: bool = options["json"]
        try:
            result = self.perform(**options)
        except DomainError as error:
            raise CommandError(error.message) from error
        finally:
            metrics.flush(at_once=True)
        if self.as_json:
            self.stdout.write(json.dumps(result, default=str))
        if self.failure:
            raise CommandError(self.failure)

    @property
    def command_name(self) -> str:
        """As it is typed after `manage.py`."""
        return self.__module__.rpartition(".")[2]


class DryRunCommand(OperatorCommand):
    """Can be tried without an effect.

    `--dry-run` does everything in one transaction, prints the result and rolls it back. Only what
    PostgreSQL does not hold needs care in `run`, which asks `self.is_dry_run`.
    """

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="print what would change, and change nothing"
        )
        super().add_arguments(parser)

    def perform(self, **options: Any) -> dict[str, Any]:
        self.is_dry_run: bool = options["dry_run"]
        if not self.is_dry_run:
            return super().perform(**options)
        with transaction.atomic():
            result = super().perform(**options)
            transaction.set_rollback(True)
        self.say("Dry run: nothing was changed.")
        return {**result, "dry_run": True}


def day(text: str) -> datetime.datetime:
    """The end of a day (UTC) as an argument: `2026-12-31` works through that day."""
    try:
        date = datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is not a date like 2026-12-31') from None
    return datetime.datetime.combine(date, datetime.time.max, datetime.UTC)
