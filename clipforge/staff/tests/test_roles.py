"""The groups that the migrations made are those of the table."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command

from clipforge.staff.roles import ROLES, VIEWED_APPS

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", ROLES)
def test_a_group_may_look_at_everything_of_ours_and_do_what_its_row_says(role):
    seen = {
        f"{label}.view_{model._meta.model_name}"
        for label in VIEWED_APPS
        for model in apps.get_app_config(label).get_models()
    }
    held = Group.objects.get(name=role).permissions.select_related("content_type")
    found = {f"{permission.content_type.app_label}.{permission.codename}" for permission in held}
    assert found == ROLES[role] | seen


def permissions_of_staff() -> dict[int, str]:
    """Codenames, by primary key."""
    return dict(
        Permission.objects.filter(content_type__app_label="staff").values_list("pk", "codename")
    )


def held_by_groups() -> set[tuple[str, int]]:
    return set(Group.objects.values_list("name", "permissions"))


def models_with_permissions() -> set[str]:
    types = ContentType.objects.filter(app_label="staff", permission__isnull=False)
    return set(types.values_list("model", flat=True))


def test_permissions_that_were_granted_before_the_model_had_its_name_stay():
    now, held = permissions_of_staff(), held_by_groups()
    assert models_with_permissions() == {"staffpermission"}
    call_command("migrate", "staff", "0007", verbosity=0)
    assert models_with_permissions() == {"duty"}
    # The check of 0014 is made outside of a transaction, and this one is rolled back.
    call_command("migrate", "staff", "0013", verbosity=0)
    assert models_with_permissions() == {"staffpermission"}
    # The same rows: neither made anew, nor taken from a group.
    assert permissions_of_staff() == now
    assert held_by_groups() == held
    assert len(now) == 12
