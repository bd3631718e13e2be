"""The bytes that are stored for each row, added up by organization in the database, and the end of its files."""

from django.db import migrations, models

TRIGGERS = """
CREATE CONSTRAINT TRIGGER projects_count_new AFTER INSERT ON projects_project
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.stored_bytes <> 0) EXECUTE FUNCTION orgs_count_stored('projects');
CREATE CONSTRAINT TRIGGER projects_count_changed AFTER UPDATE ON projects_project
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.stored_bytes <> OLD.stored_bytes) EXECUTE FUNCTION orgs_count_stored('projects');
CREATE CONSTRAINT TRIGGER projects_count_deleted AFTER DELETE ON projects_project
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.stored_bytes <> 0) EXECUTE FUNCTION orgs_count_stored('projects');
"""
DROP = """
DROP TRIGGER projects_count_deleted ON projects_project;
DROP TRIGGER projects_count_changed ON projects_project;
DROP TRIGGER projects_count_new ON projects_project;
"""


class Migration(migrations.Migration):
    dependencies = [("projects", "0016_own_ids_and_search_indexes"), ("orgs", "0017_storage_usage")]

    operations = [
        migrations.AddField(
            "project",
            "stored_bytes",
            models.BigIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            "project", "notice_given", models.SmallIntegerField(editable=False, null=True)
        ),
        migrations.AddField(
            "project",
            "expires_at",
            models.DateTimeField(
                blank=True, help_text="When the source is deleted: the tier's retention.", null=True
            ),
        ),
        migrations.AlterField(
            "project",
            "status",
            models.CharField(
                choices=[
                    ("UPLOADED", "Uploaded"),
                    ("QUEUED", "Queued"),
                    ("ANALYZING", "Analyzing"),
                    ("READY", "Ready"),
                    ("EMPTY", "Nothing worth clipping"),
                    ("FAILED", "Failed"),
                    ("CANCELLED", "Cancelled"),
                    ("EXPIRED", "Source deleted after its retention"),
                ],
                default="UPLOADED",
                max_length=16,
            ),
        ),
        migrations.RunSQL(TRIGGERS, DROP),
    ]
