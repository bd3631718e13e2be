"""Finance may see what the business earns."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

ROLES = ("finance", "admin")


def let_them_see(apps, schema_editor):
    """Django makes permissions after all migrations; this one is made here."""
    create_permissions(installed.get_app_config("staff"), verbosity=0, apps=apps)
    see = apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="staff", codename="view_business"
    )
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        group.permissions.add(*see)


class Migration(migrations.Migration):
    dependencies = [
        ("staff", "0014_check_of_refund_requests"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [
        migrations.AlterModelOptions(
            name="staffpermission",
            options={
                "default_permissions": (),
                "managed": False,
                "permissions": [
                    ("grant_credits", "Can grant credits"),
                    ("adjust_credits", "Can adjust credits"),
                    ("confirm_credits", "Can confirm a large movement of credits"),
                    ("change_tier", "Can change the tier of an organization"),
                    ("override_limit", "Can override the rate limit of an organization"),
                    ("suspend_organization", "Can suspend and restore an organization"),
                    ("manage_keys", "Can issue and revoke API keys"),
                    ("retry_work", "Can retry failed work"),
                    ("rescue_work", "Can cancel work and release holds"),
                    ("watch_videos", "Can watch the videos of customers"),
                    ("export_data", "Can download ledger, projects and payments"),
                    ("view_business", "Can see what the business earns"),
                ],
            },
        ),
        migrations.RunPython(let_them_see, migrations.RunPython.noop),
    ]
