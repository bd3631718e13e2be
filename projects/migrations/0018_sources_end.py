"""The index of sources by their end, and what was uploaded before there was one.

A source that would have ended by now is kept for nine days more, so that its owners are told a week and
a day before.
"""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline, UpdateInBatches

COUNT = """
UPDATE projects_project SET
        stored_bytes = size,
        expires_at = GREATEST(
            projects_project.created_at + make_interval(days => limits.retention_days), now() + interval '9 days')
    FROM orgs_organization AS org JOIN orgs_tierlimits AS limits ON limits.tier = org.tier
    WHERE org.id = projects_project.org_id AND source_key <> '' AND expires_at IS NULL
"""


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("projects", "0017_retention")]

    operations = [
        UpdateInBatches("projects_project", COUNT),
        AddIndexOnline(
            "project",
            models.Index(
                condition=models.Q(("source_key", ""), _negated=True),
                fields=["expires_at", "id"],
                name="projects_project_ends",
            ),
        ),
    ]
