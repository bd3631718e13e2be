"""The group of staff who may record payments by hand."""

from django.db import migrations

CODENAMES = {
    "payment": ["add_payment", "view_payment"],
    "subscription": ["view_subscription"],
    "planperiod": ["view_planperiod"],
    "price": ["view_price"],
}


def make_group(apps, schema_editor):
    """Permissions are made after all migrations; those that the group needs are made here."""
    content_types = apps.get_model("contenttypes", "ContentType")
    permissions = apps.get_model("auth", "Permission")
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name="finance")
    for model, codenames in CODENAMES.items():
        content_type, _ = content_types.objects.get_or_create(app_label="billing", model=model)
        for codename in codenames:
            verb = codename.partition("_")[0]
            permission, _ = permissions.objects.get_or_create(
                content_type=content_type,
                codename=codename,
                defaults={"name": f"Can {verb} {model}"},
            )
            group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0004_payments"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make_group, migrations.RunPython.noop)]
