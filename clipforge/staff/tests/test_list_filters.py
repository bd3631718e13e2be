"""Every big list of the admin: whose rows, of which days, in which state, and what they come to."""

from __future__ import annotations

import datetime
import html
import re
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client, RequestFactory
from django.utils import timezone

from billing import services as billing_services
from clipforge.audit.actor import Actor
from clipforge.common import admin as common_admin
from clipforge.common.admin import BigTable
from clipforge.common.admin_filters import BetweenDays, Whose, first_uuid7
from clipforge.common.models import uuid7
from clipforge.devtools.testing.factories import (
    make_grant,
    make_organization,
    make_project,
    make_transactions,
)
from clipforge.orgs.models import Organization, User
from credits.models import CreditHold, CreditTransaction
from projects.models import Project

pytestmark = pytest.mark.django_db

LEDGER = "/admin/credits/credittransaction/"
PROJECTS = "/admin/projects/project/"
PAYMENTS = "/admin/billing/payment/"
HOLDS = "/admin/credits/credithold/"
DAY = datetime.timedelta(days=1)
NOON = datetime.datetime(2026, 11, 10, 12, tzinfo=datetime.UTC)

# Of a big list: the fields whose days can be chosen. Each of an organization's rows can be narrowed to one.
DAYS = {
    "audit.AuditEntry": ["created_at"],
    "billing.Alert": ["created_at"],
    "billing.BillingAccount": [],
    "billing.Payment": ["created_at", "paid_at"],
    "billing.PlanPeriod": ["created_at"],
    "billing.StripeEvent": ["received_at"],
    "billing.Subscription": ["created_at", "ended_at"],
    "credits.CreditAccount": [],
    "credits.CreditGrant": ["created_at"],
    "credits.CreditHold": ["created_at"],
    "credits.CreditReversal": ["created_at"],
    "credits.CreditTransaction": ["created_at"],
    "events.Delivery": ["created_at"],
    "events.Endpoint": ["created_at"],
    "events.Event": ["created_at"],
    "exports.Export": ["created_at", "finished_at"],
    "orgs.APIKey": ["created_at"],
    "orgs.IdempotencyRecord": ["created_at"],
    "orgs.Membership": ["created_at"],
    "orgs.Organization": ["created_at"],
    "orgs.RefusedRequests": ["hour"],
    "orgs.User": [],
    "procrastinate.ProcrastinateJob": [],
    "projects.Moment": [],
    "projects.Project": ["created_at", "finished_at"],
}
OF_NO_ORGANIZATION = {
    "orgs.Organization",
    "orgs.User",
    "procrastinate.ProcrastinateJob",
    "projects.Moment",
}


def changelist(client: Client, path: str, **params: str) -> Any:
    response = client.get(path, params)
    assert response.status_code == 200
    return response.context["cl"]


def shown(client: Client, path: str, **params: str) -> list[Any]:
    return [row.pk for row in changelist(client, path, **params).result_list]


def choices(client: Client, path: str, kind: Any, **params: str) -> dict[str, str]:
    """The choices that a filter offers: the words, and where each leads."""
    found = changelist(client, path, **params)
    spec: Any = next(spec for spec in found.filter_specs if isinstance(spec, kind))
    return {choice["display"]: choice["query_string"] for choice in spec.choices(found)}


def test_every_big_list_is_narrowed_by_days_and_by_organization_in_the_same_way():
    request: Any = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_staff=True)
    found, without_org = {}, set()
    for model, model_admin in admin.site._registry.items():
        if isinstance(model_admin, BigTable):
            label = model._meta.label
            filters = [
                each for each in model_admin.get_list_filter(request) if isinstance(each, type)
            ]
            found[label] = [each.field for each in filters if issubclass(each, BetweenDays)]
            if Whose not in filters:
                without_org.add(label)
    assert found == DAYS
    assert without_org == OF_NO_ORGANIZATION


# --- days ------------------------------------------------------------------------------


def ledger_rows(*times: datetime.datetime) -> list[int]:
    org = make_organization()
    make_transactions(org, *((at, "GRANT", 1) for at in times))
    return list(CreditTransaction.objects.for_org(org).order_by("id").values_list("pk", flat=True))


def test_days_are_those_of_utc_and_both_included_in_a_list_that_is_in_order_by_number(staff):
    midnight = NOON.replace(hour=0)
    instant = datetime.timedelta(microseconds=1)
    before, first, last, after = ledger_rows(
        midnight - instant, midnight, midnight + 2 * DAY - instant, midnight + 2 * DAY
    )
    days = {"created_at_from": "2026-11-10", "created_at_to": "2026-11-11"}
    assert shown(staff, LEDGER, **days) == [last, first]
    assert shown(staff, LEDGER, created_at_from="2026-11-12") == [after]
    assert shown(staff, LEDGER, created_at_to="2026-11-09") == [before]


