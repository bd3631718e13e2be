"""Rows of moments, from what media found."""

from __future__ import annotations

from collections.abc import Sequence

from clipforge.media import ScoredMoment
from projects import caching
from projects.models import Moment, Project


def record_moments(
    project: Project, moments: Sequence[ScoredMoment], *, scorer_version: str
) -> list[Moment]:
    """Insert chosen moments, best first, in the caller's transaction."""
    # Of equal scores the list has the latest row first.
    rows = [
        Moment(
            org=project.org,
            project=project,
            title=moment.title,
            **figures_of(project, moment, scorer_version),
        )
        for moment in reversed(moments)
    ]
    caching.moments_changed(project)
    return Moment.objects.bulk_create(rows)[::-1]


def figures_of(project: Project, moment: ScoredMoment, scorer_version: str) -> dict[str, object]:
    """The fields of a row that media gives: its place, its scores and what is said for it.

    Not its title, which the customer may have changed.
    """
    return {
        "start": moment.start,
        # By a rounding error later, and it could not be exported.
        "end": min(moment.end, project.duration),
        "score": moment.score,
        "subscores": moment.subscores,
        "reason": moment.reason,
        "kind": moment.kind,
        "hook": moment.hook,
        "scorer_version": scorer_version,
    }
