"""The admin's list of exports by status."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("exports", "0002_indexes_of_lists")]

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
