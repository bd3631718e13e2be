"""Indexes of the staff's list of failures."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("exports", "0005_failure_detail")]

    operations = [
        AddIndexOnline(
            "export",
            models.Index(
                fields=["-finished_at", "-id"],
                condition=models.Q(("status", "FAILED")),
                name="exports_export_failed",
            ),
        ),
        AddIndexOnline(
            "export",
            models.Index(
                fields=["error_code", "-finished_at", "-id"],
                condition=models.Q(("status", "FAILED")),
                name="exports_export_failed_code",
            ),
        ),
        AddIndexOnline(
            "export",
            models.Index(
                fields=["org", "-finished_at", "-id"],
                condition=models.Q(("status", "FAILED")),
                name="exports_export_failed_org",
            ),
        ),
    ]
