"""The texts of jobs, made of the facts that their kind names."""

from __future__ import annotations

from typing import Any

from clipforge.jobs.kinds import JobKind
from clipforge.staff import formatting


def sources_of(kind: JobKind[Any]) -> dict[str, Any]:
    """The columns and expressions to read, by the names of the facts."""
    return {name: fact.source for name, fact in kind.staff.facts.items()}


def text_of(kind: JobKind[Any], template: str, row: dict[str, Any], *, most: int = 80) -> str:
    """A template of the kind, filled in: lengths of time as 1:05, texts up to `most` characters."""
    return template.format(
        **{
            name: formatting.length(row[name])
            if fact.is_seconds
            else formatting.short(str(row[name]), most)
            for name, fact in kind.staff.facts.items()
        }
    )
