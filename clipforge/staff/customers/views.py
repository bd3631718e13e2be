"""Who is refused, whose work fails, and what it costs: the page of all customers, and that of one."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import cast

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.common.lists.csvs import attachment
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import User
from clipforge.staff.charts import Chart, Series
from clipforge.staff.customers import selectors as customer_selectors
from clipforge.staff.customers import tables
from clipforge.staff.customers.selectors import SPANS, RefusedDay, Span
from clipforge.staff.pages import needs, page
from clipforge.staff.tables import lines_of


@require_GET
@needs("orgs.view_refusedrequests")
def customers(request: HttpRequest) -> HttpResponse:
    now, span = timezone.now(), _span(request)
    return page(
        request,
        "staff/customers/page.html",
        title="Customers",
        at=now,
        chosen=span.name,
        spans=sorted(SPANS.values(), key=lambda each: each.since(now), reverse=True),
        tables=[
            (name, make(span, now), f"{reverse(f'admin:customers-{name}')}?span={span.name}")
            for name, make in tables.TABLES.items()
        ],
        may_download=request.user.has_perm("staff.export_data"),
    )


def download(name: str) -> Callable[..., HttpResponse]:
    """The view of one table as CSV, after it has left an audit row."""

    @require_GET
    @needs("staff.export_data")
    def as_csv(request: HttpRequest) -> HttpResponse:
        now, span = timezone.now(), _span(request)
        table = tables.TABLES[name](span, now)
        write_entry(
            actor=Actor.of_request(request),
            verb=f"export_{name}",
            subject=cast("User", request.user),
            after={"from": span.since(now).isoformat()},
            reason=f"Downloaded the customers by {name} as CSV.",
        )
        response = attachment(lines_of(table), name=f"{name}-{span.name}-{now:%Y-%m-%d}.csv")
        return cast("HttpResponse", response)

    return as_csv


@require_GET
@needs("orgs.view_refusedrequests")
def health(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Of one organization: refusals by key and limit, failures by code, cost and revenue."""
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    now = timezone.now()
    return page(
        request,
        "staff/customers/health.html",
        title=f"Health of {org.name}",
        org=org,
        at=now,
        chart=_chart(customer_selectors.refused_days(org, now)),
        tables=[
            ("refusals", tables.refusals_of(org, now, request.user.has_perm)),
            ("failures", tables.failures_of(org, now)),
            ("cost", tables.cost_of(org, now)),
        ],
    )


def _span(request: HttpRequest) -> Span:
    span = SPANS.get(request.GET.get("span", next(iter(SPANS))))
    if span is None:
        raise Http404
    return span


def _chart(days: list[RefusedDay]) -> Chart:
    return Chart(
        "refused",
        f"Refused requests of the last {customer_selectors.MONTH.label}",
        [day.date for day in days],
        [
            Series(
                "Requests throttled", "request", "throttled", [day.throttled for day in days], "bad"
            ),
            Series(
                "Requests refused for other reasons",
                "request",
                "refused for other reasons",
                [day.others for day in days],
                "busy",
            ),
        ],
    )
