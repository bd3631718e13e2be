"""Every page: which code makes it, for which organization, from which place on."""

from __future__ import annotations

import contextlib
import datetime
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

from django.contrib import admin
from django.contrib.admin.templatetags.admin_list import results
from django.db.models import BooleanField, Count, Field, ManyToManyField, Model
from django.db.models.deletion import Collector
from django.http import Http404
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from rest_framework.request import Request

from billing import selectors as billing_selectors
from billing.caching import stored_pricing
from clipforge.common.admin import NEWER, OLDER
from clipforge.common.api.filters import AnyOf
from clipforge.common.api.pagination import DEFAULT_PAGE_SIZE, cursor_at, keyset_page
from clipforge.common.errors import Conflict, NotFound
from clipforge.common.models import CachedRow
from clipforge.devtools.query_plans import budgets
from clipforge.devtools.query_plans.budgets import Budget
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs.models import FAILED, QUEUED, Job
from clipforge.orgs.caching import stored
from clipforge.orgs.models import APIKey, Organization, TierLimits, User
from clipforge.orgs.principal import Principal
from clipforge.staff.approvals import views as approval_views
from clipforge.staff.downloads import selectors as download_selectors
from clipforge.staff.downloads.selectors import Selection
from clipforge.staff.models import MoneyRequest
from clipforge.staff.organizations import overview, timeline
from clipforge.staff.search.views import STRIPE, find
from clipforge.staff.work import selectors as work_selectors
from clipforge.staff.work.selectors import Kind, State
from credits import expiry
from credits.caching import stored_balance
from credits.models import CreditAccount, CreditTransaction
from credits.selectors import statement
from exports import selectors as export_selectors
from exports.models import Export
from exports.tasks import due_exports
from projects import selectors as project_selectors
from projects.models import Moment, Project

# How far down a list "deep" is, and how far we count to know.
DEEP, COUNTED = 0.9, 200_000
# A row of which something is looked for.
MIDDLE = 20
# What is asked for where there is no row: the same statement.
NOWHERE = uuid.UUID(int=0)

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
        yield from _statements(subject)
        yield from _organization(subject)
    yield Page("pricing", "", budgets.CATALOGUE, stored_pricing)
    yield from _queue()
    yield from _admin()
    yield from _movements()
    yield from _sheets()


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
        places["deep"] = keyset_page(queryset, view.keyset, count)[int(count * DEEP)]
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
    rows = keyset_page(queryset, view.keyset, DEFAULT_PAGE_SIZE, after=after)
    return list(rows.values_list(*view.keyset))


def _details(subject: Subject) -> Iterator[Page]:
    org = subject.org
    details: dict[str, Callable[[], object]] = {
        # What the caches load.
        "balance": partial(stored_balance, org.pk),
        "key": partial(_stored, APIKey, "00000000"),
        "organization": partial(_stored, Organization, str(org.pk)),
        "limits": partial(_stored, TierLimits, org.tier),
        "subscription": partial(billing_selectors.open_subscription, org),
    }
    payment = billing_selectors.payments(org).order_by("-created_at", "-id").first()
    details["payment"] = partial(
        _if_there, billing_selectors.get_payment, org, payment.pk if payment else NOWHERE
    )
    if project := subject.project:
        details["project"] = partial(project_selectors.get_project, org, project.pk)
        if moment := Moment.objects.filter(project=project).first():
            details["moment"] = partial(project_selectors.get_moment, org, moment.pk)
        collect = partial(Collector("default").collect, [project])
        yield Page(f"delete project, {subject.label}", "", budgets.ALL_OF_PROJECT, collect)
    if export := subject.export:
        details["export"] = partial(export_selectors.get_export, org, export.pk)
    for name, run in details.items():
        yield Page(f"{name}, {subject.label}", "", budgets.ONE, run)


def _if_there(read: Callable[..., object], *args: Any) -> None:
    with contextlib.suppress(NotFound, Http404):
        read(*args)


def _statements(subject: Subject) -> Iterator[Page]:
    """The last month, and one long ago."""
    ledger = CreditTransaction.objects.for_org(subject.org).order_by("-created_at", "-id")
    count = ledger[:COUNTED].count()
    for place, number in {"first": 0, "deep": int(count * DEEP)}.items():
        for row in ledger[number : number + 1]:
            month = partial(_statement, subject.org, row.created_at.date())
            yield Page(f"statement, {subject.label}", place, budgets.STATEMENT, month)


def _statement(org: Organization, month: datetime.date) -> list[Any]:
    return list(statement(org, month).rows[: download_selectors.CHUNK])


def _stored(model: type[CachedRow], value: str) -> None:
    with contextlib.suppress(model.DoesNotExist):
        stored(model, value)


# --- the queue and the clock -----------------------------------------------------------


