"""The ledger, projects and payments as CSV."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import tracemalloc
from typing import Any

import pytest
import time_machine
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing import services as billing_services
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import (
    TESTER,
    make_grant,
    make_organization,
    make_project,
    make_user,
)
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.orgs.models import User
from clipforge.staff.downloads import selectors as download_selectors
from credits.models import CreditTransaction
from credits.tests.makers import make_spend
from projects.models import Project

pytestmark = pytest.mark.django_db

SHEETS = {
    "ledger": download_selectors.LEDGER,
    "projects": download_selectors.PROJECTS,
    "payments": download_selectors.PAYMENTS,
}
every_sheet = pytest.mark.parametrize("name", SHEETS)


def url_of(name: str) -> str:
    return reverse(f"admin:export-{name}")


@pytest.fixture
def finance() -> Client:
    return signed_in(make_staff("finance"))


def rows_of(response: Any) -> list[dict[str, str]]:
    """The rows between the header and the last line, which is checked."""
    header, *rows, end = csv.reader(io.StringIO(b"".join(response).decode(), newline=""))
    assert end == [f"# end: {len(rows)} rows"]
    return [dict(zip(header, row, strict=True)) for row in rows]


def record_payment(org: Any, reference: str) -> Any:
    return billing_services.record_payment(
        org=org,
        code="pack-100",
        reference=reference,
        paid_on=timezone.now().date(),
        reason="paid by transfer",
        actor=TESTER,
    )


def test_the_ledger_has_every_transaction_the_oldest_first(finance):
    org = make_organization(name="Acme")
    make_grant(org, 100)
    make_spend(org, 30)
    make_grant(make_organization(), 7)
    with time_machine.travel(now := timezone.now(), tick=False):  # so that no day ends
        response = finance.get(url_of("ledger"))
    assert response["Content-Type"] == "text/csv"
    name = f"ledger-all-beginning-to-{now:%Y-%m-%d}.csv"
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    rows = rows_of(response)
    assert [(row["organization_slug"], row["type"], row["amount"]) for row in rows] == [
        ("acme", "GRANT", "100"),
        ("acme", "SPEND", "-30"),
        (rows[2]["organization_slug"], "GRANT", "7"),
    ]
    first = CreditTransaction.objects.order_by("pk")[0]
    assert rows[0]["created_at"] == first.created_at.isoformat()
    assert rows[0]["organization"] == str(org.pk)
    assert [row["balance_after"] for row in rows[:2]] == ["100", "70"]


def test_projects_have_what_each_is(finance):
    project = make_project(title='Talk, the "first"\nand best', status="FAILED")
    (row,) = rows_of(finance.get(url_of("projects")))
    assert (row["id"], row["title"]) == (str(project.pk), project.title)
    assert (row["status"], row["error_code"], row["seconds"]) == ("FAILED", "timed_out", "60.0")


def test_payments_have_what_was_paid_in_minor_units_and_as_people_write_it(finance):
    payment = record_payment(make_organization(), "INV 17")
    (row,) = rows_of(finance.get(url_of("payments")))
    assert (row["id"], row["reference"], row["status"]) == (str(payment.pk), "INV 17", "PAID")
    assert row["amount_in_minor_units"] == str(payment.amount) == "900"
    assert (row["amount"], row["reversed"]) == ("$9.00", "$0.00")
    assert row["paid_at"] == payment.paid_at.isoformat()


# --- which rows ------------------------------------------------------------------------


@every_sheet
@pytest.mark.parametrize("by", ["slug", "pk"])
def test_of_one_organization_alone(finance, name, by):
    org = make_organization(name="Acme")
    for each in (org, make_organization()):
        make_project(each)
        record_payment(each, f"of {each.pk}")
    response = finance.get(url_of(name), {"org": str(getattr(org, by)), "from": "", "to": ""})
    assert f"{name}-acme-" in response["Content-Disposition"]
    assert {row["organization"] for row in rows_of(response)} == {str(org.pk)}


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ({"from": "2026-03-02", "to": "2026-03-03"}, ["2", "3"]),
        ({"from": "2026-03-03"}, ["3", "4"]),
        ({"to": "2026-03-02"}, ["1", "2"]),
        ({"from": "2026-03-05"}, []),
    ],
)
@pytest.mark.parametrize("whose", [{}, {"org": "acme"}])
def test_between_two_days_both_included(finance, days, expected, whose):
    org = make_organization(name="Acme")
    for day in (1, 2, 3, 4):
        project = make_project(org, title=str(day))
        last = datetime.datetime(2026, 3, day, 23, 59, 59, 999999, tzinfo=datetime.UTC)
        Project.objects.filter(pk=project.pk).update(created_at=last)
    rows = rows_of(finance.get(url_of("projects"), {**days, **whose}))
    assert [row["title"] for row in rows] == expected


@every_sheet
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"org": "nobody"}, "No organization has this slug or id."),
        ({"org": "a\0b"}, "Null characters are not allowed."),
        ({"from": "yesterday"}, "Enter a valid date."),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "The first day is after the last."),
        ({"to": "9999-12-31"}, "Choose an earlier day, or none."),
        ({"form": "2026-03-02"}, "There is no filter called form."),
    ],
)
def test_a_filter_that_is_none_gives_no_file_and_says_why(finance, name, asked, said):
    response = finance.get(url_of(name), asked)
    assert (response.status_code, response["Content-Type"]) == (400, "text/html; charset=utf-8")
    assert said in response.content.decode()
    assert not AuditEntry.objects.exists()


# --- safe to open ----------------------------------------------------------------------


@pytest.mark.parametrize("start", "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
def test_no_text_becomes_a_formula(finance, start):
    title = f"{start}HYPERLINK(1)"
    make_project(title=title, source_name=title)
    make_grant(make_organization(), 1, reason=title, reference_id=f"{start}1")
    record_payment(make_organization(), title)
    assert rows_of(finance.get(url_of("projects")))[0]["title"] == f"'{title}"
    assert f"'{start}1" in {row["reference_id"] for row in rows_of(finance.get(url_of("ledger")))}
    # A reference is kept without the space around it.
    reference = f"'{title}" if start.strip() else "HYPERLINK(1)"
    assert rows_of(finance.get(url_of("payments")))[0]["reference"] == reference


def test_a_negative_amount_stays_a_number(finance):
    org = make_organization()
    make_grant(org, 100)
    make_spend(org, 30)
    assert rows_of(finance.get(url_of("ledger")))[1]["amount"] == "-30"


# --- any length ------------------------------------------------------------------------


@every_sheet
def test_however_many_rows_one_statement_reads_them_a_chunk_at_a_time(finance, name, monkeypatch):
    monkeypatch.setattr(download_selectors, "CHUNK", 2)
    org = make_organization()
    for number in range(5):
        make_project(org)
        record_payment(org, str(number))
    table = SHEETS[name].all_rows().model._meta.db_table
    with statements() as said:
        rows = rows_of(finance.get(url_of(name)))
    assert len(rows) >= 5
    assert said.count(f"SELECT {table}") == 1


@pytest.mark.breaks_ledger
def test_a_long_ledger_takes_no_more_memory_than_a_short_one(finance, monkeypatch):
    monkeypatch.setattr(download_selectors, "CHUNK", 200)
    peaks = []
    # The first one warms up.
    for count in (1, 800, 8000):
        org = make_organization()
        fill_ledger(org, count)
        tracemalloc.start()
        response = finance.get(url_of("ledger"), {"org": str(org.pk)})
        lines = sum(batch.count(b"\n") for batch in response)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert lines == count + 2
    assert peaks[2] < 1.5 * peaks[1]


def fill_ledger(org: Any, count: int) -> None:
    """So many movements, behind the back of the account."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO credits_credittransaction (org_id, type, amount, balance_after, org_seq,"
            " actor, idempotency_key, reason, reference_type,"
            " reference_id, price_version, inputs)"
            " SELECT %s, 'GRANT', 1, n, n, 'test', n, 'as agreed', '', '', '', '{}'"
            " FROM generate_series(1, %s) AS n",
            [org.pk, count],
        )


