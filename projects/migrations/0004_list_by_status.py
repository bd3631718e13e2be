"""The admin's list of projects by status, and its search for titles."""

from django.db import migrations, models

from clipforge.common.lists.search import lowered
from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("projects", "0003_sizes_of_organizations")]

    operations = [
        AddIndexOnline(
            "project",
            models.Index(
                models.F("status"),
                models.F("created_at").desc(nulls_last=True),
                models.F("id").desc(nulls_last=True),
                condition=models.Q(("status", "READY"), _negated=True),
                name="projects_project_unready",
            ),
        ),
        AddIndexOnline("project", models.Index(lowered("title"), name="projects_project_title")),
    ]
