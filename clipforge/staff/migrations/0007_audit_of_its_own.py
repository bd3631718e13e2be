"""The roles may look at the audit, which has moved out of orgs.

Where the permissions of its former model are there they go on under its new name, with every group
and person that holds them. Where they are not (a database that is made from the start), the four
groups get theirs, as 0002_roles gives them those of the other apps.
"""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

ROLES = ("support", "finance", "engineer", "admin")
FORMER, NOW = ("orgs", "staffaction"), ("audit", "auditentry")


def move_permissions(apps, schema_editor):
    if not _rename(apps, FORMER, NOW):
        create_permissions(installed.get_app_config("audit"), verbosity=0, apps=apps)
        see = apps.get_model("auth", "Permission").objects.get(
            content_type__app_label="audit", codename="view_auditentry"
        )
        for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
            group.permissions.add(see)


def move_back(apps, schema_editor):
    _rename(apps, NOW, FORMER)


def _rename(apps, before, after):
    """Whether there was a content type to rename. One that Django made meanwhile makes room for it."""
    types = apps.get_model("contenttypes", "ContentType").objects
    moved = types.filter(app_label=before[0], model=before[1]).first()
    if moved is None:
        return False
    types.filter(app_label=after[0], model=after[1]).delete()
    moved.app_label, moved.model = after
    moved.save()
    for permission in apps.get_model("auth", "Permission").objects.filter(content_type=moved):
        action = permission.codename.partition("_")[0]
        name = "audit entry" if after is NOW else "staff action"
        permission.codename = f"{action}_{after[1]}"
        permission.name = f"Can {action} {name}"
        permission.save()
    return True


class Migration(migrations.Migration):
    dependencies = [
        ("staff", "0006_payments_by_two"),
        ("audit", "0002_actors"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(move_permissions, move_back)]
