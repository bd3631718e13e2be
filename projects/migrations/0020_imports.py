"""Where sources are to be fetched from."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orgs", "0017_storage_usage"),
        ("projects", "0019_source_formats"),
    ]

    operations = [
        migrations.CreateModel(
            name="ProjectImport",
            fields=[
                (
                    "project",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="source_import",
                        serialize=False,
                        to="projects.project",
                    ),
                ),
                ("url", models.TextField(editable=False)),
                ("max_credits", models.BigIntegerField(editable=False, null=True)),
                (
                    "validator",
                    models.CharField(blank=True, db_default="", default="", max_length=200),
                ),
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
        ),
    ]
