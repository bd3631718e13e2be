"""The pages whose plans are looked at: a page, the organizations that it is made for, and how deep."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Count
from django.http import Http404

from clipforge.common.errors import Conflict, NotFound
from clipforge.devtools.query_plans.budgets import Budget
from clipforge.events import selectors as event_selectors
from clipforge.events.models import Endpoint
from clipforge.orgs.models import Organization
from credits.models import CreditAccount
from exports import selectors as export_selectors
from exports.models import Export
from projects import selectors as project_selectors
from projects.models import Project

# How far down a list "deep" is, and how far we count to know.
DEEP, COUNTED = 0.9, 200_000


class Page(NamedTuple):
    name: str
    place: str  # first, deep, or nothing where there is no list
    budget: Budget
    run: Callable[[], object]


@dataclass(frozen=True)
class Subject:
    """An organization whose pages are looked at, and a project, an export and an endpoint of it."""

    label: str
    org: Organization
    project: Project | None
    export: Export | None
    endpoint: Endpoint | None


def subjects() -> list[Subject]:
    """The busiest organization and one in the middle: what a few pages hold, and what is scattered."""
    accounts = CreditAccount.objects.select_related("org").order_by("-version")
    count = accounts.count()
    if not count:
        raise Conflict("There is nothing to look at. manage.py seed_load fills an empty database.")
    found = {"busiest": accounts[0].org, "middle": accounts[count // 2].org}
    return [_subject(label, org) for label, org in found.items()]


def _subject(label: str, org: Organization) -> Subject:
    ready = project_selectors.projects(org).filter(status=Project.Status.READY)
    # The one with the most to list.
    project = ready.annotate(found=Count("moments")).order_by("-found", "id").first()
    export = export_selectors.exports(org).order_by("-created_at").first()
    endpoint = event_selectors.endpoints(org).first()
    return Subject(label, org, project, export, endpoint)


def if_there(read: Callable[..., object], *args: Any) -> None:
    """Read what may not be there: the same statement."""
    with contextlib.suppress(NotFound, Http404):
        read(*args)
