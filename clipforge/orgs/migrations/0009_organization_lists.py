"""The admin's list of organizations by tier, and of the suspended."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("orgs", "0008_actions_by_object"),
    ]

    operations = [
        AddIndexOnline(
            "organization",
            models.Index(fields=["tier", "-id"], name="orgs_organization_tier"),
        ),
        AddIndexOnline(
            "organization",
            models.Index(
                fields=["-id"],
                condition=models.Q(("is_active", False)),
                name="orgs_organization_suspended",
            ),
        ),
    ]
