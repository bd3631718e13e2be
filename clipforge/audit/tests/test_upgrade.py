"""A database that has the audit in orgs keeps rows, trigger and permissions as the audit moves out."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connection, transaction
from django.db.migrations.loader import MigrationLoader

from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import make_organization, make_user
from clipforge.orgs.models import Organization, User

pytestmark = pytest.mark.django_db

# In the order in which they are applied.
MOVE = [
    ("audit", "0001_initial"),
    ("orgs", "0010_audit_moved_out"),
    ("audit", "0002_actors"),
    ("staff", "0007_audit_of_its_own"),
]


def unapply() -> Any:
    """Leave the database as it was before, and return the models of that time."""
    loader = MigrationLoader(connection)
    for key in reversed(MOVE):
        with connection.schema_editor() as editor:
            before = loader.project_state(key, at_end=False)
            loader.get_migration(*key).unapply(before, editor)
    return loader.project_state(("orgs", "0009_organization_lists")).apps


def apply() -> None:
    loader = MigrationLoader(connection)
    for key in MOVE:
        with connection.schema_editor() as editor:
            before = loader.project_state(key, at_end=False)
            loader.get_migration(*key).apply(before, editor)
    ContentType.objects.clear_cache()


def checked_now() -> None:
    """A table whose foreign keys wait for the end of the transaction cannot be altered."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.fixture
def ada(db: None) -> User:
    return make_user(email="ada@example.com", is_staff=True)


@pytest.fixture
def acme(db: None) -> Organization:
    return make_organization(name="Acme")


def former_view() -> Permission:
    return Permission.objects.get(content_type__app_label="orgs", codename="view_staffaction")


def test_rows_stay_as_acts_of_a_person_and_cannot_be_changed(ada, acme):
    checked_now()
    former = (
        unapply()
        .get_model("orgs", "StaffAction")
        .objects.create(
            actor_id=ada.pk,
            org_id=acme.pk,
            verb="suspend",
            object_type="orgs.organization",
            object_id=str(acme.pk),
            object_label="Acme",
            before={"is_active": True},
            after={"is_active": False},
            reason="asked for in writing",
            request_id="r-1",
        )
    )
    checked_now()
    apply()
    entry = AuditEntry.objects.get(pk=former.pk)
    assert (entry.actor, entry.org, entry.verb, entry.reason, entry.created_at) == (
        ada,
        acme,
        "suspend",
        "asked for in writing",
        former.created_at,
    )
    assert (entry.actor_kind, entry.actor_name, entry.actor_label) == ("user", "", "")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        AuditEntry.objects.all().delete()


def test_groups_and_people_keep_the_permission_to_look_at_it(ada):
    unapply()
    view = former_view()
    Group.objects.get(name="support").permissions.remove(view)  # taken away by an operator
    ada.user_permissions.add(view)
    checked_now()
    apply()
    moved = Permission.objects.get(content_type__app_label="audit", codename="view_auditentry")
    assert (moved.pk, moved.name) == (view.pk, "Can view audit entry")
    assert set(moved.group_set.values_list("name", flat=True)) == {"admin", "engineer", "finance"}
    assert User.objects.get(pk=ada.pk).has_perm("audit.view_auditentry")
    assert not ContentType.objects.filter(app_label="orgs", model="staffaction").exists()


def test_permissions_that_django_made_after_an_interrupted_upgrade_are_replaced(ada):
    unapply()
    view = former_view()
    made = ContentType.objects.create(app_label="audit", model="auditentry")
    Permission.objects.create(content_type=made, codename="view_auditentry", name="Can view")
    checked_now()
    apply()
    assert list(Permission.objects.filter(codename="view_auditentry")) == [view]


def test_in_a_database_made_from_the_start_the_roles_may_look_at_it():
    view = Permission.objects.get(codename="view_auditentry")
    roles = {"support", "finance", "engineer", "admin"}
    assert set(view.group_set.values_list("name", flat=True)) == roles
    assert not ContentType.objects.filter(model="staffaction").exists()
