"""Every page: which code makes it, for which organization, from which place on."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

from django.contrib import admin
from django.contrib.admin.templatetags.admin_list import results
from django.db.models import Count, Field, Model
from django.db.models.deletion import Collector
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from rest_framework.request import Request

from clipforge.common.api.filters import AnyOf
from clipforge.common.api.pagination import DEFAULT_PAGE_SIZE, cursor_at, page_of
from clipforge.common.errors import Conflict
from clipforge.common.models import CachedRow
from clipforge.orgs.caching import stored
from clipforge.orgs.models import APIKey, Organization, TierLimits, User
from clipforge.orgs.principal import Principal
from clipforge.plans import budgets
from clipforge.plans.budgets import Budget
from clipforge.staff import rescue
from clipforge.staff.rescue import Kind, State
from credits import expiry, paid_work
from credits.caching import stored_balance
from credits.models import CreditAccount
from exports import selectors as exports
from exports.models import Export
from exports.tasks import due_exports
from projects import selectors as projects
from projects.models import Moment, Project

OURS = {"orgs", "staff", "credits", "projects", "exports", "billing"}
# How far down a list "deep" is, and how far we count to know.
DEEP, COUNTED = 0.9, 200_000


Params = dict[str, str | list[str]]


class Page(NamedTuple):
    name: str
    place: str  # first, deep, or nothing where there is no list
    budget: Budget
    run: Callable[[], object]


@dataclass(frozen=True)
class Subject:
    """An organization whose pages are looked at, and what of it."""

    label: str
    org: Organization
    project: Project | None
    export: Export | None


def pages() -> Iterator[Page]:
    """All of them. Raises Conflict when there is nothing to look at."""
    for subject in subjects():
        yield from _api(subject)
        yield from _details(subject)
    yield from _queue()
    yield from _admin()


def subjects() -> list[Subject]:
    """The busiest organization and one in the middle: what a few pages hold, and what is scattered."""
    accounts = CreditAccount.objects.select_related("org").order_by("-version")
    count = accounts.count()
    if not count:
        raise Conflict("There is nothing to look at. manage.py seed_load fills an empty database.")
    found = {"busiest": accounts[0].org, "middle": accounts[count // 2].org}
    return [_subject(label, org) for label, org in found.items()]


def _subject(label: str, org: Organization) -> Subject:
    ready = projects.projects(org).filter(status=Project.Status.READY)
    # The one with the most to list.
    project = ready.annotate(found=Count("moments")).order_by("-found", "id").first()
    export = exports.exports(org).order_by("-created_at").first()
    return Subject(label, org, project, export)


# --- the API ---------------------------------------------------------------------------


class ListView(NamedTuple):
    """A list of the API, as the URLconf knows it."""

    name: str
    view_class: Any
    needs_project: bool


def list_views() -> list[ListView]:
    """Every view with a keyset, whichever app it is of."""
    found = []
    for pattern in _patterns(get_resolver().url_patterns):
        view_class = getattr(pattern.callback, "view_class", None)
        if hasattr(view_class, "keyset"):
            needs = "project_id" in pattern.pattern.converters
            found.append(ListView(str(pattern.name), view_class, needs))
    return found


def _patterns(entries: list[URLPattern | URLResolver]) -> Iterator[URLPattern]:
    for entry in entries:
        if isinstance(entry, URLResolver):
            yield from _patterns(entry.url_patterns)
        else:
            yield entry


def _api(subject: Subject) -> Iterator[Page]:
    for listed in list_views():
        if listed.needs_project and subject.project is None:
            continue
        for params in _filters(listed.view_class, subject):
            yield from _list(listed, subject, params)


def _filters(view_class: Any, subject: Subject) -> Iterator[Params]:
    """What a client may ask for: no filter, each value of each, a time, a project, and both."""
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
    if "project" in filters and subject.project is not None:
        project: Params = {"project": str(subject.project.pk)}
        yield project
        yield from ({**project, **choice} for choice in choices)


def _list(listed: ListView, subject: Subject, params: Params) -> Iterator[Page]:
    asked = " ".join(f"{name}={_short(value)}" for name, value in params.items())
    name = f"{listed.name} {asked}".strip() + f", {subject.label}"
    view = _view(listed, subject, params)
    queryset = view.filter_queryset(view.get_queryset())
    count = queryset.order_by()[:COUNTED].count()
    places: dict[str, Model | None] = {"first": None}
    if count > 2 * DEFAULT_PAGE_SIZE:
        places["deep"] = page_of(queryset, view.keyset, count)[int(count * DEEP)]
    for place, row in places.items():
        cursor = {} if row is None else {"cursor": cursor_at(view.request, row, view.keyset)}
        at = _view(listed, subject, {**params, **cursor})
        if any(isinstance(value, list) for value in params.values()):
            yield Page(name, place, budgets.MERGED, partial(_show, at))
            continue
        yield Page(name, place, budgets.LIST, partial(_show, at))
        yield Page(f"{name}: place", place, budgets.PLACE, partial(_find, at, row))


def _short(value: str | list[str]) -> str:
    return value[:10] if isinstance(value, str) else "|".join(value)


def _view(listed: ListView, subject: Subject, params: Params) -> Any:
    """The view as it is when it answers a client of the organization."""
    kwargs: dict[str, Any] = {}
    if listed.needs_project and subject.project is not None:
        kwargs["project_id"] = subject.project.pk
    request = Request(RequestFactory().get(reverse(listed.name, kwargs=kwargs), params))
    request.user = cast(
        "Any", Principal(APIKey(organization=subject.org, prefix="plans"), TierLimits())
    )
    view = listed.view_class()
    view.setup(request, **kwargs)
    view.request, view.format_kwarg = request, None
    return view


def _show(view: Any) -> object:
    rows = view.paginate_queryset(view.filter_queryset(view.get_queryset()))
    return view.get_serializer(rows, many=True).data


def _find(view: Any, row: Model | None) -> list[Any]:
    """The keys of a page alone: what finding it takes, whatever its rows look like."""
    queryset = view.filter_queryset(view.get_queryset()).select_related(None)
    after = None if row is None else [getattr(row, field) for field in view.keyset]
    rows = page_of(queryset, view.keyset, DEFAULT_PAGE_SIZE, after=after)
    return list(rows.values_list(*view.keyset))


def _details(subject: Subject) -> Iterator[Page]:
    org = subject.org
    details: dict[str, Callable[[], object]] = {
        # What the caches load.
        "balance": partial(stored_balance, org.pk),
        "key": partial(_stored, APIKey, "00000000"),
        "organization": partial(_stored, Organization, str(org.pk)),
        "limits": partial(_stored, TierLimits, org.tier),
    }
    if project := subject.project:
        details["project"] = partial(projects.get_project, org, project.pk)
        if moment := Moment.objects.filter(project=project).first():
            details["moment"] = partial(projects.get_moment, org, moment.pk)
        collect = partial(Collector("default").collect, [project])
        yield Page(f"delete project, {subject.label}", "", budgets.ALL_OF_PROJECT, collect)
    if export := subject.export:
        details["export"] = partial(exports.get_export, org, export.pk)
    for name, run in details.items():
        yield Page(f"{name}, {subject.label}", "", budgets.ONE, run)


def _stored(model: type[CachedRow], value: str) -> None:
    with contextlib.suppress(model.DoesNotExist):
        stored(model, value)


# --- the queue and the clock -----------------------------------------------------------


def _queue() -> Iterator[Page]:
    works: list[type[paid_work.PaidWork]] = [Project, Export]
    for model in works:
        name = model.REFERENCE_TYPE
        yield Page(
            f"lapsed {name}s", "", budgets.QUEUE, partial(list, paid_work.lapsed_work(model)[:100])
        )
        for status in (paid_work.QUEUED, model.RUNNING):
            aging = paid_work.aging_work(model, status).values_list("hold_id")[:1000]
            yield Page(f"aging {name}s, {status}", "", budgets.QUEUE, partial(list, aging))
        waiting = model._default_manager.filter(status=paid_work.QUEUED).order_by("-queued_at")
        if item := waiting.first():
            position = partial(paid_work.queue_position, item)
            yield Page(f"queue position of {name}", "", budgets.QUEUE, position)
    due = {
        "due holds": expiry.due_holds().order_by("expires_at"),
        "due grants": expiry.due_grants().order_by("expires_at"),
        "due exports": due_exports(),
    }
    for name, queryset in due.items():
        yield Page(name, "", budgets.QUEUE, partial(list, queryset[:1000]))


# --- the admin -------------------------------------------------------------------------


def _admin() -> Iterator[Page]:
    yield Page("admin index", "", budgets.DASHBOARD, partial(_respond, admin.site.index))
    yield from _rescue()
    for model, model_admin in admin.site._registry.items():
        if model._meta.app_label not in OURS:
            continue
        name = f"admin {model._meta.model_name}"
        if row := model._default_manager.order_by("-pk").first():
            change = partial(_respond, model_admin.change_view, str(row.pk))
            yield Page(f"{name}, one", "", budgets.ADMIN_ONE, change)
        for params in _admin_filters(model, model_admin):
            asked = " ".join(f"{key.partition('__')[0]}={value}" for key, value in params.items())
            budget = budgets.ADMIN_FILTERED if params else budgets.ADMIN
            title = f"{name} {asked}".strip()
            yield Page(title, "first", budget, partial(_render, model_admin, params))
            last = _changelist(model_admin, params).paginator.num_pages
            if last > 1:
                deep = partial(_render, model_admin, {**params, "p": str(last)})
                yield Page(title, "deep", budget, deep)


def _rescue() -> Iterator[Page]:
    """The staff's list of what failed and what is stuck: its first page, and one far down."""
    filters = {"": rescue.Filters(), "dead": rescue.Filters(states=frozenset({State.DEAD}))}
    filters["code"] = rescue.Filters(error_code="timed_out")
    failed = Project.objects.filter(status=paid_work.FAILED).order_by("-finished_at", "-pk")
    count = failed[:COUNTED].count()
    if count > 2 * rescue.PAGE:
        row = failed[int(count * DEEP)]
        if row.finished_at is not None:
            place = rescue.Place(row.finished_at, Kind.PROJECT, str(row.pk))
            filters["deep"] = rescue.Filters(after=place)
        filters["organization"] = rescue.Filters(org=row.org_id)
    for name, asked in filters.items():
        yield Page(f"rescue {name}".strip(), "", budgets.RESCUE, partial(rescue.find, asked))


def _admin_filters(model: type[Model], model_admin: Any) -> Iterator[dict[str, str]]:
    yield {}
    for name in model_admin.list_filter:
        if isinstance(name, str):
            field = cast("Field[Any, Any]", model._meta.get_field(name))
            for value, _ in field.flatchoices:
                yield {f"{name}__exact": str(value)}


def _changelist(model_admin: Any, params: dict[str, str]) -> Any:
    changelist = model_admin.get_changelist_instance(_staff_request(params))
    changelist.formset = None
    return changelist


def _staff_request(params: dict[str, str] | None = None) -> Any:
    request: Any = RequestFactory().get(reverse("admin:index"), params)
    request.user = User(is_superuser=True, is_staff=True, is_active=True)
    return request


def _respond(view: Callable[..., Any], *args: str) -> object:
    return view(_staff_request(), *args).render()


def _render(model_admin: Any, params: dict[str, str]) -> list[Any]:
    return list(results(_changelist(model_admin, params)))
