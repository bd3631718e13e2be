"""Reads of exports. Each begins with an organization."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet

from clipforge.common.errors import NotFound
from clipforge.orgs.models import Organization
from exports.models import Export


def exports(org: Organization) -> QuerySet[Export]:
    return Export.objects.for_org(org).select_related("hold")


def get_export(org: Organization, export_id: uuid.UUID) -> Export:
    """Raises NotFound, the same for an unknown id and another organization's."""
    export = exports(org).filter(pk=export_id).first()
    if export is None:
        raise NotFound
    return export
