"""The index of files by their end, and what was made before files were counted."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline, RemoveIndexOnline, UpdateInBatches

COUNT = """
UPDATE exports_export SET stored_bytes = size
    WHERE file_key <> '' AND size IS NOT NULL AND stored_bytes = 0
"""


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("exports", "0017_retention")]

    operations = [
        UpdateInBatches("exports_export", COUNT),
        AddIndexOnline(
            "export",
            models.Index(
                condition=models.Q(("file_key", ""), _negated=True),
                fields=["expires_at", "id"],
                name="exports_export_ends",
            ),
        ),
        AddIndexOnline(
            "export",
            models.Index(
                condition=models.Q(("pinned", True)), fields=["id"], name="exports_export_pinned"
            ),
        ),
        RemoveIndexOnline("export", "exports_export_expiry"),
    ]
