"""The image of an organization, and where it is in a clip."""

import django.db.models.deletion
from django.db import migrations, models

import clipforge.common.models


class Migration(migrations.Migration):
    dependencies = [
        ("exports", "0018_files_end"),
        ("orgs", "0018_watermark"),
    ]

    operations = [
        migrations.AddField(
            model_name="export",
            name="watermark",
            field=models.JSONField(
                blank=True,
                help_text="Position, opacity and size of the organization's image; empty: none.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="Watermark",
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
                ("file_key", models.CharField(editable=False, max_length=255)),
                ("width", models.PositiveIntegerField(help_text="Pixels.")),
                ("height", models.PositiveIntegerField(help_text="Pixels.")),
                ("size", models.PositiveIntegerField(help_text="Bytes.")),
                ("sha256", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "org",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="orgs.organization",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
    ]
