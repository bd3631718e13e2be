"""Who is refused, whose work fails, and what it costs: each figure, and the rows that it leads to."""

from __future__ import annotations

import csv
import datetime
import html
import io
import re
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from billing import services as billing_services
from billing.models import Payment
from clipforge.audit.actor import Actor
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import (
    make_api_key,
    make_export,
    make_organization,
    make_project,
)
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.orgs.models import APIKey, Organization, RefusedRequests
from clipforge.staff.customers import selectors as customer_selectors
from clipforge.staff.customers import tables
from clipforge.staff.customers.selectors import HOURS, MONTH, SPANS, TODAY, WEEK
from clipforge.staff.tables import Cell, Table
from credits import services as credit_services
from credits.models import CreditTransaction, TransactionType
from exports.models import Export
from projects.models import Project

pytestmark = pytest.mark.django_db

NOW = datetime.datetime(2026, 11, 20, 12, 30, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
# The rows of the ledger have the time of PostgreSQL, which is not that of these tests.
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
PAGE = "/admin/customers/"
SYSTEM = Actor.of_system("test")


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def support() -> Any:
    return signed_in(make_staff("support"))


def refuse(
    org: Organization,
    count: int,
    *,
    ago: datetime.timedelta = datetime.timedelta(),
    key: APIKey | None = None,
    status: int = 429,
    code: str = "rate_limited",
    limit: str = "api",
) -> APIKey:
    key = key or make_api_key(org).api_key
    hour = (NOW - ago).replace(minute=0)
    RefusedRequests.objects.create(
        org=org, hour=hour, key=key, status=status, code=code, limit_name=limit, count=count
    )
    return key


def failed(job: Any, code: str, ago: datetime.timedelta = HOUR) -> Any:
    type(job)._default_manager.filter(pk=job.pk).update(
        status="FAILED", error_code=code, finished_at=NOW - ago
    )
    return job


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def rows_of(client: Any, cell: Cell) -> Any:
    response = client.get(cell.url)
    assert response.status_code == 200, cell.url
    return response.context["cl"]


# --- stretches of time ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "since"),
    [
        (HOURS, "2026-11-20T11:00"),
        (TODAY, "2026-11-20T00:00"),
        (WEEK, "2026-11-14T00:00"),
        (MONTH, "2026-10-22T00:00"),
    ],
)
def test_a_stretch_of_time_begins_with_an_hour_or_a_day_of_utc(span, since):
    assert f"{span.since(NOW):%Y-%m-%dT%H:%M}" == since


# --- refusals -----------------------------------------------------------------------------


def test_who_was_throttled_most_comes_first_and_each_figure_leads_to_its_rows(support):
    some, most = make_organization(name="Some"), make_organization(name="Most", tier="FREE")
    refuse(some, 5)
    refuse(most, 7, ago=2 * 24 * HOUR)
    refuse(most, 2)
    refuse(most, 9, status=402, code="insufficient_credits", limit="")
    refuse(most, 1000, ago=8 * 24 * HOUR)
    table = tables.throttled(WEEK, NOW)
    assert texts(table) == [
        ["Most", "Free", "9", "9", "0", "0", "18"],
        ["Some", "Pro", "5", "0", "0", "0", "5"],
    ]
    for row in table.rows:
        for cell in row[2:]:
            if cell.url and cell.value:
                assert rows_of(support, cell).sums[0].endswith(f"count {cell.value}")
    assert texts(tables.throttled(HOURS, NOW))[0] == ["Some", "Pro", "5", "0", "0", "0", "5"]
    assert texts(tables.refused(TODAY, NOW)) == [["Most", "Free", "2", "9", "0", "0", "11"]]


def test_an_hour_counts_from_its_beginning_and_none_before_the_last():
    org = make_organization(name="One")
    refuse(org, 1, ago=HOUR)
    refuse(org, 10, ago=2 * HOUR)
    assert [
        line.refused for line in customer_selectors.most_refused(HOURS.since(NOW), throttled=True)
    ] == [1]


def test_ten_organizations_are_shown_and_not_the_eleventh():
    for count in range(1, 12):
        refuse(make_organization(), count)
    found = customer_selectors.most_refused(WEEK.since(NOW), throttled=True)
    assert [line.throttled for line in found] == list(range(11, 1, -1))


