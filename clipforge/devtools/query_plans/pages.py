"""Every page: which code makes it, for which organization, from which place on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now

from billing.caching import stored_pricing
from clipforge.devtools.query_plans import api_pages, budgets, staff_pages
from clipforge.devtools.query_plans.subjects import Page, subjects
from clipforge.events import selectors as event_selectors
from clipforge.events.models import Endpoint, Event
from clipforge.events.sweeping import RETENTION
from clipforge.jobs import retention
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs.kinds import all_kinds
from clipforge.jobs.models import QUEUED
from credits import expiry


def pages() -> Iterator[Page]:
    """All of them. Raises Conflict when there is nothing to look at."""
    for subject in subjects():
        yield from api_pages.api_pages(subject)
        yield from api_pages.details(subject)
        yield from api_pages.statements(subject)
        yield from api_pages.usages(subject)
        yield from staff_pages.organization_pages(subject)
    yield Page("pricing", "", budgets.CATALOGUE, stored_pricing)
    yield from _queue()
    yield from staff_pages.admin_pages()
    yield from staff_pages.approval_pages()
    yield from staff_pages.download_pages()
    yield from staff_pages.business_pages()
    yield from staff_pages.customer_pages()


# --- the queue and the clock -----------------------------------------------------------


def _queue() -> Iterator[Page]:
    for kind in all_kinds():
        name, model = kind.name, kind.model
        yield Page(
            f"lapsed {name}s",
            "",
            budgets.QUEUE,
            partial(list, job_selectors.lapsed_jobs(model)[:100]),
        )
        for status in (QUEUED, model.RUNNING):
            aging = job_selectors.aging_jobs(model, status).values_list("hold_id")[:1000]
            yield Page(f"aging {name}s, {status}", "", budgets.QUEUE, partial(list, aging))
        if job := job_selectors.queued_jobs(model).reverse().first():
            position = partial(job_selectors.queue_position, job)
            yield Page(f"queue position of {name}", "", budgets.QUEUE, position)
    due: dict[str, QuerySet[Any]] = {
        "due holds": expiry.due_holds().order_by("expires_at"),
        "due grants": expiry.due_grants().order_by("expires_at"),
        **{f"due {kind.plural}": retention.due(kind) for kind in all_kinds()},
        **{f"ending {kind.plural}": retention.ending(kind, retention.WEEK) for kind in all_kinds()},
    }
    due["events to forget"] = Event.objects.filter(created_at__lt=Now() - RETENTION).order_by(
        "created_at", "id"
    )
    if endpoint := Endpoint.objects.first():
        due["due deliveries"] = event_selectors.due_deliveries().filter(endpoint=endpoint)
    yield Page(
        "waiting endpoints",
        "",
        budgets.WAITING,
        partial(list, event_selectors.waiting_endpoints()[:1000]),
    )
    for name, queryset in due.items():
        yield Page(name, "", budgets.QUEUE, partial(list, queryset[:1000]))
