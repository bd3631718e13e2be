"""Nothing is written in the admin without a reason and a row of the audit."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from clipforge.audit.admin import AuditedAdmin
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import make_api_key, make_organization, make_user
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.devtools.testing.staff_client import REASON
from clipforge.orgs.models import APIKey, Membership

pytestmark = pytest.mark.django_db


@pytest.fixture
def superuser() -> Any:
    return make_user(is_staff=True, is_superuser=True)


@pytest.fixture
def staff(superuser: Any) -> Client:
    return signed_in(superuser)


def test_whatever_a_superuser_can_write_asks_for_a_reason(superuser):
    request = RequestFactory().get("/admin/")
    request.user = superuser
    writable = {
        model._meta.label
        for model, page in admin.site._registry.items()
        if not isinstance(page, AuditedAdmin)
        and (
            page.has_add_permission(request)
            or page.has_change_permission(request)
            or page.has_delete_permission(request)
            or page.get_actions(request)
        )
    }
    assert writable == set()


def test_no_list_deletes_many_at_once(superuser):
    request = RequestFactory().get("/admin/")
    request.user = superuser
    for model, page in admin.site._registry.items():
        assert "delete_selected" not in page.get_actions(request), model


@pytest.fixture
def membership(db: None) -> Membership:
    return Membership.objects.create(
        user=make_user(email="ada@acme.example"), organization=make_organization(), role="owner"
    )


def delete(staff: Client, membership: Membership, **fields: str) -> Any:
    url = reverse("admin:orgs_membership_delete", args=[membership.pk])
    return staff.post(url, {"post": "yes", **fields})


def test_deleting_asks_for_a_reason_and_keeps_what_there_was(staff, membership):
    url = reverse("admin:orgs_membership_delete", args=[membership.pk])
    page = staff.get(url).content.decode()
    assert 'name="audit_reason"' in page
    for fields in ({}, {"audit_reason": "ok"}):
        assert delete(staff, membership, **fields)["Location"] == url
    assert "Nothing was deleted." in staff.get(url).content.decode()
    assert Membership.objects.exists()
    assert not AuditEntry.objects.exists()
    assert delete(staff, membership, audit_reason=REASON).status_code == 302
    assert not Membership.objects.exists()
    action = AuditEntry.objects.get()
    assert (action.verb, action.object_id, action.org, action.reason) == (
        "delete",
        str(membership.pk),
        membership.organization,
        REASON,
    )
    assert (action.before["role"], action.after) == ("owner", {})


def test_many_cannot_be_deleted_at_once(staff, membership):
    bulk = {"action": "delete_selected", "_selected_action": str(membership.pk), "post": "yes"}
    staff.post(reverse("admin:orgs_membership_changelist"), bulk)
    assert Membership.objects.exists()


def test_a_key_is_only_looked_at_and_its_page_leads_to_where_it_is_revoked(staff):
    key = make_api_key(make_organization()).api_key
    url = reverse("admin:orgs_apikey_change", args=[key.pk])
    revoke = reverse("admin:revoke-key", args=[key.pk])
    assert revoke in staff.get(url).content.decode()
    assert revoke in staff.get(reverse("admin:orgs_apikey_changelist")).content.decode()
    assert staff.post(url, {"name": "x", "audit_reason": REASON}).status_code == 403
    assert staff.post(url.replace("change", "delete"), {"post": "yes"}).status_code == 403
    assert APIKey.objects.get().name == key.name


# --- reading it -------------------------------------------------------------------------


def make_action(**fields: Any) -> AuditEntry:
    org = make_organization()
    return AuditEntry.objects.create(
        **{
            "actor": make_user(is_staff=True),
            "org": org,
            "verb": "change",
            "object_type": "orgs.organization",
            "object_id": str(org.pk),
            "object_label": str(org),
            "reason": REASON,
            **fields,
        }
    )


def test_what_was_done_is_read_as_a_table_of_before_and_after(staff):
    action = make_action(
        before={"tier": "PRO", "limit": None, "amount": 1234567},
        after={"tier": "<b>FREE</b>", "limit": 5, "members added": ["ada", "bob"], "is_on": True},
    )
    page = staff.get(reverse("admin:audit_auditentry_change", args=[action.pk])).content.decode()
    for row in (
        '<th scope="row">tier</th><td>PRO</td><td>&lt;b&gt;FREE&lt;/b&gt;</td>',
        '<th scope="row">limit</th><td>none</td><td>5</td>',
        '<th scope="row">amount</th><td>1,234,567</td><td></td>',
        '<th scope="row">members added</th><td></td><td>ada, bob</td>',
        '<th scope="row">is on</th><td></td><td>yes</td>',
    ):
        assert row in page


def found(staff: Client, words: str) -> int:
    page = staff.get(reverse("admin:audit_auditentry_changelist"), {"q": words})
    return int(page.context["cl"].result_count)


def test_what_was_done_is_found_by_the_id_of_its_object_and_of_its_request(staff):
    action = make_action(object_id="some-object", request_id="some-request")
    make_action(object_id="another", request_id="something else")
    assert found(staff, "some-object") == 1
    assert found(staff, "some-request") == 1
    assert found(staff, "SOME-OBJECT") == 0
    assert found(staff, "some") == 0
    assert action.pk


@pytest.mark.usefixtures("vacuumed")
def test_looking_for_an_id_reads_no_more_than_indexes(staff):
    make_action()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orgs_staffaction (actor_id, verb, object_type, object_id, object_label,"
            " before, after, reason, request_id)"
            " SELECT (SELECT min(id) FROM orgs_user), 'change', 'orgs.organization', 'o' || n, 'o',"
            " '{}', '{}', 'seeded for the plan', 'r' || n FROM generate_series(1, 20000) AS n"
        )
        cursor.execute("ANALYZE orgs_staffaction")
    with CaptureQueriesContext(connection) as asked:
        assert found(staff, "o777") == 1
    reads = [each["sql"] for each in asked if '"object_id" = ' in each["sql"]]
    assert reads
    for read in reads:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {read}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "orgs_staffaction_of_object" in plan
        assert "orgs_staffaction_request" in plan
        assert "Seq Scan on orgs_staffaction" not in plan


@pytest.mark.parametrize(("role", "offered"), [("support", True), ("finance", False)])
def test_links_to_change_a_key_are_shown_to_who_may_follow_them(role, offered):
    key = make_api_key(make_organization()).api_key
    client = signed_in(make_staff(role))
    listed = client.get(reverse("admin:orgs_apikey_changelist")).content.decode()
    assert (reverse("admin:revoke-key", args=[key.pk]) in listed) is offered
    shown = client.get(reverse("admin:orgs_apikey_change", args=[key.pk])).content.decode()
    for name in ("limit-key", "rotate-key", "revoke-key"):
        assert (reverse(f"admin:{name}", args=[key.pk]) in shown) is offered, name
