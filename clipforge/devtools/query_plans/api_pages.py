"""The lists, details and statements of the API."""

from __future__ import annotations

import contextlib
import datetime
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, cast

from django.db.models import Model, QuerySet
from django.db.models.deletion import Collector
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from rest_framework.request import Request

from billing import selectors as billing_selectors
from clipforge.common.api.filters import AnyOf
from clipforge.common.api.pagination import DEFAULT_PAGE_SIZE, cursor_at, keyset_page
from clipforge.common.models import CachedRow
from clipforge.devtools.query_plans import budgets
from clipforge.devtools.query_plans.subjects import COUNTED, DEEP, Page, Subject, if_there
from clipforge.events import selectors as event_selectors
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.caching import stored
from clipforge.orgs.models import APIKey, Organization, TierLimits
from clipforge.orgs.principal import Principal
from clipforge.staff.downloads import selectors as download_selectors
from credits.caching import stored_balance
from credits.models import CreditTransaction
from credits.selectors import USAGE_GROUPS, statement, usage
from exports import selectors as export_selectors
from exports.archives import MOST_FILES
from projects import selectors as project_selectors
from projects import uploads
from projects.models import Moment, Upload

# The id that is asked for where there is no row: the same statement.
NOWHERE = uuid.UUID(int=0)

Params = dict[str, str | list[str]]


class ListView(NamedTuple):
    """A list of the API, as the URLconf knows it."""

    name: str
    view_class: Any
    # The ids in its address, as in `project_id`.
    needs: list[str]


def list_views() -> list[ListView]:
    """Every view with a keyset, whichever app it is of."""
    found = []
    for pattern in _patterns(get_resolver().url_patterns):
        view_class = getattr(pattern.callback, "view_class", None)
        if hasattr(view_class, "keyset"):
            needs = list(pattern.pattern.converters)
            found.append(ListView(str(pattern.name), view_class, needs))
    return found


def _patterns(entries: list[URLPattern | URLResolver]) -> Iterator[URLPattern]:
    for entry in entries:
        if isinstance(entry, URLResolver):
            yield from _patterns(entry.url_patterns)
        else:
            yield entry


def api_pages(subject: Subject) -> Iterator[Page]:
    for listed in list_views():
        if None in _ids(listed, subject).values():
            continue
        for params in _filters(listed.view_class, subject):
            yield from _list(listed, subject, params)


def _filters(view_class: Any, subject: Subject) -> Iterator[Params]:
    """The parameters of a list to try: none, each value of each filter, a time, a project, and both."""
    yield {}
    filterset = getattr(view_class, "filterset_class", None)
    filters = filterset.base_filters if filterset else {}
    now = timezone.now()
    times: Params = {
        "created_after": (now - datetime.timedelta(days=300)).isoformat(),
        "created_before": (now - datetime.timedelta(days=60)).isoformat(),
    }
    times = {name: value for name, value in times.items() if name in filters}
    choices: list[Params] = [
        {name: str(value)}
        for name, filter_ in filters.items()
        for value, _ in filter_.extra.get("choices", ())
    ]
    yield from choices
    for name, filter_ in filters.items():
        if isinstance(filter_, AnyOf):
            values: list[str] = [value for value, _ in filter_.extra["choices"]]
            for start in (1, 3):
                yield {name: values[start : start + 2]}
    if times:
        yield times
        yield from ({**choice, **times} for choice in choices[:2])
    if "min_score" in filters:
        yield {"min_score": "60"}
    if "sort" in filters:
        yield {"sort": "updated_at"}
        yield {"updated_after": (now - datetime.timedelta(days=60)).isoformat()}
    if "updated_before" in filters:
        yield {"updated_before": (now - datetime.timedelta(days=60)).isoformat()}
    if "q" in filters and subject.project is not None:
        yield {"q": subject.project.title}
    if "external_id" in filters:
        yield {"external_id": "none of these"}
    if "start_after" in filters:
        yield {"start_after": "60", "start_before": "600"}
    if "reference_id" in filters and subject.project is not None:
        yield {"reference_id": str(subject.project.pk)}
    if "object_id" in filters and subject.project is not None:
        yield {"object_id": str(subject.project.pk)}
    if "ids" in filters:
        yield {"ids": ",".join(str(pk) for pk in _some_ids(view_class, subject))}
    if "project" in filters and subject.project is not None:
        project: Params = {"project": str(subject.project.pk)}
        yield project
        yield from ({**project, **choice} for choice in choices)
        if "updated_after" in filters:
            yield {**project, "updated_after": (now - datetime.timedelta(days=60)).isoformat()}


