"""How many requests of each organization were refused, by the hour."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orgs", "0019_claim_key"),
    ]

    operations = [
        migrations.CreateModel(
            name="RefusedRequests",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("hour", models.DateTimeField(help_text="When it began.")),
                ("status", models.PositiveSmallIntegerField()),
                ("code", models.CharField(max_length=64)),
                (
                    "limit_name",
                    models.CharField(
                        blank=True, db_default="", max_length=32, verbose_name="limit"
                    ),
                ),
                ("count", models.BigIntegerField()),
                (
                    "key",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="orgs.apikey",
                    ),
                ),
                (
                    "org",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="orgs.organization",
                    ),
                ),
            ],
            options={
                "verbose_name": "refused requests",
                "verbose_name_plural": "refused requests",
                "indexes": [models.Index(fields=["-hour", "-id"], name="orgs_refused_newest")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("org", "hour", "key", "status", "code", "limit_name"),
                        name="orgs_refused_once_an_hour",
                    )
                ],
            },
        ),
    ]
