"""Every page of the admin opens, with few queries, for every model there is."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from clipforge.devtools.testing.factories import make_api_key, make_organization, make_user
from clipforge.devtools.testing.rows import MAKERS
from clipforge.orgs.models import Organization, TierLimits, User

pytestmark = pytest.mark.django_db

MOST_QUERIES = 12


# Made by services or by the queue, never added by hand.
NO_ADDING = {
    "procrastinate.ProcrastinateJob",
    "orgs.APIKey",
    "orgs.IdempotencyRecord",
    "orgs.RefusedRequests",
    "audit.AuditEntry",
    "orgs.TierLimits",
    "projects.Project",
    "projects.Moment",
    "exports.Export",
    "credits.CreditAccount",
    "credits.CreditGrant",
    "credits.CreditTransaction",
    "credits.CreditHold",
    "credits.CreditReversal",
    "billing.Price",
    "billing.Subscription",
    "billing.PlanPeriod",
    "billing.BillingAccount",
    "billing.StripeEvent",
    "billing.Alert",
    "events.Endpoint",
    "events.Event",
    "events.Delivery",
}
every_model = pytest.mark.parametrize("label", MAKERS)


def page(label: str, name: str, *args: Any) -> str:
    return reverse(f"admin:{label.lower().replace('.', '_')}_{name}", args=args)


def open_page(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        response = client.get(url)
    texts = "\n".join(query["sql"][:150] for query in queries)
    assert len(queries) <= MOST_QUERIES, f"{url} takes {len(queries)} queries:\n{texts}"
    return response.status_code


def test_every_registered_model_has_a_maker():
    assert {model._meta.label for model in admin.site._registry} == set(MAKERS)


@every_model
def test_the_list_opens_in_12_queries_however_many_rows_it_shows(staff, label):
    for _ in range(3):
        MAKERS[label]()
    assert open_page(staff, page(label, "changelist")) == 200
    assert open_page(staff, page(label, "changelist") + "?q=nothing") == 200


@every_model
def test_the_page_of_a_row_opens_in_12_queries(staff, label):
    row = MAKERS[label]()
    assert open_page(staff, page(label, "change", row.pk)) == 200
    assert open_page(staff, page(label, "history", row.pk)) == 200


@every_model
def test_the_form_for_a_new_row_opens_in_12_queries_or_is_refused(staff, label):
    assert open_page(staff, page(label, "add")) == (403 if label in NO_ADDING else 200)


@every_model
def test_an_id_that_is_none_leads_back_to_the_index(staff, label):
    for pk in ("nonsense", "0", "00000000-0000-0000-0000-000000000000"):
        assert staff.get(page(label, "change", pk)).status_code == 302


@every_model
def test_who_is_not_signed_in_is_sent_to_sign_in(label):
    for url in (page(label, "changelist"), page(label, "add"), page(label, "change", 1)):
        response = Client().get(url)
        assert response.status_code == 302
        assert response["Location"] == f"/admin/login/?next={url}"


def test_a_customer_who_is_no_staff_is_sent_to_sign_in():
    client = Client()
    client.force_login(make_user())
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"


def test_an_api_key_opens_nothing_in_the_admin():
    new = make_api_key(make_organization())
    response = Client().get("/admin/", headers={"Authorization": f"Bearer {new.secret}"})
    assert response.status_code == 302


def test_the_index_opens(staff):
    assert open_page(staff, "/admin/") == 200


def test_the_list_of_keys_shows_no_secret_and_no_digest(staff):
    new = make_api_key(make_organization())
    for url in (page("orgs.APIKey", "changelist"), page("orgs.APIKey", "change", new.api_key.pk)):
        text = staff.get(url).content.decode()
        assert new.api_key.prefix in text
        assert new.secret[17:] not in text
        assert new.api_key.digest not in text


def test_two_users_can_be_added_each_with_an_address(staff):
    for name in ("ada", "bob"):
        response = staff.post(
            page("orgs.User", "add"),
            {
                "username": name,
                "email": f"{name}@example.com",
                "usable_password": "true",
                "password1": "correct horse battery",
                "password2": "correct horse battery",
                "audit_reason": "a new colleague",
            },
        )
        assert response.status_code == 302, response.content.decode()[:2000]
    assert set(User.objects.filter(is_staff=False).values_list("username", "email")) == {
        ("ada", "ada@example.com"),
        ("bob", "bob@example.com"),
    }


def test_the_form_of_an_organization_changes_its_name_and_nothing_that_an_action_is_for(staff):
    organization = make_organization(name="Acme", tier="PRO")
    response = staff.post(
        page("orgs.Organization", "change", organization.pk),
        {
            "name": "Acme Films",
            "slug": "acme-films",
            "tier": "ENTERPRISE",
            "rate_limit_override": "100000",
            "audit_reason": "they have a new name",
        },
    )
    assert response.status_code == 302
    found = Organization.objects.get()
    assert (found.name, found.slug) == ("Acme Films", "acme-films")
    assert (found.tier, found.is_active, found.rate_limit_override) == ("PRO", True, None)


def test_a_new_figure_for_a_tier_can_be_saved(staff):
    figures = {
        "requests_per_minute": 60,
        "uploads_per_minute": 5,
        "exports_per_minute": 10,
        "concurrent_jobs": 1,
        "queued_jobs": 10,
        "max_source_seconds": 1800,
        "max_resolution": 1080,
        "watermark": True,
        "retention_days": 7,
        "storage_bytes": 5_000_000_000,
        "monthly_credits": 60,
    }
    response = staff.post(
        page("orgs.TierLimits", "change", "FREE"),
        {"tier": "FREE", "audit_reason": "a trial of ten days", **figures},
    )
    assert response.status_code == 302
    assert TierLimits.objects.get(tier="FREE").requests_per_minute == 60


def test_a_page_that_is_not_there_is_html_for_people(staff):
    response = staff.get("/admin/nonsense/")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")
