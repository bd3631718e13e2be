"""GET /admin/find/: what a text leads to."""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from billing import services as billing_services
from billing.models import BillingAccount, Payment, StripeEvent, Subscription
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import (
    TESTER,
    make_api_key,
    make_export,
    make_moment,
    make_organization,
    make_project,
    make_user,
)
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.orgs.models import Membership, Organization, User
from clipforge.staff.search import views as search_views
from credits.models import CreditGrant, CreditHold, CreditTransaction

pytestmark = pytest.mark.django_db

FIND = "/admin/find/"
MOST_QUERIES = 12
REQUEST = "0198c1de-0000-7000-8000-000000000001"


@pytest.fixture
def staff() -> Client:
    return signed_in(make_staff("superuser", email="boss@clipforge.test"))


def client_with(*permissions: str) -> Client:
    return signed_in(make_staff(permissions=permissions, email="some@clipforge.test"))


def page_of(row: Any) -> str:
    return reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_change", args=[quote(row.pk)])


@dataclass
class World:
    """One of everything, all of it of one organization."""

    org: Organization
    secret: str
    prefix: str
    rows: dict[str, Any]


@pytest.fixture
def world(db: None) -> World:
    org = make_organization(name="Acme Films")
    owner = make_user(email="Ada@acme.example")
    Membership.objects.create(user=owner, organization=org, role="owner")
    project = make_project(org, title="Keynote of the year")
    new = make_api_key(org)
    payment = billing_services.record_payment(
        org=org,
        code="pack-100",
        reference="INV 2026/17",
        paid_on=timezone.now().date(),
        reason="paid by transfer",
        actor=TESTER,
    )
    price = payment.price
    subscription = Subscription.objects.create(
        org=org,
        price=price,
        method="STRIPE",
        status="ACTIVE",
        stripe_id="sub_1Abc",
        period_start=timezone.now(),
        period_end=timezone.now() + datetime.timedelta(days=30),
    )
    BillingAccount.objects.update_or_create(org=org, defaults={"stripe_customer_id": "cus_1Abc"})
    online = Payment.objects.create(
        org=org,
        price=price,
        method="STRIPE",
        amount=1,
        currency="usd",
        credits=1,
        actor="test",
        checkout_id="cs_1Abc",
        invoice_id="in_1Abc",
        payment_intent_id="pi_1Abc",
    )
    event = StripeEvent.objects.create(
        id="evt_1Abc", type="test", payload={}, created_at=timezone.now()
    )
    action = AuditEntry.objects.create(
        actor=make_user(email="old@clipforge.test", is_staff=True),
        org=org,
        verb="change",
        object_type="orgs.organization",
        object_id=str(org.pk),
        object_label="Acme Films",
        reason="asked by telephone",
        request_id=REQUEST,
    )
    rows = {
        "organization": org,
        "key": new.api_key,
        "project": project,
        "moment": make_moment(project),
        "export": make_export(make_project(org, title="Another")),
        "hold": CreditHold.objects.get(reference_id=str(project.pk)),
        "payment": payment,
        "online": online,
        "subscription": subscription,
        "event": event,
        "action": action,
        "ledger": CreditTransaction.objects.order_by("-pk").first(),
        "job": ProcrastinateJob.objects.order_by("-pk").first(),
    }
    return World(org, new.secret, new.api_key.prefix, rows)