def test_a_row_that_was_numbered_an_hour_late_is_found_on_its_day(staff):
    """Its transaction began before midnight, and wrote it after others of the next day."""
    late = NOON.replace(hour=23, minute=30) - DAY
    others = [NOON.replace(hour=0, minute=minute) for minute in range(5)]
    rows = ledger_rows(NOON - 2 * DAY, *others, late, *(at + DAY for at in others))
    days = {"created_at_from": "2026-11-09", "created_at_to": "2026-11-09"}
    assert shown(staff, LEDGER, **days) == [rows[6]]


def test_days_of_rows_with_an_id_of_their_time_are_found_by_it(staff):
    org = make_organization()
    make_grant(org, 10)
    for number in range(3):
        at = NOON + number * DAY
        make_hold(org, at)
    assert len(shown(staff, HOLDS)) == 3
    days = {"created_at_from": "2026-11-11", "created_at_to": "2026-11-11"}
    (found,) = changelist(staff, HOLDS, **days).result_list
    assert found.created_at == NOON + DAY


def make_hold(org: Organization, at: datetime.datetime) -> CreditHold:
    pk = first_uuid7(at).int | uuid7().int & (1 << 80) - 1
    return CreditHold.objects.create(
        id=type(uuid7())(int=pk),
        org=org,
        amount=1,
        status="RELEASED",
        resolved_at=at,
        actor="test",
        reason="for a test",
        idempotency_key=str(at),
        created_at=at,
        expires_at=at + DAY,
    )


def test_days_and_places_of_a_list_go_together(staff, monkeypatch):
    monkeypatch.setattr(admin.site._registry[Project], "list_per_page", 2)
    org = make_organization()
    projects = [make_project(org) for _ in range(5)]
    for number, project in enumerate(projects):
        Project.objects.filter(pk=project.pk).update(created_at=NOON - number * DAY)
    query, pages = "?created_at_from=2026-11-07&created_at_to=2026-11-09", []
    while query is not None:
        response = staff.get(PROJECTS + query)
        pages.append([row.pk for row in response.context["cl"].result_list])
        query = response.context["cl"].older
    assert pages == [[projects[1].pk, projects[2].pk], [projects[3].pk]]


def test_what_was_paid_on_some_days_is_shown_in_the_order_in_which_it_was_paid(staff):
    org, by = make_organization(), Actor.of_system("test")
    paid = {
        day: billing_services.record_payment(
            org=org,
            code="pack-100",
            reference=f"TR {day}",
            paid_on=datetime.date(2026, 11, day),
            reason="It arrived",
            actor=by,
        ).pk
        for day in (7, 3, 5)
    }
    days = {"paid_at_from": "2026-11-03", "paid_at_to": "2026-11-05"}
    assert shown(staff, PAYMENTS, **days) == [paid[5], paid[3]]


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "0001-01-01", "9999-12-31", "\0"])
def test_what_is_no_day_shows_the_list_with_an_error(staff, day):
    response = staff.get(LEDGER, {"created_at_from": day})
    assert (response.status_code, response["Location"]) == (302, f"{LEDGER}?e=1")


def test_an_end_without_a_beginning_and_days_in_the_wrong_order_are_no_mistake(staff):
    ledger_rows(NOON)
    assert shown(staff, LEDGER, created_at_from="2026-11-12", created_at_to="2026-11-08") == []
    assert len(shown(staff, LEDGER, created_at_from="", created_at_to="2026-11-10")) == 1


def test_one_click_chooses_today_a_week_or_a_month_and_keeps_what_else_is_chosen(staff):
    today = timezone.now().date()
    found = choices(staff, PROJECTS, BetweenDays, status__exact="READY")
    assert list(found) == ["Any day", "Today", "7 days", "30 days"]
    assert f"created_at_from={today - 6 * DAY}" in found["7 days"]
    assert "status__exact=READY" in found["7 days"]
    page = staff.get(PROJECTS, {"status__exact": "READY", "o": "7"}).content.decode()
    forms = re.findall(r'<form class="cf-filter".*?</form>', page, re.DOTALL)
    kept = '<input type="hidden" name="status__exact" value="READY">'
    assert [form.count(kept) for form in forms] == [1, 1, 1]