def _some_ids(view_class: Any, subject: Subject) -> list[Any]:
    """A hundred of the organization's, from anywhere."""
    rows = view_class.queryset.model._default_manager.filter(org=subject.org)
    return list(rows.order_by("pk").values_list("pk", flat=True)[:100]) or [NOWHERE]


def _list(listed: ListView, subject: Subject, params: Params) -> Iterator[Page]:
    asked = " ".join(f"{name}={_short(value)}" for name, value in params.items())
    name = f"{listed.name} {asked}".strip() + f", {subject.label}"
    view = _view(listed, subject, params)
    queryset = view.filter_queryset(view.get_queryset())
    count = queryset.order_by()[:COUNTED].count()
    places: dict[str, Model | None] = {"first": None}
    if count > 2 * DEFAULT_PAGE_SIZE:
        places["deep"] = keyset_page(queryset, view.keyset, count)[int(count * DEEP)]
    for place, row in places.items():
        cursor = {} if row is None else {"cursor": cursor_at(view.request, row, view.keyset)}
        at = _view(listed, subject, {**params, **cursor})
        if any(isinstance(value, list) for value in params.values()):
            yield Page(name, place, budgets.MERGED, partial(_show, at))
            continue
        if "q" in params and listed.name != "moments":
            yield Page(name, place, budgets.SEARCHED, partial(_show, at))
            continue
        if listed.name == "moments" and params and "min_score" not in params:
            yield Page(name, place, budgets.OF_PROJECT, partial(_show, at))
            continue
        yield Page(name, place, budgets.LIST, partial(_show, at))
        yield Page(f"{name}: place", place, budgets.PLACE, partial(_find, at, row))


def _read(rows: QuerySet[Any]) -> None:
    list(rows.all())


def _short(value: str | list[str]) -> str:
    return value[:10] if isinstance(value, str) else "|".join(value)


def _view(listed: ListView, subject: Subject, params: Params) -> Any:
    """The view as it is when it answers a client of the organization."""
    kwargs = _ids(listed, subject)
    request = Request(RequestFactory().get(reverse(listed.name, kwargs=kwargs), params))
    request.user = cast(
        "Any", Principal(APIKey(organization=subject.org, prefix="plans"), TierLimits())
    )
    view = listed.view_class()
    view.setup(request, **kwargs)
    view.request, view.format_kwarg = request, None
    return view


def _ids(listed: ListView, subject: Subject) -> dict[str, Any]:
    """The ids of the things whose list it is; None for what the organization has not."""
    named = {name: getattr(subject, name.removesuffix("_id")) for name in listed.needs}
    return {name: getattr(thing, "pk", None) for name, thing in named.items()}


def _show(view: Any) -> object:
    rows = view.paginate_queryset(view.filter_queryset(view.get_queryset()))
    return view.get_serializer(rows, many=True).data


def _find(view: Any, row: Model | None) -> list[Any]:
    """The keys of a page alone: what finding it takes, whatever its rows look like."""
    queryset = view.filter_queryset(view.get_queryset()).select_related(None)
    after = None if row is None else [getattr(row, field) for field in view.keyset]
    rows = keyset_page(queryset, view.keyset, DEFAULT_PAGE_SIZE, after=after)
    return list(rows.values_list(*view.keyset))


