"""The groups that the migration made are those of the table."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import Group

from clipforge.staff.roles import ROLES, SEEN

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", ROLES)
def test_a_group_may_look_at_everything_of_ours_and_do_what_its_row_says(role):
    seen = {
        f"{label}.view_{model._meta.model_name}"
        for label in SEEN
        for model in apps.get_app_config(label).get_models()
    }
    held = Group.objects.get(name=role).permissions.select_related("content_type")
    found = {f"{permission.content_type.app_label}.{permission.codename}" for permission in held}
    assert found == ROLES[role] | seen
