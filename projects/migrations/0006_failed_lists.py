"""Indexes of the staff's list of failures."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("projects", "0005_failure_detail")]

    operations = [
        AddIndexOnline(
            "project",
            models.Index(
                fields=["-finished_at", "-id"],
                condition=models.Q(("status", "FAILED")),
                name="projects_project_failed",
            ),
        ),
        AddIndexOnline(
            "project",
            models.Index(
                fields=["error_code", "-finished_at", "-id"],
                condition=models.Q(("status", "FAILED")),
                name="projects_project_failed_code",
            ),
        ),
        AddIndexOnline(
            "project",
            models.Index(
                fields=["org", "-finished_at", "-id"],
                condition=models.Q(("status", "FAILED")),
                name="projects_project_failed_org",
            ),
        ),
    ]