def details(subject: Subject) -> Iterator[Page]:
    org = subject.org
    details: dict[str, Callable[[], object]] = {
        # What the caches load.
        "balance": partial(stored_balance, org.pk),
        "key": partial(_stored, APIKey, "00000000"),
        "organization": partial(_stored, Organization, str(org.pk)),
        "limits": partial(_stored, TierLimits, org.tier),
        "subscription": partial(billing_selectors.open_subscription, org),
        "watermark": partial(export_selectors.watermark, org),
    }
    # One of nobody where there is none: the same statements.
    api_key = org_selectors.lasting_keys(org).first() or APIKey(organization=org)
    details["key of the list"] = partial(_key, org, api_key)
    family = org_selectors.working_descendants
    yield Page(f"descendants, {subject.label}", "", budgets.FAMILY, lambda: list(family(api_key)))
    upload = Upload.objects.for_org(org).first() or Upload(org=org)
    details["upload"] = partial(if_there, uploads.get_upload, org, upload.pk)
    payment = billing_selectors.payments(org).order_by("-created_at", "-id").first()
    details["payment"] = partial(
        if_there, billing_selectors.get_payment, org, payment.pk if payment else NOWHERE
    )
    if project := subject.project:
        spoken = partial(project_selectors.transcripts_with, org, "good morning")
        yield Page(f"transcripts, {subject.label}", "", budgets.SPOKEN, lambda: list(spoken()[:20]))
        files = export_selectors.downloadable(project)[: MOST_FILES + 1]
        yield Page(f"archive, {subject.label}", "", budgets.ARCHIVE, partial(_read, files))
        details["project"] = partial(project_selectors.get_project, org, project.pk)
        details["transcript"] = partial(project_selectors.transcript, project)
        details["features"] = partial(project_selectors.features, project)
        shaded = project_selectors.moments(project).order_by("start")
        yield Page(f"curves, {subject.label}", "", budgets.OF_PROJECT, partial(_read, shaded))
        if moment := Moment.objects.filter(project=project).first():
            details["moment"] = partial(project_selectors.get_moment, org, moment.pk)
        collect = partial(Collector("default").collect, [project])
        yield Page(f"delete project, {subject.label}", "", budgets.ALL_OF_PROJECT, collect)
    if export := subject.export:
        details["export"] = partial(export_selectors.get_export, org, export.pk)
    if endpoint := subject.endpoint:
        details["webhook endpoint"] = partial(event_selectors.get_endpoint, org, endpoint.pk)
        if delivery := event_selectors.deliveries(endpoint).first():
            details["webhook delivery"] = partial(_delivery, org, delivery.pk)
    for name, run in details.items():
        yield Page(f"{name}, {subject.label}", "", budgets.ONE, run)


def _key(org: Organization, api_key: APIKey) -> None:
    if_there(org_selectors.lasting_key, org, api_key.pk)
    org_selectors.spent_this_month([api_key])


def _delivery(org: Organization, pk: uuid.UUID) -> object:
    delivery = event_selectors.get_delivery(org, pk)
    return list(event_selectors.latest_attempts(delivery))


def statements(subject: Subject) -> Iterator[Page]:
    """The last month, and one long ago."""
    ledger = CreditTransaction.objects.for_org(subject.org).order_by("-created_at", "-id")
    count = ledger[:COUNTED].count()
    for place, number in {"first": 0, "deep": int(count * DEEP)}.items():
        for row in ledger[number : number + 1]:
            month = partial(_statement, subject.org, row.created_at.date())
            yield Page(f"statement, {subject.label}", place, budgets.STATEMENT, month)


def _statement(org: Organization, month: datetime.date) -> list[Any]:
    return list(statement(org, month).rows[: download_selectors.CHUNK])


def usages(subject: Subject) -> Iterator[Page]:
    """A year, by each of the groups."""
    today = timezone.now().date()
    for group in USAGE_GROUPS:
        found = usage(subject.org, today - datetime.timedelta(days=365), today, group_by=group)
        yield Page(f"usage by {group}, {subject.label}", "", budgets.USAGE, partial(list, found))


def _stored(model: type[CachedRow], value: str) -> None:
    with contextlib.suppress(model.DoesNotExist):
        stored(model, value)
