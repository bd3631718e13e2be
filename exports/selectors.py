"""Reads of exports. Each begins with an organization, or with an object of one."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from clipforge.common.errors import NotFound
from clipforge.common.prepared import Prepared
from clipforge.jobs.selectors import with_reserved
from clipforge.orgs.models import Organization
from exports.models import Export, Watermark
from projects.models import Project

# The same order after so long is meant; sooner it may be a mistake of whoever sent it twice.
TWIN_AGE = datetime.timedelta(minutes=10)


def exports(org: Organization) -> QuerySet[Export]:
    return exports_of_org(org.pk)


def exports_of_org(org_id: uuid.UUID) -> QuerySet[Export]:
    return with_reserved(Export.objects.filter(org=org_id)).defer("failure_detail")


def exports_of(project: Project) -> QuerySet[Export]:
    """The exports of a project, which the caller knows to be the organization's.

    Not of the organization besides: the planner takes the two for independent, and would look for
    the few that it expects to be in both.
    """
    return with_reserved(Export.objects.filter(project=project)).defer("failure_detail")


def open_exports_of(project: Project) -> bool:
    """Whether an export of the project waits or runs."""
    is_open = [Export.Status.QUEUED, Export.Status.RENDERING]
    return Export.objects.filter(project=project, status__in=is_open).exists()


def downloadable(project: Project) -> QuerySet[Export]:
    """The exports of a project whose file is there, the newest first: what names and finds the file."""
    ready = Export.objects.filter(project=project, status=Export.Status.READY)
    kept = ready.exclude(expires_at__lte=timezone.now())
    return kept.only("file_key", "download_name", "format").order_by("-created_at", "-id")


def exported_moments(project: Project) -> set[uuid.UUID]:
    """The ids of the moments that exports of the project were made of."""
    made_of = Export.objects.filter(project=project).values_list("moment_id", flat=True)
    return {moment_id for moment_id in made_of if moment_id is not None}


def watermark(org: Organization) -> Watermark | None:
    """The image that clips of the organization may carry; None without one."""
    return Watermark.objects.for_org(org).order_by("org").first()


def recent_twins(export: Export) -> QuerySet[Any]:
    """The ids of the exports of the last minutes that are, or will be, the same file; the latest first."""
    ordered = {name: getattr(export, name) for name in Export.ORDERED}
    # What is absent is NULL; compared with None, a column of JSON is asked for its null.
    given = {name: value for name, value in ordered.items() if value is not None}
    absent = {f"{name}__isnull": True for name, value in ordered.items() if value is None}
    same = Export.objects.filter(
        project=export.project_id,
        created_at__gte=timezone.now() - TWIN_AGE,
        status__in=[Export.Status.QUEUED, Export.Status.RENDERING, Export.Status.READY],
        **given,
        **absent,
    )
    return same.order_by("-created_at", "-id").values_list("pk", flat=True)


def get_export(org: Organization, export_id: uuid.UUID) -> Export:
    """Raises NotFound, the same for an unknown id and another organization's."""
    export = _EXPORT.first(org.pk, export_id)
    if export is None:
        raise NotFound
    return export


def _one_export(org_id: uuid.UUID, pk: uuid.UUID) -> QuerySet[Export]:
    return exports_of_org(org_id).select_related("project").filter(pk=pk)


_EXPORT = Prepared(_one_export, count=2)
