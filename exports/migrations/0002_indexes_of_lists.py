"""Indexes that go on in the order of the list they serve, for every filter that it has."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline, RemoveIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("exports", "0001_initial")]

    operations = [
        AddIndexOnline(
            "export",
            models.Index(
                fields=["org", "status", "-created_at", "-id"], name="exports_export_status_newest"
            ),
        ),
        AddIndexOnline(
            "export",
            models.Index(
                fields=["project", "status", "-created_at", "-id"],
                name="exports_project_status_newest",
            ),
        ),
        AddIndexOnline(
            "export",
            models.Index(
                fields=["project", "-created_at", "-id"], name="exports_export_project_newest"
            ),
        ),
        AddIndexOnline(
            "export",
            models.Index(
                models.F("created_at").desc(nulls_last=True),
                models.F("id").desc(nulls_last=True),
                name="exports_export_newest",
            ),
        ),
        # The indexes that they replace are unused now.
        RemoveIndexOnline("export", "exports_export_project_status"),
        RemoveIndexOnline("export", "exports_export_created"),
    ]
