"""The run of an analysis: look at the source, record the moments."""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from django.db import transaction

from clipforge.common import storage
from clipforge.common.errors import StorageFull
from clipforge.jobs import lifecycle
from clipforge.jobs.failures import JobFailed
from clipforge.jobs.kinds import RunControl
from clipforge.media import Analysis, Limits, analyse
from clipforge.media.words.transcript import Transcript
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs import stored
from projects import faces, failures, second_opinion, speech
from projects.failures import SOURCE_MISSING
from projects.models import Project, ProjectFeatures, ProjectTranscript
from projects.recording import record_moments
from projects.wishes import choice_of

logger = logging.getLogger(__name__)

# A whole analysis runs many times faster than the source plays, the words of a talk included; this only
# ends a stuck one.
WALL_SECONDS_PER_SOURCE_SECOND = 3
MINIMUM_WALL_SECONDS = 300


def run(project: Project, control: RunControl) -> None:
    """Analyse a claimed project. Ends it READY or EMPTY, raises JobFailed and MediaError."""
    with _source_of(project, control) as source, _room_for_pictures(project) as folder:
        analysis = analyse(
            source,
            speech_model=speech.model((project.wishes or {}).get("language")),
            wishes=choice_of(project.wishes),
            audio_track=project.audio_track,
            pictures=folder,
            face_model=faces.model(),
            limits=_limits(project),
            on_progress=control.note,
            should_stop=control.must_stop,
        )
        if folder is not None:
            _publish_pictures(project, [folder / name for name in analysis.pictures], control)
    recorded = _record(project, second_opinion.considered(analysis, control))
    if not recorded and not Project.objects.filter(pk=project.pk).exists():
        # Deleted meanwhile, with the files that were there then.
        storage.delete(project.source_key)


@contextlib.contextmanager
def _source_of(project: Project, control: RunControl) -> Iterator[Path]:
    with contextlib.ExitStack() as stack:
        try:
            copy = storage.local_copy(project.source_key, should_stop=control.must_stop)
            path = stack.enter_context(copy)
        except FileNotFoundError:
            raise JobFailed(SOURCE_MISSING) from None
        yield path


@contextlib.contextmanager
def _room_for_pictures(project: Project) -> Iterator[Path | None]:
    """A folder for the pictures; None on a full disk, which is no reason not to analyse."""
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(storage.workspace(project.pk, project.fence))
        except StorageFull as error:
            logger.warning("no pictures of project %s: %s", project.pk, error)
            yield None
        else:
            yield folder


def _publish_pictures(project: Project, pictures: list[Path], control: RunControl) -> None:
    """Put them beside the source, with which they are deleted. Another attempt makes the same ones."""
    try:
        for picture in pictures:
            beside = storage.companion_of(project.source_key, picture.name)
            storage.publish(picture, beside, should_stop=control.must_stop)
    except StorageFull as error:
        logger.warning("no pictures of project %s: %s", project.pk, error)


def _limits(project: Project) -> Limits:
    longest = org_selectors.limits_of(project.org).max_source_seconds
    wall = max(MINIMUM_WALL_SECONDS, WALL_SECONDS_PER_SOURCE_SECOND * project.duration)
    # A tier that was lowered meanwhile does not fail what was accepted and is paid for.
    limits = Limits()
    return replace(
        limits,
        wall_seconds=wall,
        cpu_seconds=max(limits.cpu_seconds, round(wall)),
        max_duration=max(longest, project.duration + 1),
    )


def _record(project: Project, analysis: Analysis) -> bool:
    """Whether the project was still ours to record."""
    # Something is worth clipping, though it is not what was wished for: choosing again shows it.
    found = bool(analysis.moments) or analysis.others
    with transaction.atomic():
        ours = lifecycle.succeed(
            project,
            status=Project.Status.READY if found else Project.Status.EMPTY,
            charged=found,
            actor=lifecycle.ACTOR,
            scorer_version=analysis.scorer_version,
            warnings=failures.warnings_of(analysis.warnings),
            # With the pictures beside the source.
            stored_bytes=storage.size_of(project.source_key),
        )
        if ours:
            _record_transcript(project, analysis.transcript)
            _record_features(project, analysis.features)
            record_moments(project, analysis.moments, scorer_version=analysis.scorer_version)
            stored.settle(project.org_id)
    return ours


def _record_features(project: Project, features: str) -> None:
    content = base64.b64decode(features)
    if content:
        ProjectFeatures.objects.create(
            project=project, org=project.org, format=content[0], content=content
        )


def _record_transcript(project: Project, spoken: Transcript | None) -> None:
    if spoken is not None:
        row = ProjectTranscript(project=project, org=project.org)
        row.content = spoken
        row.save(force_insert=True)