def test_the_health_of_an_organization_tells_refusals_by_key_code_and_limit(support):
    org, other = make_organization(name="Acme"), make_organization()
    key = refuse(org, 3)
    refuse(org, 4, ago=3 * HOUR, key=key)
    refuse(org, 5, ago=6 * 24 * HOUR, key=key)
    refuse(org, 6, key=key, limit="exports")
    refuse(org, 2, key=key, status=402, code="insufficient_credits", limit="")
    refuse(other, 100)
    table = tables.refusals_of(org, NOW, lambda _: True)
    assert [row[:2] + row[3:7] for row in texts(table)] == [
        ["429 rate_limited", "api", "3", "7", "12", "12"],
        ["429 rate_limited", "exports", "6", "6", "6", "6"],
        ["402 insufficient_credits", "–", "2", "2", "2", "2"],
    ]
    for row in table.rows:
        assert key.prefix in row[2].text
        for cell in row[3:7]:
            assert rows_of(support, cell).sums[0].endswith(f"count {cell.value}")
    assert [row[-1].url.split("/")[-3:] for row in table.rows] == [
        [str(org.pk), "limit", ""],
        [str(org.pk), "tier", ""],
        ["credits", "grant", ""],
    ]
    page = support.get(f"/admin/organizations/{org.pk}/health/").content.decode()
    assert "2026-10-22 to 2026-11-20: 18 requests throttled, most on 2026-11-20 (13)" in page
    assert "2 requests refused for other reasons" in page


def test_what_helps_is_a_link_only_for_whom_it_would_let_in(support):
    org = make_organization()
    refuse(org, 1)
    leaked = refuse(org, 2, status=403, code="address_not_allowed", limit="")
    page = f"/admin/organizations/{org.pk}/health/"
    shown = support.get(page).content.decode()
    assert "Override the limit, or change tier" in shown
    assert f"/admin/organizations/{org.pk}/limit/" not in shown
    assert f"/admin/keys/{leaked.pk}/revoke/" in shown
    engineer = signed_in(make_staff("engineer")).get(page).content.decode()
    assert f"/admin/organizations/{org.pk}/limit/" in engineer
    APIKey.objects.filter(pk=leaked.pk).update(revoked_at=NOW)
    shown = support.get(page).content.decode()
    assert "(revoked)" in shown
    assert f"/admin/keys/{leaked.pk}/revoke/" not in shown


def test_the_refusals_of_a_key_that_is_gone_stay(support):
    org = make_organization()
    refuse(org, 3).delete()
    assert texts(tables.refusals_of(org, NOW, lambda _: True))[0][2] == "gone"
    listed = support.get(f"/admin/orgs/refusedrequests/?of={org.pk}")
    assert "gone" in listed.content.decode()


def test_the_page_of_an_organization_says_how_many_of_24_hours_and_leads_to_its_health(support):
    org = make_organization()
    refuse(org, 1200, ago=23 * HOUR)
    refuse(org, 5000, ago=24 * HOUR)
    refuse(org, 34, status=403, code="scope_missing", limit="")
    page = support.get(f"/admin/orgs/organization/{org.pk}/change/").content.decode()
    text = " ".join(html.unescape(re.sub("<[^>]+>", " ", page)).split())
    assert "Refused requests 1,234 in 24 hours 1,200 of them throttled Health" in text
    assert f'href="/admin/organizations/{org.pk}/health/"' in page


# --- failures -------------------------------------------------------------------------------


def test_failures_are_counted_by_code_and_lead_to_their_rows_and_to_rescue(support):
    org, other = make_organization(name="Acme"), make_organization()
    for ago in (HOUR, 3 * 24 * HOUR, 20 * 24 * HOUR):
        failed(make_project(org), "source_missing", ago)
    failed(make_project(other), "source_missing")
    failed(make_export(make_project(org)), "timed_out")
    found = customer_selectors.failures(WEEK.since(NOW))
    assert found == [
        ("project", "source_missing", 3, 2),
        ("export", "timed_out", 1, 1),
    ]
    table = tables.codes(WEEK, NOW)
    assert [(row[2].value, row[4].text) for row in table.rows] == [(3, "No"), (1, "Yes")]
    for row in table.rows:
        assert len(rows_of(support, row[2]).result_list) == row[2].value
        assert support.get(row[0].url).status_code == 200
    of_acme = tables.failures_of(org, NOW)
    assert {row[0].text: [cell.value for cell in row[2:5]] for row in of_acme.rows} == {
        "source_missing": [1, 2, 3],
        "timed_out": [1, 1, 1],
    }
    for row in of_acme.rows:
        for cell in row[2:5]:
            assert len(rows_of(support, cell).result_list) == cell.value
    assert texts(tables.failing(MONTH, NOW)) == [
        ["Acme", "Pro", "3", "1"],
        [other.name, "Pro", "1", "0"],
    ]


# --- cost and revenue -----------------------------------------------------------------------


