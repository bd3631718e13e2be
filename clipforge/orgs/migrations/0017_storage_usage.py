"""The bytes that the files of an organization take, counted by the database, and how much each tier may store."""

import django.db.models.deletion
from django.db import migrations, models

MOST = {
    "FREE": 5 * 10**9,
    "STARTER": 50 * 10**9,
    "PRO": 250 * 10**9,
    "BUSINESS": 10**12,
    "ENTERPRISE": 10 * 10**12,
}

# A table of files has org_id and stored_bytes, and this as a deferred trigger with the name of its sort
# of files: it runs at the end of the transaction, so that the row of the organization, which all its
# changes share, is the last that any transaction locks.
CREATE_FUNCTIONS = """
CREATE FUNCTION orgs_count_stored() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    area text := TG_ARGV[0];
    owner uuid;
    difference bigint := 0;
BEGIN
    IF TG_OP <> 'DELETE' THEN
        owner := NEW.org_id;
        difference := NEW.stored_bytes;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        owner := OLD.org_id;
        difference := difference - OLD.stored_bytes;
    END IF;
    -- A deletion may be that of the organization, which has no row any more.
    UPDATE orgs_storageusage SET
            bytes = bytes + difference,
            areas = areas || jsonb_build_object(area, COALESCE((areas ->> area)::bigint, 0) + difference),
            version = version + 1
        WHERE org_id = owner;
    IF NOT FOUND AND TG_OP <> 'DELETE' THEN
        INSERT INTO orgs_storageusage AS kept (org_id, bytes, areas)
                VALUES (owner, difference, jsonb_build_object(area, difference))
            ON CONFLICT (org_id) DO UPDATE SET
                bytes = kept.bytes + difference,
                areas = kept.areas || jsonb_build_object(area, COALESCE((kept.areas ->> area)::bigint, 0) + difference),
                version = kept.version + 1;
    END IF;
    RETURN NULL;
END
$$;
-- Count what this transaction has changed so far. From here on the organization's row is locked by it.
CREATE FUNCTION orgs_settle_storage(owner uuid, OUT bytes bigint, OUT version bigint) LANGUAGE plpgsql AS $$
BEGIN
    SET CONSTRAINTS ALL IMMEDIATE;
    SET CONSTRAINTS ALL DEFERRED;
    SELECT usage.bytes, usage.version INTO bytes, version
        FROM orgs_storageusage AS usage WHERE org_id = owner FOR UPDATE;
END
$$;
"""
DROP_FUNCTIONS = """
DROP FUNCTION orgs_settle_storage(uuid);
DROP FUNCTION orgs_count_stored();
"""


def limit(apps, schema_editor):
    model = apps.get_model("orgs", "TierLimits")
    for tier, most in MOST.items():
        model.objects.filter(tier=tier).update(storage_bytes=most)


class Migration(migrations.Migration):
    dependencies = [("orgs", "0016_keys_by_family")]

    operations = [
        migrations.AlterField(
            "tierlimits",
            "retention_days",
            models.PositiveIntegerField(help_text="Sources and finished files are kept this long."),
        ),
        migrations.AddField(
            "tierlimits",
            "storage_bytes",
            models.BigIntegerField(
                db_default=0,
                default=0,
                help_text="What sources and finished files may take together.",
            ),
        ),
        migrations.CreateModel(
            "StorageUsage",
            [
                (
                    "org",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="orgs.organization",
                    ),
                ),
                ("bytes", models.BigIntegerField(db_default=0)),
                (
                    "areas",
                    models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict),
                ),
                ("version", models.BigIntegerField(db_default=1)),
            ],
        ),
        migrations.RunPython(limit, migrations.RunPython.noop),
        migrations.RunSQL(CREATE_FUNCTIONS, DROP_FUNCTIONS),
    ]
