from django.contrib.postgres.indexes import GinIndex
from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline, AddUniqueOnline
from projects.title_search import ProjectGroups


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("projects", "0015_own_ids_and_search")]

    operations = [
        AddUniqueOnline(
            "project",
            models.UniqueConstraint(
                condition=models.Q(("external_id", ""), _negated=True),
                fields=("org", "external_id"),
                name="projects_project_external_id",
            ),
        ),
        AddIndexOnline(
            "project",
            models.Index(fields=["org", "-updated_at", "-id"], name="projects_project_org_updated"),
        ),
        AddIndexOnline(
            "project",
            GinIndex(
                ProjectGroups("org_id", "title", "external_id"),
                fastupdate=False,
                name="projects_project_words",
            ),
        ),
    ]
