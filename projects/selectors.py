"""Reads of projects and moments. Each begins with an organization, or with an object of one."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from django.db.models import CharField, Func, QuerySet

from clipforge.common.errors import NotFound
from clipforge.common.prepared import Prepared
from clipforge.jobs.selectors import with_reserved
from clipforge.orgs.models import Organization
from projects import title_search, word_search
from projects.failures import NoTranscript
from projects.models import (
    Moment,
    MomentFeedback,
    Project,
    ProjectFeatures,
    ProjectTranscript,
)


def projects(org: Organization) -> QuerySet[Project]:
    return projects_of(org.pk)


def projects_of(org_id: uuid.UUID) -> QuerySet[Project]:
    return with_reserved(Project.objects.filter(org=org_id)).defer("failure_detail")


def projects_with(org: Organization, text: str) -> QuerySet[Project]:
    """The ids of the projects in whose title or external id each word of the text is."""
    found = title_search.having(Project.objects.for_org(org), org.pk, text)
    return found.values("pk")  # type: ignore[return-value] # of ids alone


def all_projects() -> QuerySet[Project]:
    """Projects of all organizations: for staff."""
    return Project.objects.all()


def get_project(org: Organization, project_id: uuid.UUID, *, lock: bool = False) -> Project:
    """Raises NotFound, the same for an unknown id and another organization's.

    `lock`: it cannot be deleted before the caller's transaction ends.
    """
    project = (_LOCKED_PROJECT if lock else _PROJECT).first(org.pk, project_id)
    if project is None:
        raise NotFound
    project.org = org  # known: it need not be read again
    return project


def moments(project: Project) -> QuerySet[Moment]:
    return moments_of(project.pk)


def moments_of(project_id: uuid.UUID) -> QuerySet[Moment]:
    """The moments of a project, which the caller knows to be the organization's.

    Not of the organization besides: the planner takes the two for independent, expects few rows
    to be of both, and reads and sorts all of the project where a page would do.
    """
    return Moment.objects.filter(project=project_id)


def all_moments() -> QuerySet[Moment]:
    """Moments of all organizations: for staff."""
    return Moment.objects.all()


def get_moment(org: Organization, moment_id: uuid.UUID, *, lock: bool = False) -> Moment:
    """The moment with its project; `lock` is meant as above, for both. Raises NotFound."""
    moment = (_LOCKED_MOMENT if lock else _MOMENT).first(org.pk, moment_id)
    if moment is None:
        raise NotFound
    moment.project.org = org
    return moment


def _one_project(org_id: uuid.UUID, pk: uuid.UUID) -> QuerySet[Project]:
    return projects_of(org_id).filter(pk=pk)


def _one_moment(org_id: uuid.UUID, pk: uuid.UUID) -> QuerySet[Moment]:
    return Moment.objects.filter(org=org_id, pk=pk).select_related("project")


def _locked_project(org_id: uuid.UUID, pk: uuid.UUID) -> QuerySet[Project]:
    return _one_project(org_id, pk).select_for_update(of=("self",), no_key=True)


def _locked_moment(org_id: uuid.UUID, pk: uuid.UUID) -> QuerySet[Moment]:
    # In this order, as all who write moments. Both: PostgreSQL reads again only what it locks, and
    # another transaction may delete or move the moment while we wait for the project.
    return _one_moment(org_id, pk).select_for_update(of=("project", "self"), no_key=True)


_PROJECT, _LOCKED_PROJECT = (Prepared(each, count=2) for each in (_one_project, _locked_project))
_MOMENT, _LOCKED_MOMENT = (Prepared(each, count=2) for each in (_one_moment, _locked_moment))


class Clippable(NamedTuple):
    """Projects and moments by their ids. Those of another organization are not among them."""

    projects: dict[uuid.UUID, Project]
    moments: dict[uuid.UUID, Moment]


def lock_clippable(
    org: Organization, *, project_ids: Sequence[uuid.UUID], moment_ids: Sequence[uuid.UUID]
) -> Clippable:
    """These projects, and these moments with theirs, none of which can be deleted before the caller commits.

    Locked in the order of their ids, projects first: two callers with the same never wait for each other.
    """
    of_org = Moment.objects.for_org(org).filter(pk__in=moment_ids)
    wanted = {*project_ids, *of_org.values_list("project_id", flat=True)}
    rows = projects(org).filter(pk__in=wanted).order_by("pk")
    found = {row.pk: row for row in rows.select_for_update(of=("self",), no_key=True)}
    for project in found.values():
        project.org = org
    locked = of_org.filter(project__in=found).order_by("pk").select_for_update(no_key=True)
    placed = {moment.pk: moment for moment in locked}
    for moment in placed.values():
        moment.project = found[moment.project_id]
    return Clippable(found, placed)


def transcript(project: Project, *, lock: bool = False) -> ProjectTranscript | None:
    """The transcript of a project, which the caller knows to be the organization's; None without one.

    `lock`: nobody else changes it before the caller's transaction ends. The vector is not read.
    """
    found = ProjectTranscript.objects.filter(project=project).defer("search")
    return (found.select_for_update(no_key=True) if lock else found).first()


def get_transcript(project: Project, *, lock: bool = False) -> ProjectTranscript:
    """As above, but raises NoTranscript where nothing is spoken."""
    found = transcript(project, lock=lock)
    if found is None:
        raise NoTranscript
    return found


def features(project: Project) -> bytes | None:
    """The kept features of a project; None for one that was analysed before they were kept."""
    found = ProjectFeatures.objects.filter(project=project).values_list("content", flat=True)
    content = found.first()
    return None if content is None else bytes(content)


def feedback(
    *, since: datetime.datetime | None = None, scorer_version: str | None = None
) -> QuerySet[MomentFeedback]:
    """Ratings of all organizations with the scores that were rated, in the order of the moments."""
    rows = MomentFeedback.objects.order_by("pk")
    if since is not None:
        rows = rows.filter(rated_at__gte=since)
    return rows if scorer_version is None else rows.filter(scorer_version=scorer_version)


def score_names(rows: QuerySet[MomentFeedback]) -> list[str]:
    """The names of all sub-scores that any of the ratings was given for."""
    keys = rows.order_by().annotate(
        name=Func("subscores", function="jsonb_object_keys", output_field=CharField())
    )
    return sorted(set(keys.values_list("name", flat=True)))


def transcripts_with(org: Organization, text: str) -> QuerySet[ProjectTranscript]:
    """Transcripts in which the words of `text` are spoken, with their projects, the newest project first."""
    found = ProjectTranscript.objects.for_org(org).select_related("project").defer("search")
    # By the identifier, which is ordered by time.
    return found.filter(word_search.says(org.pk, text)).order_by("-project_id")