def _queue() -> Iterator[Page]:
    works: list[type[Job]] = [Project, Export]
    for model in works:
        name = model.REFERENCE_TYPE
        yield Page(
            f"lapsed {name}s",
            "",
            budgets.QUEUE,
            partial(list, job_selectors.lapsed_jobs(model)[:100]),
        )
        for status in (QUEUED, model.RUNNING):
            aging = job_selectors.aging_jobs(model, status).values_list("hold_id")[:1000]
            yield Page(f"aging {name}s, {status}", "", budgets.QUEUE, partial(list, aging))
        waiting = model._default_manager.filter(status=QUEUED).order_by("-queued_at")
        if item := waiting.first():
            position = partial(job_selectors.queue_position, item)
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
        name = f"admin {model._meta.model_name}"
        rows = model._default_manager.order_by("-pk")
        if row := rows.first():
            change = partial(_respond, model_admin.change_view, str(row.pk))
            whole = budgets.ORGANIZATION if model is Organization else budgets.ADMIN_ONE
            yield Page(f"{name}, one", "", whole, change)
        for params in _admin_params(model, model_admin):
            yield from _changelist_pages(name, model_admin, params)
        for field, text in _admin_searches(model_admin):
            search = partial(_render, model_admin, {"q": text})
            yield Page(f"{name} search {field}", "", budgets.ADMIN_SEARCH, search)
        for field in model_admin.autocomplete_fields:
            for term in ("", "load", "load-1-7"):
                offer = partial(_offer, model, field, term)
                yield Page(f"{name} offers {field} {term}", "", budgets.ADMIN_SEARCH, offer)
    for shape, text in _sought():
        found = partial(_respond, find, params={"q": text})
        yield Page(f"admin find {shape}", "", budgets.ADMIN_SEARCH, found)


def _movements() -> Iterator[Page]:
    """Movements of credits that await a second person, one of them, and the form that makes them."""
    yield Page(
        "admin second person", "", budgets.ADMIN, partial(_respond, approval_views.movements)
    )
    last = MoneyRequest.objects.order_by("-id").first()
    one = partial(_if_there, _respond, approval_views.movement, last.pk if last else 0)
    yield Page("admin second person, one", "", budgets.ADMIN_ONE, one)
    for subject in subjects():
        form = partial(_respond, approval_views.grant_credits, subject.org.pk)
        yield Page(f"admin grant credits, {subject.label}", "", budgets.ADMIN_ONE, form)


def _sheets() -> Iterator[Page]:
    """What each CSV begins with: of all, of one organization, and of its last month."""
    now = timezone.now().date()
    month_ago = now - datetime.timedelta(days=30)
    selections = {"of all": Selection()}
    for subject in subjects():
        selections[f"of {subject.label}"] = Selection(subject.org)
        month = Selection(subject.org, month_ago, now)
        selections[f"of a month of {subject.label}"] = month
    for sheet in download_selectors.SHEETS:
        for whose, selection in selections.items():
            rows = download_selectors.rows_of_sheet(sheet, selection)[: download_selectors.CHUNK]
            yield Page(f"csv {sheet.name} {whose}", "", budgets.SHEET, partial(list, rows))


def _rescue() -> Iterator[Page]:
    """The staff's list of what failed and what is stuck: its first page, and one far down."""
    filters = {
        "": work_selectors.Filters(),
        "dead": work_selectors.Filters(states=frozenset({State.DEAD})),
    }
    filters["code"] = work_selectors.Filters(error_code="timed_out")
    failed = Project.objects.filter(status=FAILED).order_by("-finished_at", "-pk")
    count = failed[:COUNTED].count()
    if count > 2 * work_selectors.PAGE:
        row = failed[int(count * DEEP)]
        if row.finished_at is not None:
            place = work_selectors.Place(row.finished_at, Kind.PROJECT, str(row.pk))
            filters["deep"] = work_selectors.Filters(after=place)
        filters["organization"] = work_selectors.Filters(org=row.org_id)
    for name, asked in filters.items():
        yield Page(
            f"rescue {name}".strip(), "", budgets.RESCUE, partial(work_selectors.find, asked)
        )


def _organization(subject: Subject) -> Iterator[Page]:
    """Its page and its timeline, as staff see them; first what is added up and then remembered."""
    org, label = subject.org, subject.label
    yield Page(f"admin sums of organization, {label}", "", budgets.SUMS, partial(_sums, org))
    model_admin = admin.site._registry[Organization]
    change = partial(_respond, model_admin.change_view, str(org.pk))
    yield Page(f"admin organization, {label}", "", budgets.ORGANIZATION, change)
    name = f"admin timeline, {label}"
    yield Page(name, "first", budgets.TIMELINE, partial(timeline.page_of, org))
    ledger = CreditTransaction.objects.for_org(org)
    oldest_last = ledger.order_by("-created_at", "-id")
    if row := oldest_last[int(ledger[:COUNTED].count() * DEEP) :].first():
        place = timeline.Place(row.created_at, "ledger", row.pk)
        older, newer = (
            partial(timeline.page_of, org, before=place),
            partial(timeline.page_of, org, after=place),
        )
        yield Page(f"{name}, older", "deep", budgets.TIMELINE, older)
        yield Page(f"{name}, newer", "deep", budgets.TIMELINE, newer)


