"""The work of an analysis task: claim the project, analyse its source, record the moments."""

from __future__ import annotations

import uuid
from dataclasses import replace

from django.db import transaction

from clipforge.common import storage
from clipforge.jobs import failures, lifecycle
from clipforge.jobs.heartbeat import Heartbeat
from clipforge.jobs.lifecycle import Defer
from clipforge.jobs.outcome import settle_outcome
from clipforge.media import Analysis, Limits, analyse
from clipforge.orgs import selectors as org_selectors
from projects.models import Moment, Project

# A whole analysis runs many times faster than the source plays; this only ends a stuck one.
WALL_SECONDS_PER_SOURCE_SECOND = 3
MINIMUM_WALL_SECONDS = 300


def run(project_id: uuid.UUID, *, fence: int, defer: Defer) -> None:
    """Analyse one queued project. Does nothing if the fence moved on.

    Ends it READY, EMPTY or FAILED, or hands it back when this worker has to stop. Raises only faults
    of the database.
    """
    project = lifecycle.claim(Project, project_id, fence=fence)
    if project is None:
        return
    watch = Heartbeat(project)
    source = storage.path_of(project.source_key)
    if not source.is_file():
        lifecycle.fail(project, error=failures.SOURCE_MISSING, actor=lifecycle.ACTOR)
        return
    with settle_outcome(project, watch, defer=defer):
        analysis = analyse(
            source,
            limits=_limits(project),
            on_progress=watch.note,
            should_stop=watch.must_stop,
        )
        _record(project, analysis)


def _limits(project: Project) -> Limits:
    longest = org_selectors.limits_of(project.org).max_source_seconds
    wall = max(MINIMUM_WALL_SECONDS, WALL_SECONDS_PER_SOURCE_SECOND * project.duration)
    # A tier that was lowered meanwhile does not fail what was accepted and is paid for.
    return replace(Limits(), wall_seconds=wall, max_duration=max(longest, project.duration + 1))


def _record(project: Project, analysis: Analysis) -> None:
    found = bool(analysis.moments)
    with transaction.atomic():
        ours = lifecycle.succeed(
            project,
            status=Project.Status.READY if found else Project.Status.EMPTY,
            charged=found,
            actor=lifecycle.ACTOR,
            scorer_version=analysis.scorer_version,
        )
        if ours:
            Moment.objects.bulk_create(
                Moment(
                    org=project.org,
                    project=project,
                    start=moment.start,
                    # By a rounding error later, and it could not be exported.
                    end=min(moment.end, project.duration),
                    score=moment.score,
                    subscores=moment.subscores,
                    reason=moment.reason,
                    scorer_version=analysis.scorer_version,
                )
                for moment in analysis.moments
            )
