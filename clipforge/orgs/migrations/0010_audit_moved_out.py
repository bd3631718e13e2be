"""`StaffAction` is `clipforge.audit.models.AuditEntry` now. Its table is not touched."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("orgs", "0009_organization_lists"),
        ("audit", "0001_initial"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.DeleteModel(name="StaffAction")],
        ),
    ]
