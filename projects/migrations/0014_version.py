"""A version on every project, raised by the database: what is cached of one is kept under it."""

from django.db import migrations, models

TRIGGER = """
CREATE TRIGGER projects_raise_version BEFORE UPDATE ON projects_project
    FOR EACH ROW EXECUTE FUNCTION orgs_raise_version();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0013_sound_and_warnings"),
        ("orgs", "0003_cached_rows_and_scoped_limits"),
    ]

    operations = [
        migrations.AddField(
            "project", "version", models.BigIntegerField(db_default=1, editable=False)
        ),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER projects_raise_version ON projects_project"),
    ]
