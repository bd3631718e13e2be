"""Writes to moments: choosing them again, making one by hand, moving its edges, rating it.

All are free, and nothing is decoded: they work on what the analysis kept. What takes a child
process is computed first, outside the transaction that writes.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.db import transaction

from clipforge.common.errors import Conflict, Invalid
from clipforge.media import Chosen, MediaError, ScoredMoment, Snap, choose, place
from clipforge.media.words.transcript import Transcript
from projects import caching, pictures, selectors, turns
from projects.events import moment_deleting, moments_replacing
from projects.models import Moment, MomentFeedback, Project
from projects.recording import figures_of, record_moments
from projects.wishes import choice_of, require_inside

MIN_SECONDS = 1.0  # of a moment that is made by hand; a clip of less is no clip
MOST_MADE = 200  # moments of one project that are made by hand

# A moment by hand in a source of which no features are kept is not rated.
UNRATED = "Made by hand."


# --- choosing again -------------------------------------------------------------------


def choose_again(*, project: Project, wishes: Mapping[str, Any]) -> Chosen:
    """The moments that the wishes find in what is kept, beside those that stay. Writes nothing.

    Raises Conflict unless the project was analysed and its features are there, and Invalid for a
    range outside the source. Takes less than a second; call it outside a transaction.
    """
    require_analysed(project)
    require_inside(wishes, duration=project.duration)
    features = require_features(project)
    taken = tuple((moment.start, moment.end) for moment in _staying(project))
    with features_that_cannot_be_read():
        words = spoken(project, wishes.get("language"))
        return choose(features, words, choice_of(wishes, taken=taken))


def replace_moments(*, project: Project, chosen: Chosen) -> list[Moment]:
    """Put chosen moments in the place of those that were chosen before; best first.

    What a customer made, pinned, rated or exported stays as it is. One that became so since
    `choose_again` stays too, and keeps its time. Call it in a transaction that locked the project:
    of two at once the later one wins, whole.
    """
    require_analysed(project)
    staying = _staying(project)
    going = Moment.objects.filter(project=project).exclude(pk__in=[each.pk for each in staying])
    _forget_posters(project, list(going.values_list("pk", flat=True)))
    going.delete()
    new = [each for each in chosen.moments if not any(_overlap(each, old) for old in staying)]
    return record_moments(project, new, scorer_version=chosen.scorer_version)


def _staying(project: Project) -> list[Moment]:
    """The moments that choosing again leaves alone."""
    answers = moments_replacing.send(sender=Project, project=project)
    needed: set[uuid.UUID] = functools.reduce(operator.or_, (ids for _, ids in answers), set())
    return [
        moment
        for moment in selectors.moments(project)
        if moment.pk in needed
        or moment.pinned
        or moment.rating
        or moment.origin == Moment.Origin.MADE
    ]


def _overlap(new: ScoredMoment, old: Moment) -> bool:
    return new.start < old.end and old.start < new.end


# --- one by hand ----------------------------------------------------------------------


def place_moment(*, project: Project, start: float, end: float, snap: str) -> Chosen:
    """The stretch as a moment, its edges moved to the nearest of `snap`, and rated. Writes nothing.

    Raises Conflict unless the project was analysed, and where edges have to move and no features
    are kept; Invalid for a stretch that is none. Call it outside a transaction.
    """
    require_analysed(project)
    _require_stretch(project, start, end)
    if snap == Snap.NONE and selectors.features(project) is None:
        return Chosen([ScoredMoment(start, end, 0.0, reason=UNRATED)], "")
    features = require_features(project)
    with features_that_cannot_be_read():
        return place(features, spoken(project), start=start, end=end, snap=Snap(snap))


def make_moment(*, project: Project, placed: Chosen, title: str) -> Moment:
    """Record a placed moment as the customer's own. Call it in a transaction that locked the project.

    Raises Conflict when there are MOST_MADE of them already.
    """
    require_analysed(project)
    made = selectors.moments(project).filter(origin=Moment.Origin.MADE)
    if made.count() >= MOST_MADE:
        raise Conflict(
            f"This project has {MOST_MADE} moments made by hand already. Delete one first.",
            code="too_many_moments",
        )
    (moment,) = placed.moments
    caching.moments_changed(project)
    return Moment.objects.create(
        org=project.org,
        project=project,
        **figures_of(project, moment, placed.scorer_version),
        title=title or moment.title,
        origin=Moment.Origin.MADE,
    )


def change_moment(*, moment: Moment, placed: Chosen | None, changes: Mapping[str, Any]) -> Moment:
    """Move a moment to where it was `placed`, and change its title, pin or rating.

    One that was moved is pinned: it is the customer's now. A rating is kept beside the scores that
    were rated (`MomentFeedback`). Raises NotFound when it was deleted meanwhile.
    """
    fields: dict[str, Any] = dict(changes)
    if placed is not None:
        (found,) = placed.moments
        fields = (
            {"pinned": True} | fields | figures_of(moment.project, found, placed.scorer_version)
        )
    with transaction.atomic():
        # With its project, which `replace_moments` and `delete_project` lock before its moments.
        moment = selectors.get_moment(moment.project.org, moment.pk, lock=True)
        if fields:
            Moment.objects.filter(pk=moment.pk).update(**fields)
            caching.moments_changed(moment.project)
        if placed is not None:
            _forget_posters(moment.project, [moment.pk])
        for name, value in fields.items():
            setattr(moment, name, value)
        if "rating" in changes:
            _keep_feedback(moment)
    return moment


def delete_moment(*, moment: Moment) -> None:
    """Exports of it stay, and name no moment any more. Raises NotFound when it is deleted already."""
    with transaction.atomic():
        # With its project, which whoever exports it has locked: that export is seen here, or finds it gone.
        locked = selectors.get_moment(moment.project.org, moment.pk, lock=True)
        moment_deleting.send(sender=Moment, moment=locked)
        locked.delete()
        caching.moments_changed(moment.project)
        _forget_posters(moment.project, [moment.pk])


def _forget_posters(project: Project, moment_ids: list[uuid.UUID]) -> None:
    """Delete them once the moments are gone, or elsewhere."""
    transaction.on_commit(functools.partial(pictures.forget, project, moment_ids), robust=True)


def _keep_feedback(moment: Moment) -> None:
    if not moment.rating:
        MomentFeedback.objects.filter(pk=moment.pk).delete()
        return
    seen = ("rating", "start", "end", "kind", "origin", "score", "subscores", "scorer_version")
    MomentFeedback.objects.update_or_create(
        moment_id=moment.pk,
        defaults={
            "org": moment.org,
            "project": moment.project,
            **{name: getattr(moment, name) for name in seen},
        },
    )


# --- what has to be so ----------------------------------------------------------------


def require_analysed(project: Project) -> None:
    """Raises Conflict unless the project was analysed."""
    if project.status not in Project.ANALYSED:
        raise Conflict(
            f"The project is {project.status}; it has moments once it is READY or EMPTY.",
            code="project_not_ready",
        )


def require_features(project: Project) -> bytes:
    """The features that are kept of the project; raises Conflict without any."""
    features = selectors.features(project)
    if features is None:
        raise Conflict(
            "This project was analysed before its features were kept. Upload it again.",
            code="features_missing",
        )
    return features


def _require_stretch(project: Project, start: float, end: float) -> None:
    longest = min(project.duration, settings.EXPORT_MAX_SECONDS)
    if not (0 <= start < end <= project.duration and MIN_SECONDS <= end - start <= longest):
        raise Invalid(
            f"A moment lasts from {MIN_SECONDS:g} to {longest:g} seconds and lies within the source: "
            f"0 to {project.duration:.3f} seconds.",
            code="bad_range",
        )


def spoken(project: Project, language: str | None = None) -> Transcript | None:
    """The words; None where they were taken for another language than the one that is spoken."""
    row = selectors.transcript(project)
    return row.content if row and language in {None, row.language} else None


@contextlib.contextmanager
def features_that_cannot_be_read() -> Iterator[None]:
    """Raise Conflict where the child could do nothing with what is kept; Unavailable without a turn."""
    try:
        with turns.turn():
            yield
    except MediaError as error:
        raise Conflict(
            "What was kept of this project cannot be used. Upload it again.",
            code="features_unusable",
        ) from error
