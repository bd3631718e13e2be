"""Files that are sent in parts, whose size counts as stored from the beginning."""

import django.db.models.deletion
from django.db import migrations, models

import clipforge.common.models

TRIGGERS = """
CREATE CONSTRAINT TRIGGER uploads_count_new AFTER INSERT ON projects_upload
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.stored_bytes <> 0) EXECUTE FUNCTION orgs_count_stored('uploads');
CREATE CONSTRAINT TRIGGER uploads_count_changed AFTER UPDATE ON projects_upload
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.stored_bytes <> OLD.stored_bytes) EXECUTE FUNCTION orgs_count_stored('uploads');
CREATE CONSTRAINT TRIGGER uploads_count_deleted AFTER DELETE ON projects_upload
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.stored_bytes <> 0) EXECUTE FUNCTION orgs_count_stored('uploads');
"""
DROP = """
DROP TRIGGER uploads_count_deleted ON projects_upload;
DROP TRIGGER uploads_count_changed ON projects_upload;
DROP TRIGGER uploads_count_new ON projects_upload;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("orgs", "0017_storage_usage"),
        ("projects", "0020_imports"),
    ]

    operations = [
        migrations.CreateModel(
            name="Upload",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=clipforge.common.models.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "name",
                    models.CharField(help_text="The file name the client gave.", max_length=255),
                ),
                ("size", models.BigIntegerField(help_text="Bytes that it will have.")),
                (
                    "sha256",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="That it will have, if that was said.",
                        max_length=64,
                    ),
                ),
                (
                    "received",
                    models.BigIntegerField(db_default=0, help_text="Bytes that are on the disk."),
                ),
                (
                    "stored_bytes",
                    models.BigIntegerField(db_default=0, default=0, editable=False),
                ),
                (
                    "used_by",
                    models.UUIDField(
                        editable=False, help_text="The project made of it.", null=True
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField()),
                (
                    "org",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="orgs.organization",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["expires_at"], name="projects_upload_expiry")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("received__gte", 0),
                            ("received__lte", models.F("size")),
                            ("size__gt", 0),
                        ),
                        name="projects_upload_received",
                    )
                ],
            },
        ),
        migrations.RunSQL(TRIGGERS, DROP),
    ]