def test_cost_stands_beside_what_it_brought(support):
    org = make_organization(name="Acme", credits_=50)
    project = make_project(org)
    for model, job, seconds in ((Project, project, 60), (Export, make_export(project), 30)):
        begun = NOW - HOUR
        model.objects.filter(pk=job.pk).update(
            created_at=begun,
            started_at=begun,
            finished_at=begun + datetime.timedelta(seconds=seconds),
        )
    credit_services.adjust(
        org=org, amount=-3, reason="One too many of them", actor=SYSTEM, idempotency_key="a"
    )
    payment = billing_services.record_payment(
        org=org,
        code="pack-100",
        reference="TR 1",
        paid_on=NOW.date(),
        reason="It came by transfer",
        actor=SYSTEM,
    )
    billing_services.reverse_payment(
        payment=payment, amount=100, reason="It bounced in part", actor=SYSTEM
    )
    Payment.objects.filter(pk=payment.pk).update(paid_at=NOW - HOUR)
    cost = customer_selectors.cost(org, LONG_AGO)
    assert cost is not None
    assert (cost.seconds, cost.jobs) == (90, 2)
    assert cost.paid == {"usd": 8_00}
    spends = CreditTransaction.objects.filter(org=org, type=TransactionType.SPEND)
    assert cost.spent == -spends.aggregate(sum=Sum("amount"))["sum"] > 0
    assert [line.org for line in customer_selectors.most_work(WEEK.since(NOW))] == [org.pk]
    (row,) = tables.work(WEEK, NOW).rows
    assert [cell.text for cell in row[:3]] == ["Acme", "Pro", "1:30"]
    assert row[-1].text == "$8.00"
    for cell in row:
        if cell.url:
            assert support.get(cell.url).status_code == 200
    # The ledger has PostgreSQL's clock.
    (row,) = tables.spending(WEEK, spends.latest("created_at").created_at).rows
    assert row[5].value == cost.spent
    assert sum(each.amount for each in rows_of(support, row[5]).result_list) == -cost.spent


def test_who_stores_most_and_who_spends_most_come_first():
    little, much = make_organization(credits_=50), make_organization(credits_=50)
    for org, size in ((little, 10), (much, 2_000)):
        project = make_project(org)
        Project.objects.filter(pk=project.pk).update(stored_bytes=size)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    stored = customer_selectors.most_stored(WEEK.since(NOW))
    assert [(line.org, line.stored) for line in stored[:2]] == [(much.pk, 2_000), (little.pk, 10)]
    make_export(make_project(little))
    spent = customer_selectors.most_spent(LONG_AGO)
    assert [line.org for line in spent] == [little.pk, much.pk]
    assert spent[0].spent > spent[1].spent > 0


# --- the pages ------------------------------------------------------------------------------


@pytest.mark.parametrize("span", [*SPANS, ""])
def test_the_page_has_each_table_for_each_stretch_of_time(support, span):
    response = support.get(PAGE, {"span": span} if span else {})
    assert response.status_code == 200
    assert [name for name, _, _ in response.context["tables"]] == list(tables.TABLES)
    assert response.content.decode().count("Nothing yet.") == len(tables.TABLES)


@pytest.mark.parametrize("asked", ["", "year", "7"])
def test_another_stretch_of_time_is_not_found(support, asked):
    assert support.get(PAGE, {"span": asked}).status_code == 404


@pytest.mark.parametrize("name", sorted(tables.TABLES))
def test_every_table_is_a_file_for_those_who_may_download_and_leaves_an_audit_row(support, name):
    org = make_organization(name="Acme")
    refuse(org, 1234)
    failed(make_project(org), "timed_out")
    assert support.get(f"{PAGE}{name}.csv").status_code == 403
    assert f"{PAGE}{name}.csv" not in support.get(PAGE).content.decode()
    finance = signed_in(make_staff("finance"))
    assert f"{PAGE}{name}.csv?span=week" in finance.get(PAGE).content.decode()
    response: Any = finance.get(f"{PAGE}{name}.csv?span=week")
    lines = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert len(lines) == len(tables.TABLES[name](WEEK, NOW).rows)
    entry = AuditEntry.objects.latest("id")
    assert (entry.verb, entry.after) == (f"export_{name}", {"from": "2026-11-14T00:00:00+00:00"})


def test_the_pages_are_closed_to_staff_without_a_role_and_there_is_none_of_no_organization(support):
    org = make_organization()
    nobody = signed_in(make_staff())
    for url in (PAGE, f"/admin/organizations/{org.pk}/health/"):
        assert nobody.get(url).status_code == 403
        assert support.post(url).status_code == 405
    missing = "/admin/organizations/00000000-0000-7000-8000-000000000000/health/"
    assert support.get(missing).status_code == 404


def test_the_page_of_an_organization_without_anything_says_nothing_yet(support):
    org = make_organization()
    page = support.get(f"/admin/organizations/{org.pk}/health/").content.decode()
    assert "Nothing happened: 2026-10-22 to 2026-11-20." in page
    assert page.count("Nothing yet.") == 2
    assert timezone.now() == NOW
