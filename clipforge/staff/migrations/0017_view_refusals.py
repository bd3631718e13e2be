"""The four groups may look at refused requests, as at every table of ours."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

ROLES = ("support", "finance", "engineer", "admin")


def let_them_look(apps, schema_editor):
    """Django makes permissions after all migrations; those of the groups are made here."""
    create_permissions(installed.get_app_config("orgs"), verbosity=0, apps=apps)
    seen = apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="orgs", codename="view_refusedrequests"
    )
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        group.permissions.add(*seen)


class Migration(migrations.Migration):
    dependencies = [
        ("staff", "0016_notes"),
        ("orgs", "0020_refused_requests"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(let_them_look, migrations.RunPython.noop)]