# What is typed, and where it leads.
SHAPES = {
    "a whole name": ("Acme Films", "organization"),
    "a part of a name, in any case": ("cME fi", "organization"),
    "two words of a name": ("films  acme", "organization"),
    "the first two letters of a name": ("ac", "organization"),
    "a slug": ("acme-films", "organization"),
    "the beginning of a slug": ("acme-f", "organization"),
    "the address of a member": ("ada@ACME.example", "organization"),
    "the id of an organization": ("{organization.pk}", "organization"),
    "the same without dashes": (" {organization.pk.hex} ", "organization"),
    "a customer of Stripe": ("cus_1Abc", "organization"),
    "the prefix of a key": ("{key.prefix}", "key"),
    "the same with what all keys begin with": ("cf_live_{key.prefix}", "key"),
    "the beginning of the prefix": ("cf_live_{key.prefix:.5}", "key"),
    "the id of a key": ("{key.pk}", "key"),
    "the beginning of a title": ("keynote OF", "project"),
    "the id of a project": ("{project.pk}", "project"),
    "the id of a moment": ("{moment.pk}", "moment"),
    "the id of an export": ("{export.pk}", "export"),
    "the id of a hold": ("{hold.pk}", "hold"),
    "the id of a subscription": ("{subscription.pk}", "subscription"),
    "the id of a payment": ("{online.pk}", "online"),
    "the reference of a transfer": ("INV 2026/17", "payment"),
    "a checkout": ("cs_1Abc", "online"),
    "an invoice": ("in_1Abc", "online"),
    "a payment intent": ("pi_1Abc", "online"),
    "a subscription of Stripe": ("sub_1Abc", "subscription"),
    "an event of Stripe": ("evt_1Abc", "event"),
    "a number of the ledger": ("ledger {ledger.pk}", "ledger"),
    "the number of a job": ("Job #{job.pk}", "job"),
    "the id of a request": (REQUEST, "action"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_text_can_only_be_is_gone_to(staff, world, shape):
    typed, leads_to = SHAPES[shape]
    with CaptureQueriesContext(connection) as queries:
        response = staff.get(FIND, {"q": typed.format(**world.rows)})
    assert response.status_code == 302, response.content.decode()
    assert response["Location"] == page_of(world.rows[leads_to])
    assert len(queries) <= MOST_QUERIES


def test_of_what_is_gone_the_ledger_still_speaks(staff, world):
    project = world.rows["project"]
    reference = str(project.pk)
    project.delete()
    transaction = CreditTransaction.objects.get(reference_id=reference)
    assert staff.get(FIND, {"q": reference})["Location"] == page_of(transaction)


def found_in(response: Any) -> dict[str, list[str]]:
    """Of a page of results: the titles of the groups, and what they list."""
    return {group.title: [hit.name for hit in group.hits] for group in response.context["groups"]}


def test_several_matches_are_listed_the_likest_first(staff):
    for name in ("Northern Acme", "Acme Studios", "Acme"):
        make_organization(name=name)
    make_project(make_organization(name="Other"), title="Acme keynote")
    response = staff.get(FIND, {"q": "acme"})
    assert response.status_code == 200
    assert found_in(response) == {
        "Organizations": ["Acme", "Acme Studios", "Northern Acme"],
        "Projects": ["Acme keynote"],
    }


def test_who_belongs_to_several_organizations_leads_to_a_list_of_them(staff, world):
    second = make_organization(name="Beta")
    owner = world.org.members.get()
    Membership.objects.create(user=owner, organization=second, role="member")
    assert found_in(staff.get(FIND, {"q": owner.email})) == {
        "Organizations": ["Acme Films", "Beta"]
    }


def test_who_belongs_to_no_organization_is_gone_to(staff):
    loner = make_user(email="loner@nowhere.example")
    assert staff.get(FIND, {"q": "loner@nowhere.example"})["Location"] == page_of(loner)
    assert staff.get(FIND, {"q": "@nowhere"})["Location"] == page_of(loner)


def test_a_number_that_several_things_have_is_a_list(staff, world):
    number = world.rows["action"].pk
    if not CreditGrant.objects.filter(pk=number).exists():
        CreditGrant.objects.create(
            pk=number, org=world.org, kind="PROMO", amount=1, remaining=0, priority=1
        )
    assert {"What staff did", "Grants"} <= set(found_in(staff.get(FIND, {"q": str(number)})))


def test_more_than_is_shown_leads_to_the_list(staff):
    for number in range(search_views.SHOWN + 1):
        make_organization(name=f"Acme {number:02}")
    response = staff.get(FIND, {"q": "acme"})
    (group,) = response.context["groups"]
    assert len(group.hits) == search_views.SHOWN
    assert group.more == "/admin/orgs/organization/?q=acme"
    assert staff.get(group.more).context["cl"].result_count == search_views.SHOWN + 1


def test_nothing_typed_says_what_can_be(staff):
    response = staff.get(FIND)
    assert response.status_code == 200
    assert "What you can type" in response.content.decode()


def test_nothing_found_says_so(staff):
    response = staff.get(FIND, {"q": "nowhere to be seen"})
    assert "Nothing matches “nowhere to be seen”" in response.content.decode()


# --- what is typed is never trusted ----------------------------------------------------


def test_a_whole_key_leads_to_the_key_and_is_neither_shown_nor_logged(staff, world, caplog):
    caplog.set_level(logging.DEBUG)
    secret_part = world.secret.removeprefix(f"cf_live_{world.prefix}_")
    for typed in (world.secret, f"Authorization: Bearer {world.secret}", world.secret[:-3]):
        first = staff.get(FIND, {"q": typed})
        assert first["Location"] == f"{FIND}?q=cf_live_{world.prefix}"
        second = staff.get(first["Location"])
        assert second["Location"] == page_of(world.rows["key"])
        shown = staff.get(second["Location"]).content.decode()
        assert "You pasted a whole API key" in shown
        for text in (first.content.decode(), second.content.decode(), shown, caplog.text):
            assert secret_part[:10] not in text


def test_a_whole_key_in_the_search_of_a_list_does_not_stay_in_the_address(staff, world):
    url = reverse("admin:orgs_apikey_changelist")
    response = staff.get(url, {"q": world.secret, "o": "1"})
    assert response["Location"] == f"{url}?q=cf_live_{world.prefix}&o=1"
    assert staff.get(response["Location"]).context["cl"].result_count == 1


def test_markup_is_shown_as_it_was_typed(staff):
    text = staff.get(FIND, {"q": '"><script>alert(1)</script>'}).content.decode()
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text


@pytest.mark.parametrize("typed", ["\0", "Acme\0Films", "x" * 10_000, "🎬" * 201])
@pytest.mark.parametrize(
    "path",
    [
        FIND,
        "/admin/orgs/organization/",
        "/admin/credits/credittransaction/",
        "/admin/projects/project/",
    ],
)
def test_what_can_be_nowhere_is_not_found(staff, world, path, typed):
    response = staff.get(path, {"q": typed})
    assert response.status_code == 200
    assert response.context.get("groups", []) == []
    if (changelist := response.context.get("cl")) is not None:
        # Django's form refuses a NUL, says so, and shows the list unsearched.
        refused = "Null characters are not allowed." in response.content.decode()
        assert refused is ("\0" in typed)
        assert refused or changelist.result_count == 0


@pytest.mark.parametrize("typed", ["\0", "x" * 10_000])
def test_what_can_be_nowhere_is_not_offered_either(staff, world, typed):
    response = staff.get(
        "/admin/autocomplete/",
        {
            "app_label": "orgs",
            "model_name": "membership",
            "field_name": "organization",
            "term": typed,
        },
    )
    assert response.json()["results"] == []


@pytest.mark.parametrize(
    "typed",
    ["%", "_", "%%%", "\\", "'; DROP TABLE orgs_user; --", "99999999999999999999", "#", "İ"],
)
def test_odd_texts_find_nothing_and_break_nothing(staff, world, typed):
    response = staff.get(FIND, {"q": typed})
    assert response.status_code == 200
    assert found_in(response) == {}


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_it_is_only_read(staff, method):
    assert getattr(staff, method)(FIND, {"q": "acme"}).status_code == 405


# --- who may ---------------------------------------------------------------------------


def test_who_may_see_nothing_finds_nothing(world):
    client = client_with()
    for typed in ("Acme Films", str(world.org.pk), "ada@acme.example", "cus_1Abc", world.prefix):
        response = client.get(FIND, {"q": typed})
        assert (response.status_code, found_in(response)) == (200, {})


def test_only_what_one_may_see_is_found(world):
    client = client_with("projects.view_project")
    make_project(make_organization(name="Keynote"), title="Another keynote")
    assert client.get(FIND, {"q": "keynote"})["Location"] == page_of(world.rows["project"])


def test_support_finds_everything_in_12_queries(world):
    client = client_with()
    user = User.objects.get(email="some@clipforge.test")
    user.groups.add(Group.objects.get(name="support"))
    for typed, leads_to in SHAPES.values():
        with CaptureQueriesContext(connection) as queries:
            response = client.get(FIND, {"q": typed.format(**world.rows)})
        assert response["Location"] == page_of(world.rows[leads_to])
        assert len(queries) <= MOST_QUERIES


def test_who_is_not_signed_in_is_sent_to_sign_in(world):
    response = Client().get(FIND, {"q": "acme"})
    assert response["Location"] == "/admin/login/?next=/admin/find/%3Fq%3Dacme"
