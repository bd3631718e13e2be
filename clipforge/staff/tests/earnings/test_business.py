"""The figures that the business earned and owes: each figure is the sum of the rows that it leads to."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import Sum
from django.utils import timezone

from billing.models import Payment, PaymentStatus
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.seeds import restore, vacuum
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.staff.earnings import selectors as earning_selectors
from clipforge.staff.earnings import tables
from clipforge.staff.earnings.selectors import Month
from credits.models import CreditAccount, CreditGrant, CreditTransaction
from credits.selectors import Meaning

pytestmark = pytest.mark.django_db

PAGE = "/admin/business/"
SIZES = {"orgs": 12, "projects": 150, "moments": 0, "transactions": 2500, "exports": 300}


@pytest.fixture(scope="module")
def seeded(seeds: None, django_db_blocker: Any) -> Iterator[None]:
    """Two years of twelve customers, for all tests that only read."""
    options = [f"--{name}={count}" for name, count in SIZES.items()]
    with django_db_blocker.unblock():
        vacuum()
        call_command("seed_load", *options, "--json", stdout=io.StringIO())
    yield
    with django_db_blocker.unblock():
        restore()


@pytest.fixture
def finance() -> Any:
    return signed_in(make_staff("finance"))


def months(count: int = 24) -> list[Month]:
    return earning_selectors.last_months(timezone.now(), count)


# --- against the ledger, over two years of many customers ------------------------------


@pytest.mark.usefixtures("seeded")
def test_the_credits_of_all_months_are_what_the_accounts_have():
    forever = months(30)
    found = earning_selectors.credits_by_month(forever, timezone.now())
    posted = CreditAccount.objects.aggregate(sum=Sum("posted"))["sum"]
    assert sum(month.change for month in found) == posted
    ledger = CreditTransaction.objects
    for meaning in earning_selectors.KINDS:
        rows = ledger.filter(Meaning(meaning).condition)
        expected = rows.aggregate(sum=Sum("amount", default=0))["sum"]
        assert sum(month.sums[meaning] for month in found) == expected
    assert all(sum(month.sums[kind] for month in found) for kind in earning_selectors.KINDS[:5:4])


@pytest.mark.usefixtures("seeded")
def test_what_is_remembered_of_months_that_are_over_is_what_they_come_to():
    now, some = timezone.now(), months(6)
    earning_selectors.forget(some, now)
    first = earning_selectors.credits_by_month(some, now)
    assert earning_selectors.credits_by_month(some, now) == first


@pytest.mark.usefixtures("seeded")
def test_the_unspent_credits_are_those_of_the_lots_and_of_the_accounts():
    found = earning_selectors.liability(timezone.now())
    totals = CreditAccount.objects.aggregate(posted=Sum("posted"), held=Sum("held"))
    assert sum(line.remaining for line in found) == totals["posted"]
    assert sum(line.held for line in found) == totals["held"]
    assert sum(line.lots for line in found) == CreditGrant.objects.filter(remaining__gt=0).count()


@pytest.mark.usefixtures("seeded")
def test_the_revenue_of_all_months_is_what_was_paid_less_what_went_back():
    found = earning_selectors.revenue(months(30))
    for currency in ("usd", "eur", "jpy"):
        of = Payment.objects.filter(status=PaymentStatus.PAID, currency=currency)
        expected = of.aggregate(
            settled=Sum("amount"), back=Sum("reversed_amount"), disputed=Sum("disputed_amount")
        )
        lines = [line for line in found if line.currency == currency]
        assert sum(line.payments for line in lines) == of.count()
        assert sum(line.settled for line in lines) == expected["settled"]
        assert sum(line.disputed for line in lines) == expected["disputed"]
        assert sum(line.refunded + line.disputed for line in lines) == expected["back"]
        assert sum(line.net for line in lines) == expected["settled"] - expected["back"]


@pytest.mark.usefixtures("seeded")
def test_every_figure_of_two_months_is_what_the_list_that_it_leads_to_adds_up(finance):
    now, two = timezone.now(), months(2)
    checked = 0
    for name, make in tables.TABLES.items():
        table = make(two, now)
        for row in table.rows:
            for heading, cell in zip(table.headings, row, strict=True):
                if cell.url and cell.is_number and cell.value:
                    assert_is_added_up(finance, name, heading, cell)
                    checked += 1
    assert checked > 50


def assert_is_added_up(finance: Any, name: str, heading: str, cell: Any) -> None:
    response = finance.get(cell.url)
    assert response.status_code == 200, cell.url
    (said,) = response.context["cl"].sums
    rows, _, sums = said.partition(": ")
    count, amounts = int(rows.split()[0].replace(",", "")), re.findall(r"[-¥€$\d.,]*\d", sums)
    about = f"{name} {heading} of {cell.url}: {said}"
    match heading:
        case "Payments" | "Plans" | "New" | "Churned" | "Lots":
            assert count == cell.value, about
        case "Refunded":  # went back, and what banks took of that
            back, disputed = (_minor(text) for text in amounts[1:3])
            assert back - disputed == cell.value, about
        case "Disputed":
            assert _minor(amounts[2]) == cell.value, about
        case "Net":
            assert _minor(amounts[0]) - _minor(amounts[1]) == cell.value, about
        case "Of that held":
            assert amounts[1] == cell.text, about
        case _:
            assert amounts[0] == cell.text, about


def _minor(text: str) -> int:
    return int(re.sub(r"[^\d-]", "", text))


# --- files ---------------------------------------------------------------------------


@pytest.mark.usefixtures("seeded")
def test_a_file_has_each_figure_as_it_is_counted_and_as_it_is_written(finance):
    response = finance.get(f"{PAGE}revenue.csv?months=24")
    lines = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    table = tables.revenue(months(24), timezone.now())
    assert len(lines) == len(table.rows) > 10
    for line, row in zip(lines, table.rows, strict=True):
        assert int(line["Net"]) == row[-1].value
        assert html.unescape(line["Net (written)"]) == row[-1].text
        assert "Payments (written)" not in line
    entry = AuditEntry.objects.latest("id")
    assert entry.verb == "export_revenue"


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("name", sorted(tables.TABLES))
def test_every_table_of_the_page_is_a_file_too(finance, name):
    assert f"{PAGE}{name}.csv?months=12" in finance.get(PAGE).content.decode()
    content = b"".join(finance.get(f"{PAGE}{name}.csv").streaming_content).decode()
    assert content.splitlines()[0].split(",")[0] in {"Month", "Organization", "Kind"}
