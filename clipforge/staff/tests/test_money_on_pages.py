"""Money on the pages of staff: never as a number of cents."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse

from billing import services as billing_services
from billing.models import Payment, Price
from clipforge.audit.forms import REASON as REASON_FIELD
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import REASON, TESTER
from clipforge.devtools.testing.rows import MAKERS
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.staff.tests.test_permissions import address, make_note, make_request, pages

pytestmark = pytest.mark.django_db

CENTS = re.compile(r"(?<![\w.-])(123,?456|65,?432)(?![\w-])")


@pytest.fixture
def world() -> dict[str, Any]:
    rows = {label.lower(): make() for label, make in MAKERS.items()}
    rows["staff.approvalrequest"] = make_request()
    rows["staff.note"] = make_note()
    Price.objects.filter(frozen_at=None).update(amount=123456)
    Payment.objects.update(amount=123456, reversed_amount=65432)
    return rows


def test_no_page_shows_a_number_of_cents(world):
    client = signed_in(make_staff("superuser"))
    org = world["billing.payment"].org
    urls = [
        address(page, world)
        for page in pages()
        if not {"run"} & set(page.args) and page.get != "-" and page.name != "autocomplete"
    ]
    urls += [
        reverse("admin:orgs_organization_change", args=[org.pk]),
        reverse("admin:organization-timeline", args=[org.pk]),
    ]
    texts = {}
    for url in urls:
        answer = client.get(url)
        if answer.status_code == 200 and not answer.streaming:
            texts[url] = answer.content.decode()
    assert {url: found for url in texts if (found := CENTS.findall(texts[url]))} == {}
    payments = texts[reverse("admin:billing_payment_changelist")]
    assert "$1,234.56" in payments
    assert "$654.32" in payments
    assert "$1,234.56" in texts[address_of(world["billing.payment"])]
    assert "$1,234.56" in texts[reverse("admin:billing_price_changelist")]


def address_of(row: Any) -> str:
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])


def form_of(page: Any) -> dict[str, Any]:
    form = page.context["adminform"].form
    return {name: form[name].value() for name in form.fields}


def test_the_amount_of_a_price_is_typed_as_it_is_shown():
    price = Price.objects.filter(is_active=True, currency="usd", amount__gt=0)[0]
    client = signed_in(make_staff("superuser"))
    page = client.get(address_of(price))
    values = form_of(page)
    assert values["amount"] == Decimal(price.amount) / 100
    values = {name: "" if value is None else value for name, value in values.items()}
    values |= {"amount": "12.345", REASON_FIELD: REASON}
    assert (
        "USD has 2 digits after the point"
        in client.post(address_of(price), values).content.decode()
    )
    done = client.post(address_of(price), values | {"amount": "1234.50"})
    assert done.status_code == 302
    sold = Price.objects.get(code=price.code, is_active=True)
    assert sold.amount == 123450
    entry = AuditEntry.objects.latest("pk")
    assert entry.after["amount"] == "$1,234.50"


def test_the_audit_says_what_went_back(organization):
    payment = billing_services.record_payment(
        org=organization,
        code="pack-100",
        reference="T 1",
        paid_on=datetime.date(2026, 1, 31),
        reason=REASON,
        actor=TESTER,
    )
    billing_services.reverse_payment(payment=payment, amount=450, reason=REASON, actor=TESTER)
    entry = AuditEntry.objects.latest("pk")
    assert (entry.before, entry.after) == ({"went back": "$0.00"}, {"went back": "$4.50"})
