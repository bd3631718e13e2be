from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("exports", "0014_finding_and_naming")]

    operations = [
        AddIndexOnline(
            "export",
            models.Index(fields=["org", "-updated_at", "-id"], name="exports_export_org_updated"),
        ),
    ]
