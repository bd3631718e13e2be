"""The bytes that are stored for each row, added up by organization in the database, and the end of its files."""

from django.db import migrations, models

TRIGGERS = """
CREATE CONSTRAINT TRIGGER exports_count_new AFTER INSERT ON exports_export
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.stored_bytes <> 0) EXECUTE FUNCTION orgs_count_stored('exports');
CREATE CONSTRAINT TRIGGER exports_count_changed AFTER UPDATE ON exports_export
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.stored_bytes <> OLD.stored_bytes) EXECUTE FUNCTION orgs_count_stored('exports');
CREATE CONSTRAINT TRIGGER exports_count_deleted AFTER DELETE ON exports_export
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.stored_bytes <> 0) EXECUTE FUNCTION orgs_count_stored('exports');
"""
DROP = """
DROP TRIGGER exports_count_deleted ON exports_export;
DROP TRIGGER exports_count_changed ON exports_export;
DROP TRIGGER exports_count_new ON exports_export;
"""


class Migration(migrations.Migration):
    dependencies = [("exports", "0016_av1"), ("orgs", "0017_storage_usage")]

    operations = [
        migrations.AddField(
            "export",
            "stored_bytes",
            models.BigIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            "export", "notice_given", models.SmallIntegerField(editable=False, null=True)
        ),
        migrations.AddField(
            "export",
            "pinned",
            models.BooleanField(
                db_default=False,
                default=False,
                help_text="Kept while the organization pays for its tier.",
            ),
        ),
        migrations.RunSQL(TRIGGERS, DROP),
    ]
