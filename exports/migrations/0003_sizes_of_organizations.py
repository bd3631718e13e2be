"""An index that alone gives the size of an organization's finished files."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("exports", "0002_indexes_of_lists")]

    operations = [
        AddIndexOnline(
            "export",
            models.Index(
                fields=["org"],
                include=["size"],
                condition=models.Q(status="READY"),
                name="exports_export_org_size",
            ),
        ),
    ]
