"""`manage.py lint_migrations`."""

from __future__ import annotations

from typing import Any

from clipforge.common.commands import OperatorCommand
from clipforge.devtools.testing.migration_lint import EXPLAINED, faults


class Command(OperatorCommand):
    help = (
        "Check every migration of the product for operations that lock a table while customers use "
        "it, or break the code that still runs. Changes nothing. Exit 1 when one is found that is "
        "not explained, or an explanation fits none. Needs the packages of the tests."
    )

    def run(self, **options: Any) -> dict[str, Any]:
        found = set(faults())
        unexplained, unused = sorted(found - set(EXPLAINED)), sorted(set(EXPLAINED) - found)
        for fault in unexplained:
            self.say(f"unsafe: {fault}")
        for fault in unused:
            self.say(f"explained, but not there: {fault}")
        if unexplained or unused:
            self.failure = f"{len(unexplained)} unsafe operations, {len(unused)} idle explanations."
        else:
            self.say(f"No operation is unsafe; {len(found)} of the first releases are explained.")
        return {"ok": not self.failure, "unsafe": unexplained, "unused": unused}
