"""A change that ends access is not undone by a concurrent save."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django_otp.plugins.otp_static.models import StaticDevice

from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import TESTER, make_organization
from clipforge.devtools.testing.races import until_a_lock_is_waited_for
from clipforge.devtools.testing.staff import PASSWORD, code_of, make_staff, phone_of, signed_in
from clipforge.orgs import services as org_services
from clipforge.orgs.models import Organization, User
from clipforge.staff.login import second_factor

pytestmark = pytest.mark.django_db(transaction=True)

REASON = "moved to another team"
NEW = "a better horse battery"
OWN_PASSWORD = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STAFF_SECOND_FACTOR = True


def while_under_way(act: Callable[[], Any], client: Client, url: str, form: dict[str, Any]) -> int:
    """The status of a POST that has begun when `act` is done, and goes on when that is committed."""

    def post() -> int:
        try:
            return client.post(url, form).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            act()
            posted = pool.submit(post)
            until_a_lock_is_waited_for()
        return posted.result(60)


def dismiss(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)
    org_services.end_sessions(user=user, actor=TESTER)


def person_form(user: User, **fields: Any) -> dict[str, Any]:
    form = {"username": user.username, "email": user.email, "audit_reason": REASON}
    return {**form, **fields}


def test_a_save_of_ones_own_page_does_not_undo_a_dismissal():
    me = make_staff("admin")
    url = reverse("admin:orgs_user_change", args=[me.pk])
    form = person_form(me, first_name="Ada")
    while_under_way(lambda: dismiss(me), signed_in(me), url, form)
    me.refresh_from_db()
    assert (me.is_active, me.session_version) == (False, 1)


def test_a_save_of_a_colleague_does_not_undo_a_new_password():
    colleague = make_staff("support")
    url = reverse("admin:orgs_user_change", args=[colleague.pk])
    form = person_form(colleague, is_active="on", is_staff="on")

    def set_password() -> None:
        colleague.set_password(NEW)
        colleague.save(update_fields=["password"])

    client = signed_in(make_staff("superuser"))
    assert while_under_way(set_password, client, url, form) == 302
    colleague.refresh_from_db()
    assert colleague.check_password(NEW)


def test_a_save_of_a_name_does_not_undo_a_suspension_and_the_audit_says_what_was_there():
    org = make_organization(name="Acme")
    url = reverse("admin:orgs_organization_change", args=[org.pk])
    form = {"name": "Acme & Co", "slug": org.slug, "audit_reason": REASON}

    def suspend() -> None:
        Organization.objects.filter(pk=org.pk).update(is_active=False, name="Acme Inc")

    assert while_under_way(suspend, signed_in(make_staff("superuser")), url, form) == 302
    org.refresh_from_db()
    assert (org.is_active, org.name) == (False, "Acme & Co")
    assert AuditEntry.objects.get().before == {"name": "Acme Inc"}


def test_who_may_edit_a_colleague_is_asked_when_it_is_their_turn():
    colleague = make_staff("support")
    url = reverse("admin:orgs_user_change", args=[colleague.pk])

    def raise_them() -> None:
        User.objects.filter(pk=colleague.pk).update(is_superuser=True)

    form = person_form(colleague, is_active="on")
    assert while_under_way(raise_them, signed_in(make_staff("admin")), url, form) == 403
    colleague.refresh_from_db()
    assert (colleague.is_staff, colleague.is_superuser) == (True, True)


def test_a_new_password_of_ones_own_does_not_undo_a_dismissal():
    me = make_staff("support")
    client = signed_in(me)
    url = "/admin/password_change/"
    assert while_under_way(lambda: dismiss(me), client, url, OWN_PASSWORD) == 403
    me.refresh_from_db()
    assert (me.is_active, me.session_version, me.check_password(PASSWORD)) == (False, 1, True)
    assert not AuditEntry.objects.exists()


def test_a_session_that_was_ended_sets_no_password():
    me = make_staff("support")
    client = signed_in(me)

    def sign_out() -> None:
        org_services.end_sessions(user=me, actor=TESTER)

    assert while_under_way(sign_out, client, "/admin/password_change/", OWN_PASSWORD) == 403
    me.refresh_from_db()
    assert me.check_password(PASSWORD)
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"


@pytest.mark.parametrize(("ended_by", "status"), [("sign_out", 403), ("reset", 200)])
def test_a_session_that_was_ended_makes_no_recovery_codes_and_stays_ended(ended_by, status):
    me = make_staff("support")
    client = signed_in(me)
    form = {"current": code_of(phone_of(me).key)}

    def end() -> None:
        if ended_by == "reset":
            second_factor.reset(user=me, actor=TESTER, reason=REASON)
        else:
            org_services.end_sessions(user=me, actor=TESTER)

    assert while_under_way(end, client, "/admin/second-factor/yours/", form) == status
    assert not StaticDevice.objects.exists()
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"


def test_another_persons_password_is_set_on_the_row_as_it_is():
    colleague = make_staff("support")
    url = reverse("admin:auth_user_password_change", args=[colleague.pk])
    form = {"password1": NEW, "password2": NEW, "usable_password": "true", "audit_reason": REASON}
    client = signed_in(make_staff("superuser"))
    assert while_under_way(lambda: dismiss(colleague), client, url, form) == 302
    colleague.refresh_from_db()
    assert (colleague.is_active, colleague.check_password(NEW)) == (False, True)
