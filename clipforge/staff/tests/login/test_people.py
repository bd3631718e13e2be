"""Accounts and groups: staff give no more than they have, and every change leaves a row."""

from __future__ import annotations

from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import (
    TESTER,
    make_api_key,
    make_organization,
    make_user,
)
from clipforge.devtools.testing.staff import PASSWORD, make_staff, signed_in
from clipforge.orgs import services as org_services
from clipforge.orgs.models import Membership, User

pytestmark = pytest.mark.django_db

REASON = "moved to another team"
NEW = "a better horse battery"


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def url_of(user: User, name: str = "admin:orgs_user_change") -> str:
    return reverse(name, args=[user.pk])


def save(client: Client, user: User, **fields: Any) -> int:
    """Send the form of a person as it is, with other fields."""
    form = {
        "username": user.username,
        "email": user.email,
        "is_active": "on",
        "is_staff": "on" if user.is_staff else "",
        "groups": [group.pk for group in user.groups.all()],
        "audit_reason": REASON,
        **fields,
    }
    if not form["is_staff"]:
        del form["is_staff"]
    return client.post(url_of(user), form).status_code


def group(name: str) -> Group:
    return Group.objects.get(name=name)


def stronger() -> Group:
    """A group that may do what no role may."""
    made = Group.objects.create(name="owners")
    made.permissions.add(Permission.objects.get(codename="change_group"))
    return made


@pytest.fixture
def admin() -> Client:
    return signed_in(make_staff("admin"))


def test_an_admin_gives_a_colleague_a_group_and_it_leaves_before_and_after(admin):
    colleague = make_staff("support")
    groups = [group("support").pk, group("finance").pk]
    assert save(admin, colleague, groups=groups) == 302
    assert set(colleague.groups.values_list("name", flat=True)) == {"support", "finance"}
    action = AuditEntry.objects.get()
    assert (action.verb, action.object_id, action.reason) == ("change", str(colleague.pk), REASON)
    assert action.before == {"groups": ["support"]}
    assert sorted(action.after["groups"]) == ["finance", "support"]


def test_without_a_reason_nothing_is_saved(admin):
    colleague = make_staff("support")
    assert save(admin, colleague, groups=[group("finance").pk], audit_reason="") == 200
    assert colleague.groups.get().name == "support"


def test_who_is_no_superuser_neither_sees_nor_sets_what_makes_one(admin):
    colleague = make_staff("support")
    text = admin.get(url_of(colleague)).content.decode()
    assert 'name="groups"' in text
    assert 'name="is_superuser"' not in text
    assert 'name="user_permissions"' not in text
    permission = Permission.objects.get(codename="change_group").pk
    assert save(admin, colleague, is_superuser="on", user_permissions=[permission]) == 302
    colleague.refresh_from_db()
    assert colleague.is_superuser is False
    assert not colleague.user_permissions.exists()
    # Nor asks for it by the address of the list.
    answer = admin.get(reverse("admin:orgs_user_changelist"), {"is_superuser__exact": "1"})
    assert answer.status_code == 400


def test_a_superuser_sees_and_sets_it():
    colleague = make_staff("support")
    assert save(signed_in(make_staff("superuser")), colleague, is_superuser="on") == 302
    colleague.refresh_from_db()
    assert colleague.is_superuser is True


def test_permissions_are_offered_to_view_each_table_and_for_what_a_page_asks():
    """Projects have a page, transcripts have none; every role holds what is offered of both."""
    root = signed_in(make_staff("superuser"))
    pages = [
        (url_of(make_staff("support")), "user_permissions"),
        (reverse("admin:auth_group_change", args=[group("support").pk]), "permissions"),
    ]
    for url, field in pages:
        choices = root.get(url).context["adminform"].form.fields[field].queryset
        offered = set(choices.values_list("codename", flat=True))
        assert {f"{verb}_project" for verb in ("add", "change", "delete", "view")} <= offered
        assert {name for name in offered if name.endswith("_projecttranscript")} == {
            "view_projecttranscript"
        }
        assert "grant_credits" in offered
        for held in Group.objects.all():
            assert set(held.permissions.all()) <= set(choices)