# --- whose -----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["acme-video", "ACME-video", "{pk}", "Acme Vid", " cme video "])
def test_an_organization_is_named_by_slug_id_or_a_part_of_its_name(staff, text):
    acme = make_organization(name="Acme Video")
    Organization.objects.filter(pk=acme.pk).update(slug="acme-video")
    make_grant(acme, 5)
    make_grant(make_organization(name="Other"), 7)
    found = changelist(staff, LEDGER, of=text.format(pk=acme.pk))
    assert [row.org_id for row in found.result_list] == [acme.pk]


def test_where_several_organizations_are_called_so_they_are_offered(staff):
    for name in ("Acme North", "Acme South"):
        make_grant(make_organization(name=name), 5)
    assert shown(staff, LEDGER, of="acme") == []
    assert {"Acme North", "Acme South"} <= set(choices(staff, LEDGER, Whose, of="acme"))
    assert "Choose one:" in staff.get(LEDGER, {"of": "acme"}).content.decode()


def test_a_name_of_nobody_finds_nothing_and_says_so(staff):
    make_grant(make_organization(), 5)
    page = staff.get(LEDGER, {"of": "<b>nobody</b>"}).content.decode()
    assert "No organization is called so." in page
    assert "<b>nobody" not in page
    assert shown(staff, LEDGER, of="nobody\0") == []


def test_customers_and_sandboxes_are_told_apart(staff):
    live, sandbox = make_organization(), make_organization()
    Organization.objects.filter(pk=sandbox.pk).update(sandbox_of=live)
    for org in (live, sandbox):
        make_grant(org, 5)
    for word, org in (("customers", live), ("sandboxes", sandbox)):
        found = changelist(staff, LEDGER, of=word).result_list
        assert [row.org_id for row in found] == [org.pk]


def test_links_to_the_rows_of_an_organization_still_choose_it(staff):
    org = make_organization(name="Linked")
    make_grant(org, 5)
    make_grant(make_organization(), 7)
    page = staff.get(LEDGER, {"org__id__exact": str(org.pk)})
    assert [row.org_id for row in page.context["cl"].result_list] == [org.pk]
    assert f'name="of" maxlength="200" value="{org.slug}"' in page.content.decode()
    assert shown(staff, LEDGER, org__id__exact=str(uuid7())) == []


# --- sums ------------------------------------------------------------------------------


def test_sums_are_of_all_pages_and_only_where_few_rows_are_chosen(staff, monkeypatch):
    monkeypatch.setattr(admin.site._registry[CreditTransaction], "list_per_page", 2)
    org = make_organization()
    for amount in (1000, 200, 34):
        make_grant(org, amount)
    assert changelist(staff, LEDGER).sums == [
        "For sums choose an organization, or 100 days at most."
    ]
    assert changelist(staff, LEDGER, of=org.slug).sums == ["3 rows: amount 1,234"]
    assert changelist(staff, LEDGER, q=org.slug).sums == ["3 rows: amount 1,234"]
    today = timezone.now().date()
    edge = today - 99 * DAY
    assert changelist(staff, LEDGER, created_at_from=f"{edge}").sums == ["3 rows: amount 1,234"]
    assert "choose" in changelist(staff, LEDGER, created_at_from=f"{edge - DAY}").sums[0]
    assert "3 rows: amount 1,234" in staff.get(LEDGER, {"of": org.slug}).content.decode()
    monkeypatch.setattr(common_admin, "MOST_SUMMED", 2)
    assert changelist(staff, LEDGER, of=org.slug).sums == [
        "More than 2 rows: choose fewer for sums."
    ]


def test_a_filter_that_is_slow_over_everything_is_there_once_an_organization_is(staff):
    org = make_organization()
    make_transactions(org, (NOON, "GRANT", 5), (NOON, "SPEND", -2))
    assert "By type" not in staff.get(LEDGER).content.decode()
    assert "By type" in staff.get(LEDGER, {"of": org.slug}).content.decode()
    found = changelist(staff, LEDGER, of=org.slug, type__exact="SPEND")
    assert found.sums == ["1 row: amount -2"]
    assert changelist(staff, LEDGER, of=org.slug, meaning="GIVEN").sums == ["1 row: amount 5"]
    assert staff.get(LEDGER, {"of": org.slug, "meaning": "X"})["Location"].endswith("?e=1")


# --- columns ---------------------------------------------------------------------------


def test_what_a_row_belongs_to_is_a_link_and_its_state_a_badge_with_its_word(staff):
    org = make_organization(name="<Acme> & sons")
    make_project(org, status="FAILED")
    page = staff.get(PROJECTS).content.decode()
    link = f'<a href="/admin/orgs/organization/{org.pk}/change/">{html.escape(str(org))}</a>'
    assert link in page
    assert '<span class="cf-badge cf-badge--bad">Failed</span>' in page
    assert "1:00" in page
    assert "1.0 kB" in page
