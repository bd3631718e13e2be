"""The admin's list of exports by status."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("exports", "0003_sizes_of_organizations")]

    operations = [
        AddIndexOnline(
            "export",
            models.Index(
                models.F("status"),
                models.F("created_at").desc(nulls_last=True),
                models.F("id").desc(nulls_last=True),
                name="exports_export_by_status",
            ),
        ),
    ]