@pytest.mark.parametrize("active", [True, False])
def test_nobody_edits_a_superuser_who_is_none(admin, active):
    root = make_staff("superuser", is_active=active)
    assert save(admin, root, email="mine@example.com") == 403
    assert admin.get(url_of(root, "admin:auth_user_password_change")).status_code == 403
    form = {"password1": NEW, "password2": NEW, "audit_reason": REASON}
    answer = admin.post(url_of(root, "admin:auth_user_password_change"), form)
    assert answer.status_code == 403
    root.refresh_from_db()
    assert root.check_password(PASSWORD)
    assert not AuditEntry.objects.exists()


def test_nobody_edits_who_may_do_more_by_a_group_or_by_a_permission_of_their_own(admin):
    by_group, directly = make_staff("support"), make_staff("support")
    by_group.groups.add(stronger())
    directly.user_permissions.add(Permission.objects.get(codename="change_group"))
    for person in (by_group, directly):
        assert save(admin, person, groups=[]) == 403


def test_a_group_that_may_do_more_is_not_theirs_to_give(admin):
    colleague = make_staff("support")
    owners = stronger()
    assert save(admin, colleague, groups=[owners.pk]) == 200
    assert colleague.groups.get().name == "support"
    assert save(signed_in(make_staff("superuser")), colleague, groups=[owners.pk]) == 302
    assert colleague.groups.get() == owners


def test_nobody_raises_or_locks_out_themselves():
    me = make_staff("admin")
    client = signed_in(me)
    assert 'name="groups"' not in client.get(url_of(me)).content.decode()
    form = {"groups": [], "is_staff": "", "is_active": "", "first_name": "Ada"}
    assert save(client, me, **form) == 302
    me.refresh_from_db()
    assert (me.first_name, me.is_staff, me.is_active) == ("Ada", True, True)
    assert me.groups.get().name == "admin"


def test_a_superuser_stays_one_by_their_own_form():
    me = make_staff("superuser")
    assert save(signed_in(me), me, is_active="") == 302
    me.refresh_from_db()
    assert me.is_superuser
    assert me.is_active


def test_who_only_looks_sees_nothing_of_the_password():
    colleague = make_staff("finance")
    text = signed_in(make_staff("support")).get(url_of(colleague)).content.decode()
    assert colleague.email in text
    assert "algorithm" not in text  # as Django says of it
    assert colleague.password.rpartition("$")[2] not in text


def test_a_password_of_somebody_else_is_set_with_a_reason_and_signs_them_out(admin):
    colleague = make_staff("support")
    theirs = signed_in(colleague)
    url = url_of(colleague, "admin:auth_user_password_change")
    assert 'name="audit_reason"' in admin.get(url).content.decode()
    form = {"usable_password": "true", "password1": NEW, "password2": NEW}
    form["set-password"] = "Change"
    assert admin.post(url, form).status_code == 200
    assert admin.post(url, {**form, "audit_reason": REASON}).status_code == 302
    colleague.refresh_from_db()
    assert colleague.check_password(NEW)
    assert theirs.get("/admin/")["Location"] == "/admin/login/?next=/admin/"
    action = AuditEntry.objects.get()
    assert (action.verb, action.before, action.after, action.reason) == (
        "change",
        {},
        {"password": "changed"},
        REASON,
    )


@pytest.mark.parametrize("path", ["{}", "+{}", "0{}", " {}"])
def test_ones_own_password_is_changed_where_the_old_one_is_asked_for(path):
    me = make_staff("admin")
    client = signed_in(me)
    url = f"/admin/orgs/user/{path.format(me.pk)}/password/"
    form = {"usable_password": "true", "password1": NEW, "password2": NEW, "audit_reason": REASON}
    assert client.post(url, form)["Location"] == "/admin/password_change/"
    me.refresh_from_db()
    assert me.check_password(PASSWORD)


def test_who_is_deactivated_is_signed_out_for_good(admin):
    colleague = make_staff("support")
    theirs = signed_in(colleague)
    assert theirs.get("/admin/").status_code == 200
    for active in (None, "on"):
        form = {"is_active": active} if active else {}
        fields = {"is_staff": "on", "audit_reason": REASON, **form}
        url = url_of(colleague)
        person = {"username": colleague.username, "email": colleague.email}
        assert admin.post(url, {**person, **fields}).status_code == 302
    colleague.refresh_from_db()
    assert colleague.is_active
    assert theirs.get("/admin/")["Location"] == "/admin/login/?next=/admin/"


