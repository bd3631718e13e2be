"""Indexes that go on in the order of the list they serve, instead of ending before it."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline, RemoveIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("projects", "0001_initial")]

    operations = [
        AddIndexOnline(
            "project",
            models.Index(
                fields=["org", "status", "-created_at", "-id"],
                name="projects_project_status_newest",
            ),
        ),
        AddIndexOnline(
            "project",
            models.Index(
                models.F("created_at").desc(nulls_last=True),
                models.F("id").desc(nulls_last=True),
                name="projects_project_newest",
            ),
        ),
        # The indexes that they replace are unused now.
        RemoveIndexOnline("project", "projects_project_org_status"),
        RemoveIndexOnline("project", "projects_project_created"),
    ]
