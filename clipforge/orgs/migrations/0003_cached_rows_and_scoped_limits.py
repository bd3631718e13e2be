"""Columns for the caches and the limits: a version on every cached row, and limits by scope."""

from django.db import migrations, models

# Uploads and exports a minute: a tenth and a fifth of all requests.
SCOPED = {
    # tier: uploads, exports
    "FREE": (5, 10),
    "STARTER": (10, 20),
    "PRO": (20, 40),
    "BUSINESS": (50, 100),
    "ENTERPRISE": (100, 200),
}

# In the database, so that no path around a model forgets it: a cached row that changed without a
# new version would be served until it ends.
CREATE_TRIGGERS = """
CREATE FUNCTION orgs_raise_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;
CREATE TRIGGER orgs_raise_version BEFORE UPDATE ON orgs_organization
    FOR EACH ROW EXECUTE FUNCTION orgs_raise_version();
CREATE TRIGGER orgs_raise_version BEFORE UPDATE ON orgs_apikey
    FOR EACH ROW EXECUTE FUNCTION orgs_raise_version();
CREATE TRIGGER orgs_raise_version BEFORE UPDATE ON orgs_tierlimits
    FOR EACH ROW EXECUTE FUNCTION orgs_raise_version();
"""
DROP_TRIGGERS = """
DROP TRIGGER orgs_raise_version ON orgs_tierlimits;
DROP TRIGGER orgs_raise_version ON orgs_apikey;
DROP TRIGGER orgs_raise_version ON orgs_organization;
DROP FUNCTION orgs_raise_version();
"""


def scope(apps, schema_editor):
    limits = apps.get_model("orgs", "TierLimits").objects
    for tier, (uploads, exports) in SCOPED.items():
        limits.filter(tier=tier).update(uploads_per_minute=uploads, exports_per_minute=exports)


def version():
    return models.BigIntegerField(db_default=1, editable=False)


class Migration(migrations.Migration):
    dependencies = [("orgs", "0002_tier_limits")]

    operations = [
        migrations.AddField("organization", "version", version()),
        migrations.AddField("apikey", "version", version()),
        migrations.AddField("tierlimits", "version", version()),
        migrations.AddField(
            "tierlimits",
            "uploads_per_minute",
            models.PositiveIntegerField(default=5, help_text="New projects."),
            preserve_default=False,
        ),
        migrations.AddField(
            "tierlimits",
            "exports_per_minute",
            models.PositiveIntegerField(default=10, help_text="New and repeated exports."),
            preserve_default=False,
        ),
        migrations.AlterField(
            "tierlimits",
            "requests_per_minute",
            models.PositiveIntegerField(help_text="All requests, by their cost."),
        ),
        migrations.AlterField(
            "tierlimits",
            "concurrent_jobs",
            models.PositiveIntegerField(
                help_text="Analyses and exports that wait or run at the same time."
            ),
        ),
        migrations.RunPython(scope, migrations.RunPython.noop),
        migrations.RunSQL(CREATE_TRIGGERS, DROP_TRIGGERS),
    ]