def test_keys_that_outlive_who_issued_them_are_shown_when_the_person_is_dismissed(admin):
    colleague, org = make_staff("support"), make_organization(name="Acme")
    mine = make_api_key(org, created_by=colleague).api_key
    ended = make_api_key(org, created_by=colleague).api_key
    org_services.revoke_api_key(api_key=ended, reason=REASON, actor=TESTER)
    others = make_api_key(org).api_key
    person = {"username": colleague.username, "email": colleague.email, "is_staff": "on"}
    answer = admin.post(url_of(colleague), {**person, "audit_reason": REASON}, follow=True)
    assert "issued 1 API keys that still work" in answer.content.decode()
    text = admin.get(url_of(colleague)).content.decode()
    links = [reverse("admin:revoke-key", args=[key.pk]) in text for key in (mine, ended, others)]
    assert links == [True, False, False]
    assert "of Acme" in text
    quiet = admin.get(url_of(make_staff("support"))).content.decode()
    assert "Keys that they issued" not in quiet


def test_the_old_password_is_not_guessed_from_a_session():
    form = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}
    with time_machine.travel("2026-11-24 12:00:30Z", tick=False):
        client = signed_in(make_staff("support"))
        tries = [
            client.post("/admin/password_change/", form, REMOTE_ADDR=f"10.0.0.{n}").status_code
            for n in range(11)
        ]
        assert tries == [200] * 10 + [429]
        assert client.get("/admin/password_change/").status_code == 200


@pytest.mark.parametrize("role", ["admin", "superuser"])
def test_nobody_is_deleted(role):
    person = make_user()
    client = signed_in(make_staff(role))
    assert client.post(url_of(person, "admin:orgs_user_delete"), {"post": "yes"}).status_code == 403
    listed = reverse("admin:orgs_user_changelist")
    client.post(
        listed, {"action": "delete_selected", "_selected_action": [person.pk], "post": "yes"}
    )
    assert User.objects.filter(pk=person.pk).exists()


def test_what_a_group_may_do_only_superusers_change_with_a_reason():
    client = signed_in(make_staff("superuser"))
    url = reverse("admin:auth_group_change", args=[group("support").pk])
    form = {"name": "support", "permissions": [], "audit_reason": REASON}
    assert signed_in(make_staff("admin")).post(url, form).status_code == 403
    assert group("support").permissions.exists()
    assert client.post(url, {**form, "audit_reason": ""}).status_code == 200
    assert client.post(url, form).status_code == 302
    assert not group("support").permissions.exists()
    assert AuditEntry.objects.get().object_label == "support"


# --- memberships -----------------------------------------------------------------------


def test_a_membership_is_added_changed_and_removed_with_a_reason(admin):
    person, org = make_user(), make_organization()
    form = {"user": person.pk, "organization": org.pk, "role": "member"}
    add = reverse("admin:orgs_membership_add")
    assert admin.post(add, form).status_code == 200
    assert admin.post(add, {**form, "audit_reason": REASON}).status_code == 302
    made = Membership.objects.get()
    change = reverse("admin:orgs_membership_change", args=[made.pk])
    assert admin.post(change, {**form, "role": "owner", "audit_reason": REASON}).status_code == 302
    remove = reverse("admin:orgs_membership_delete", args=[made.pk])
    for reason in ("", "because"):
        answer = admin.post(remove, {"post": "yes", "audit_reason": reason}, follow=True)
        assert answer.redirect_chain == [(remove, 302)]
        assert "Nothing was deleted." in answer.content.decode()
    assert Membership.objects.get().role == "owner"
    assert admin.post(remove, {"post": "yes", "audit_reason": REASON}).status_code == 302
    assert not Membership.objects.exists()
    actions = AuditEntry.objects.order_by("pk")
    assert [(each.verb, each.org) for each in actions] == [
        ("add", org),
        ("change", org),
        ("delete", org),
    ]
    assert actions[1].before == {"role": "member"}
    assert actions[2].before["role"] == "owner"
    assert actions[2].before["user"] == str(person)


def test_memberships_are_not_removed_by_the_dozen_without_a_word(admin):
    made = Membership.objects.create(user=make_user(), organization=make_organization())
    listed = reverse("admin:orgs_membership_changelist")
    form = {"action": "delete_selected", "_selected_action": [made.pk], "post": "yes"}
    admin.post(listed, form)
    assert Membership.objects.exists()
    assert "delete_selected" not in admin.get(listed).content.decode()
