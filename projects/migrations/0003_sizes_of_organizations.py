"""An index that alone gives the size of an organization's sources."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("projects", "0002_indexes_of_lists")]

    operations = [
        AddIndexOnline(
            "project",
            models.Index(fields=["org"], include=["size"], name="projects_project_org_size"),
        ),
    ]