def test_rows_come_through_a_cursor_of_the_server_that_ends_with_the_reader():
    for _ in range(5):
        make_project()
    rows = download_selectors.streamed(Project.objects.order_by("pk").values_list("pk"))
    next(rows)
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement, is_holdable FROM pg_cursors WHERE name <> ''")
        ((statement, is_holdable),) = cursor.fetchall()
    assert ("projects_project" in statement, is_holdable) == (True, False)
    rows.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_cursors WHERE name <> ''")
        assert cursor.fetchone() == (0,)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_breaks_leaves_no_file_that_looks_whole(monkeypatch):
    monkeypatch.setattr(download_selectors, "CHUNK", 1)
    monkeypatch.setattr("clipforge.common.lists.csvs.BATCH", 1)
    for _ in range(3):
        make_project()
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    response = client.get(url_of("projects"))
    lines = iter(response)
    received = [next(lines), next(lines)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    end_backend(pid)
    with pytest.raises(OperationalError):
        received += list(lines)
    connection.close()
    assert len(received) < 4
    assert b"# end" not in b"".join(received)


def end_backend(pid: int) -> None:
    """From another connection."""
    other = connection.copy()
    with contextlib.closing(other), other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 60000)", [pid])
        assert cursor.fetchone() == (True,)


# --- who, and what is kept of it -------------------------------------------------------


