"""The four groups of staff, as `clipforge.staff.roles` had them when this was written."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

SEEN = ("orgs", "credits", "projects", "exports", "billing", "procrastinate")
SUPPORT = {"staff.retry_work", "staff.manage_keys"}
FINANCE = {
    "staff.grant_credits",
    "staff.adjust_credits",
    "staff.confirm_credits",
    "staff.change_tier",
    "staff.export_data",
    "billing.change_price",
    "billing.add_payment",
    "billing.change_billingaccount",
}
ENGINEER = {
    "staff.override_limit",
    "staff.suspend_organization",
    "staff.manage_keys",
    "staff.retry_work",
    "staff.rescue_work",
    "orgs.change_tierlimits",
}
PEOPLE = {
    "orgs.add_organization",
    "orgs.change_organization",
    "orgs.add_user",
    "orgs.change_user",
    "orgs.add_membership",
    "orgs.change_membership",
    "orgs.delete_membership",
}
ROLES = {
    "support": SUPPORT,
    "finance": FINANCE,
    "engineer": ENGINEER,
    "admin": SUPPORT | FINANCE | ENGINEER | PEOPLE,
}


def make_groups(apps, schema_editor):
    """Django makes permissions after all migrations; those of the groups are made here."""
    for label in (*SEEN, "staff"):
        create_permissions(installed.get_app_config(label), verbosity=0, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects
    seen = permissions.filter(content_type__app_label__in=SEEN, codename__startswith="view_")
    for role, names in ROLES.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=role)
        group.permissions.add(*seen)
        for name in names:
            label, _, codename = name.partition(".")
            group.permissions.add(permissions.get(content_type__app_label=label, codename=codename))


class Migration(migrations.Migration):
    dependencies = [
        ("staff", "0001_duties"),
        ("orgs", "0004_staff_actions"),
        ("credits", "0004_credit_reversals"),
        ("projects", "0002_indexes_of_lists"),
        ("exports", "0002_indexes_of_lists"),
        ("billing", "0006_alerts"),
        ("procrastinate", "0041_post_retry_failed_job"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
