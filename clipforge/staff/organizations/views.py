"""The timeline of an organization, on a page of its own."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from clipforge.orgs import selectors as org_selectors
from clipforge.staff.organizations import timeline
from clipforge.staff.pages import needs, page


@needs("orgs.view_organization")
def timeline_page(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Everything that happened, page by page. Invalid parts of the query are left out."""
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    kind = request.GET.get("kind", "")
    kind = kind if kind in timeline.filters() else ""
    before = timeline.position_of(request.GET.get("before", ""))
    after = None if before else timeline.position_of(request.GET.get("after", ""))
    found = timeline.timeline_page(org, kind=kind, before=before, after=after)
    if after and not found.entries:  # nothing is newer than the newest
        found = timeline.timeline_page(org, kind=kind)
    here = reverse("admin:organization-timeline", args=[org.pk])

    def at(**asked: Any) -> str:
        asked = {name: value for name, value in asked.items() if value}
        return f"{here}?{urlencode(asked)}" if asked else here

    return page(
        request,
        "staff/organizations/timeline.html",
        title=f"Timeline of {org.name}",
        org=org,
        entries=found.entries,
        kinds=[
            (label, at(kind=name), name == kind)
            for name, label in {"": "Everything", **timeline.filters()}.items()
        ],
        newest=at(kind=kind) if found.newer else "",
        newer=at(kind=kind, after=found.newer.text) if found.newer else "",
        older=at(kind=kind, before=found.older.text) if found.older else "",
    )