def _sums(org: Organization) -> None:
    overview.forget(org)
    overview.facts(org)
    overview.last_days(org)


def _changelist_pages(name: str, model_admin: Any, params: dict[str, str]) -> Iterator[Page]:
    asked = " ".join(f"{key.partition('__')[0]}={value[:13]}" for key, value in params.items())
    title = f"{name} {asked}".strip()
    yield Page(title, "first", budgets.ADMIN, partial(_render, model_admin, params))
    changelist = _changelist(model_admin, params)
    if getattr(changelist, "older", None):
        count = changelist.queryset.order_by()[:COUNTED].count()
        row = changelist.queryset[int(count * DEEP)]
        for way in (OLDER, NEWER):
            place = {way: changelist.place_text(row)}
            deep = partial(_render, model_admin, {**params, **place})
            yield Page(f"{title} {way}", "deep", budgets.ADMIN, deep)


def _admin_params(model: type[Model], model_admin: Any) -> Iterator[dict[str, str]]:
    """No filter, each value of each, each organization, and its values; and the other way round."""
    choices: list[dict[str, str]] = [{}]
    for name in model_admin.list_filter:
        field = cast("Field[Any, Any]", model._meta.get_field(name))
        values = [value for value, _ in field.flatchoices] if field.flatchoices else []
        if isinstance(field, BooleanField):
            values = [1, 0]
        if isinstance(field, ManyToManyField):
            values = list(field.related_model._default_manager.values_list("pk", flat=True))
        choices += [{f"{name}__exact": str(value)} for value in values]
    yield from choices
    for column in model_admin.sortable_by or ():
        shown = ["action_checkbox", *model_admin.list_display]
        offset = 0 if model_admin.get_actions(_staff_request()) else 1
        yield {"o": str(shown.index(column) - offset)}
    if org_field := getattr(model_admin, "org_field", None):
        for subject in subjects():
            org = {f"{org_field}__id__exact": str(subject.org.pk)}
            yield from ({**choice, **org} for choice in choices)


def _admin_searches(model_admin: Any) -> Iterator[tuple[str, str]]:
    """A text of a row in the middle for each way to be found, an organization, and a text of none."""
    if not model_admin.search_fields:
        return
    yield "nothing", "nowhere to be seen"
    if getattr(model_admin, "org_field", None):
        for subject in subjects():
            yield f"org, {subject.label}", subject.org.slug
    rows = model_admin.model._default_manager.order_by("-pk")
    for field in model_admin.search_fields:
        path = field.lstrip("=^~")
        for value in rows.values_list(path, flat=True)[MIDDLE : MIDDLE + 1]:
            if value:
                text = str(value)
                yield field, text if field.startswith("=") else text[: max(4, len(text) - 2)]


def _sought() -> Iterator[tuple[str, str]]:
    """Each shape of what can be typed into the box that finds everything."""
    yield "nothing", "nowhere to be seen"
    yield "id of nothing", "00000000-0000-7000-8000-000000000000"
    yield "number", "1"
    yield "letter", "l"
    yield "many", "load"
    yield "address of nobody", "nobody@example.com"
    for prefix in STRIPE:
        yield f"{prefix}…", f"{prefix}1234567890"
    for subject in subjects():
        yield f"slug, {subject.label}", subject.org.slug
        yield f"name, {subject.label}", subject.org.name
        yield f"id, {subject.label}", str(subject.org.pk)
        if member := subject.org.members.first():
            yield f"address, {subject.label}", member.email
        if subject.project:
            yield f"project, {subject.label}", str(subject.project.pk)
            yield f"title, {subject.label}", subject.project.title


def _changelist(model_admin: Any, params: dict[str, str]) -> Any:
    changelist = model_admin.get_changelist_instance(_staff_request(params))
    changelist.formset = None
    return changelist


def _staff_request(params: dict[str, str] | None = None) -> Any:
    request: Any = RequestFactory().get(reverse("admin:index"), params)
    request.user = User(pk=0, is_superuser=True, is_staff=True, is_active=True)
    return request


def _respond(view: Callable[..., Any], *args: Any, params: dict[str, str] | None = None) -> object:
    response = view(_staff_request(params), *args)
    return response.render() if hasattr(response, "render") else response


def _render(model_admin: Any, params: dict[str, str]) -> list[Any]:
    return list(results(_changelist(model_admin, params)))


def _offer(model: type[Model], field: str, term: str) -> object:
    """What a field offers to whoever types `term` into it."""
    meta = model._meta
    asked = {"app_label": meta.app_label, "model_name": str(meta.model_name), "field_name": field}
    return _respond(admin.site.autocomplete_view, params={**asked, "term": term})
