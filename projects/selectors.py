"""Reads of projects and moments. Each begins with an organization."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet

from clipforge.common.errors import NotFound
from clipforge.orgs.models import Organization
from projects.models import Moment, Project


def projects(org: Organization) -> QuerySet[Project]:
    return Project.objects.for_org(org).select_related("hold")


def get_project(org: Organization, project_id: uuid.UUID) -> Project:
    """Raises NotFound, the same for an unknown id and another organization's."""
    project = projects(org).filter(pk=project_id).first()
    if project is None:
        raise NotFound
    return project


def moments(project: Project) -> QuerySet[Moment]:
    return Moment.objects.for_org(project.org).filter(project=project)


def get_moment(org: Organization, moment_id: uuid.UUID) -> Moment:
    """The moment with its project. Raises NotFound."""
    moment = (
        Moment.objects.for_org(org).select_related("project", "project__hold").filter(pk=moment_id)
    ).first()
    if moment is None:
        raise NotFound
    return moment
