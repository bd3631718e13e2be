"""The index of a project's exports by the time of their last change."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("exports", "0019_watermark")]

    operations = [
        AddIndexOnline(
            "export",
            models.Index(
                fields=["project", "-updated_at", "-id"], name="exports_export_project_updated"
            ),
        ),
    ]
