"""The pages of staff: the admin, the rescue queue, organizations, search and downloads."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.templatetags.admin_list import results
from django.db.models import BooleanField, Field, ManyToManyField, Model
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from clipforge.common.admin import NEWER, OLDER
from clipforge.common.admin_filters import BetweenDays
from clipforge.devtools.query_plans import budgets
from clipforge.devtools.query_plans.subjects import COUNTED, DEEP, Page, Subject, if_there, subjects
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs.kinds import all_kinds
from clipforge.orgs.models import Organization, User
from clipforge.staff.approvals import views as approval_views
from clipforge.staff.customers import selectors as customer_selectors
from clipforge.staff.customers import tables as customer_tables
from clipforge.staff.customers import views as customer_views
from clipforge.staff.downloads import selectors as download_selectors
from clipforge.staff.downloads.selectors import Selection
from clipforge.staff.earnings import selectors as earning_selectors
from clipforge.staff.earnings import tables as earning_tables
from clipforge.staff.earnings import views as earning_views
from clipforge.staff.earnings.selectors import Month
from clipforge.staff.models import ApprovalRequest
from clipforge.staff.organizations import overview, timeline
from clipforge.staff.search.views import STRIPE, find
from clipforge.staff.work import selectors as work_selectors
from clipforge.staff.work.selectors import State
from credits.models import CreditTransaction

# The most that the page of the business offers.
BUSINESS_MONTHS = 24
# A row of which something is looked for.
MIDDLE = 20


def admin_pages() -> Iterator[Page]:
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


def approval_pages() -> Iterator[Page]:
    """The requests that await two-person approval, one of them, and the form that makes them."""
    yield Page("admin approvals", "", budgets.ADMIN, partial(_respond, approval_views.approvals))
    last = ApprovalRequest.objects.order_by("-id").first()
    one = partial(if_there, _respond, approval_views.approval, last.pk if last else 0)
    yield Page("admin approvals, one", "", budgets.ADMIN_ONE, one)
    for subject in subjects():
        form = partial(_respond, approval_views.grant_credits, subject.org.pk)
        yield Page(f"admin grant credits, {subject.label}", "", budgets.ADMIN_ONE, form)


def download_pages() -> Iterator[Page]:
    """The first rows of each CSV: of all organizations, of one, and of its last month."""
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


def business_pages() -> Iterator[Page]:
    """The whole page, and each of its tables: with what is remembered, and once without."""
    now = timezone.now()
    months = earning_selectors.last_months(now, BUSINESS_MONTHS)
    page = partial(_respond, earning_views.business)
    for name, table in earning_tables.TABLES.items():
        read: Callable[[], object] = partial(table, months, now)
        budget = budgets.BUSINESS
        if name == "credits":
            read, budget = partial(_anew, read, months, now), budgets.BUSINESS_CREDITS
        yield Page(f"admin business {name}", "", budget, read)
    yield Page("admin business", "", budgets.BUSINESS_PAGE, page)


def customer_pages() -> Iterator[Page]:
    """The whole page, and each of its tables, of the longest stretch of time that it offers."""
    now = timezone.now()
    for name, table in customer_tables.TABLES.items():
        read = partial(table, customer_selectors.MONTH, now)
        yield Page(f"admin customers {name}", "", budgets.CUSTOMERS, read)
    page = partial(_respond, customer_views.customers, params={"span": "month"})
    yield Page("admin customers", "", budgets.CUSTOMERS_PAGE, page)
    for subject in subjects():
        health = partial(_respond, customer_views.health, subject.org.pk)
        yield Page(f"admin health, {subject.label}", "", budgets.HEALTH, health)


def _anew(read: Callable[[], object], months: list[Month], now: datetime.datetime) -> object:
    earning_selectors.forget(months, now)
    return read()


def _rescue() -> Iterator[Page]:
    """The staff's list of what failed and what is stuck: its first page, and one far down."""
    filters = {
        "": work_selectors.Filters(),
        "dead": work_selectors.Filters(states=frozenset({State.DEAD})),
    }
    filters["code"] = work_selectors.Filters(error_code="timed_out")
    for kind in all_kinds():
        failed = job_selectors.failed_jobs(kind.model).order_by("-finished_at", "-pk")
        count = failed[:COUNTED].count()
        if count > 2 * work_selectors.PAGE:
            row = failed[int(count * DEEP)]
            if row.finished_at is not None:
                place = work_selectors.RescuePosition(row.finished_at, kind.name, str(row.pk))
                filters[f"deep {kind.name}"] = work_selectors.Filters(after=place)
            filters[f"organization {kind.name}"] = work_selectors.Filters(org=row.org_id)
    for name, asked in filters.items():
        yield Page(
            f"rescue {name}".strip(), "", budgets.RESCUE, partial(work_selectors.find, asked)
        )


