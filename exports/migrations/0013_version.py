"""A version on every export, raised by the database: what is cached of one is kept under it."""

from django.db import migrations, models

TRIGGER = """
CREATE TRIGGER exports_raise_version BEFORE UPDATE ON exports_export
    FOR EACH ROW EXECUTE FUNCTION orgs_raise_version();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("exports", "0012_warnings"),
        ("orgs", "0003_cached_rows_and_scoped_limits"),
    ]

    operations = [
        migrations.AddField(
            "export", "version", models.BigIntegerField(db_default=1, editable=False)
        ),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER exports_raise_version ON exports_export"),
    ]
