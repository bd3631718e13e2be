from __future__ import annotations

import csv
import datetime
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from django.core.management.base import CommandParser

from clipforge.common.commands import OperatorCommand, day
from projects import selectors
from projects.models import MomentFeedback

FIELDS = ("rating", "rated_at", "scorer_version", "kind", "origin", "start", "end", "score")


class Command(OperatorCommand):
    help = (
        "Write what customers rated up or down as CSV, a moment a row, with the scores that it had: "
        "what a better scorer learns from. Names no organization and quotes no words."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--output", metavar="FILE", help="write there and not to the terminal")
        parser.add_argument(
            "--since", type=day, metavar="YYYY-MM-DD", help="rated on this day or later"
        )
        parser.add_argument("--scorer", metavar="VERSION", help="scored by this version alone")

    def run(
        self,
        *,
        output: str | None,
        since: datetime.datetime | None,
        scorer: str | None,
        **options: Any,
    ) -> dict[str, Any]:
        rows = selectors.feedback(since=since, scorer_version=scorer)
        if output:
            with open(output, "w", newline="") as file:  # noqa: PTH123 - a path of the operator's
                count = write(rows.iterator(), selectors.score_names(rows), file)
            self.say(f"{count} ratings in {output}")
        else:
            count = write(rows.iterator(), selectors.score_names(rows), sys.stdout)
        return {"ratings": count}


def write(rows: Iterator[MomentFeedback], names: list[str], file: TextIO) -> int:
    """Write one line a rating, with a column for each sub-score; return how many."""
    table = csv.writer(file)
    table.writerow(["moment", *FIELDS, *names])
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007 - the last is how many
        fields = [getattr(row, field) for field in FIELDS]
        table.writerow([row.moment_id, *fields, *(row.subscores.get(name, "") for name in names)])
    return count