def organization_pages(subject: Subject) -> Iterator[Page]:
    """Its page and its timeline, as staff see them; first what is added up and then remembered."""
    org, label = subject.org, subject.label
    yield Page(f"admin sums of organization, {label}", "", budgets.SUMS, partial(_sums, org))
    model_admin = admin.site._registry[Organization]
    change = partial(_respond, model_admin.change_view, str(org.pk))
    yield Page(f"admin organization, {label}", "", budgets.ORGANIZATION, change)
    name = f"admin timeline, {label}"
    yield Page(name, "first", budgets.TIMELINE, partial(timeline.timeline_page, org))
    ledger = CreditTransaction.objects.for_org(org)
    oldest_last = ledger.order_by("-created_at", "-id")
    if row := oldest_last[int(ledger[:COUNTED].count() * DEEP) :].first():
        place = timeline.TimelinePosition(row.created_at, "ledger", row.pk)
        older, newer = (
            partial(timeline.timeline_page, org, before=place),
            partial(timeline.timeline_page, org, after=place),
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
    has_sums = params and getattr(model_admin, "summed", None)
    budget = budgets.ADMIN_SUMMED if has_sums else budgets.ADMIN
    yield Page(title, "first", budget, partial(_render, model_admin, params))
    changelist = _changelist(model_admin, params)
    if getattr(changelist, "older", None):
        count = changelist.queryset.order_by()[:COUNTED].count()
        row = changelist.queryset[int(count * DEEP)]
        for way in (OLDER, NEWER):
            place = {way: changelist.place_text(row)}
            deep = partial(_render, model_admin, {**params, **place})
            yield Page(f"{title} {way}", "deep", budget, deep)


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
            yield from ({**choice, **org} for choice in _narrow_choices(model, model_admin))
    for between in _days_of(model_admin):
        # A day of a month ago and one of a year ago: the list begins in the middle of the table.
        for back in (30, 365):
            day = (timezone.now() - datetime.timedelta(days=back)).date()
            start, end = between.parameters()
            yield {start: (day - datetime.timedelta(days=2)).isoformat(), end: day.isoformat()}


def _narrow_choices(model: type[Model], model_admin: Any) -> Iterator[dict[str, str]]:
    """Each value of the filters that are there for one organization."""
    for each in getattr(model_admin, "narrow_filter", ()):
        if isinstance(each, str) and "__" not in each:
            field = cast("Field[Any, Any]", model._meta.get_field(each))
            yield from ({f"{each}__exact": str(value)} for value, _ in field.flatchoices or ())


def _days_of(model_admin: Any) -> list[type[BetweenDays]]:
    filters = model_admin.get_list_filter(_staff_request())
    return [each for each in filters if isinstance(each, type) and issubclass(each, BetweenDays)]


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
        path = field.lstrip("=^~%")
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
    yield "unknown address", "nobody@example.com"
    yield "unknown domain", "nowhere.example"
    yield "beginning of an id", "01a2c0de"
    for prefix in STRIPE:
        yield f"{prefix}…", f"{prefix}1234567890"
    for subject in subjects():
        yield f"slug, {subject.label}", subject.org.slug
        yield f"name, {subject.label}", subject.org.name
        yield f"slip, {subject.label}", f"{subject.org.name[:3]}~{subject.org.name[3:]}"
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
    request.session = {}
    request.user = User(pk=0, is_superuser=True, is_staff=True, is_active=True)
    return request


def _respond(view: Callable[..., Any], *args: Any, params: dict[str, str] | None = None) -> object:
    response = view(_staff_request(params), *args)
    return response.render() if hasattr(response, "render") else response


def _render(model_admin: Any, params: dict[str, str]) -> list[Any]:
    return list(results(_changelist(model_admin, params)))


def _offer(model: type[Model], field: str, term: str) -> object:
    """The autocomplete answer of a field for `term`."""
    meta = model._meta
    asked = {"app_label": meta.app_label, "model_name": str(meta.model_name), "field_name": field}
    return _respond(admin.site.autocomplete_view, params={**asked, "term": term})