@every_sheet
def test_each_download_is_written_down_with_its_filters(finance, name):
    org = make_organization(name="Acme")
    rows_of(finance.get(url_of(name), {"org": "acme", "from": "2026-01-01", "to": "2026-02-01"}))
    action = AuditEntry.objects.get()
    assert (action.verb, action.org, action.object_label) == (f"export_{name}", org, "Acme")
    assert action.after == {"organization": "acme", "from": "2026-01-01", "to": "2026-02-01"}
    assert action.actor == User.objects.get(is_staff=True)


@every_sheet
@pytest.mark.parametrize("role", ["support", "engineer"])
def test_who_may_not_export_gets_403_and_nothing_is_written_down(name, role):
    client = signed_in(make_staff(role))
    assert client.get(url_of(name)).status_code == 403
    assert client.get(reverse("admin:downloads")).status_code == 403
    assert not AuditEntry.objects.exists()


@every_sheet
def test_a_file_is_only_read(finance, name):
    for method in ("post", "put", "delete", "head"):
        assert getattr(finance, method)(url_of(name)).status_code == 405


@every_sheet
def test_who_is_not_signed_in_is_sent_to_sign_in(name):
    assert Client().get(url_of(name))["Location"].startswith("/admin/login/")


def test_the_form_offers_the_three_files(finance):
    text = finance.get(reverse("admin:downloads"), {"org": "acme"}).content.decode()
    for name in SHEETS:
        assert url_of(name) in text


@pytest.mark.parametrize(
    "path", ["credits/credittransaction", "projects/project", "billing/payment"]
)
def test_the_lists_lead_to_the_form_with_the_organization_that_they_show(path, finance):
    org = make_organization(name="Acme")
    for asked in ({"q": "acme"}, {"org__id__exact": str(org.pk)}):
        text = finance.get(f"/admin/{path}/", asked).content.decode()
        assert f'href="/admin/export/?org={org.pk}"' in text
    assert 'href="/admin/export/"' in finance.get(f"/admin/{path}/").content.decode()
    assert (
        "/admin/export/"
        not in signed_in(make_staff("support")).get(f"/admin/{path}/").content.decode()
    )
