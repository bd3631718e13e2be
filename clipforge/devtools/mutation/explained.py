"""The survivors that the page of the mutation run explains."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from clipforge.devtools.mutation.scope import ROOT
from clipforge.devtools.mutation.session import Result

if TYPE_CHECKING:
    from clipforge.devtools.mutation.mutants import Mutant

PAGE = ROOT / "clipforge/docs/mutation.md"
HEADING = "## Survivors that are explained"
# | `file` | `line` → `line with the fault` | reason |
ROW = re.compile(r"^\| `([^`]+)` \| `(.*)` → `(.*)` \| (.+) \|$", re.MULTILINE)

Fault = tuple[str, str, str]


def explained() -> set[Fault]:
    """Path, line before and line after of each fault in the table of those that are explained."""
    text = PAGE.read_text().partition(f"\n{HEADING}\n")[2].partition("\n## ")[0]
    rows = ROW.findall(text.replace("\\|", "|"))
    return {(path, before, after) for path, before, after, _ in rows}


def fault_of(result: Result | Mutant) -> Fault:
    """As the page has it: without what is only layout."""
    before, after = (" ".join(text.split()) for text in (result.before, result.after))
    return result.path, before, after or "–"


def unexplained(results: list[Result]) -> list[Result]:
    """Survivors and untried mutants that the page does not explain."""
    known = explained()
    return [
        result
        for result in results
        if result.outcome in {"survived", "untested", "error"} and fault_of(result) not in known
    ]
