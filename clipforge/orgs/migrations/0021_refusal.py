"""The refusals that clients were told of, by the request id of each."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orgs", "0020_refused_requests"),
    ]

    operations = [
        migrations.CreateModel(
            name="Refusal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("request_id", models.CharField(max_length=64)),
                ("at", models.DateTimeField()),
                ("key_prefix", models.CharField(db_default="", max_length=16)),
                ("method", models.CharField(max_length=8)),
                ("route", models.CharField(db_default="", max_length=64)),
                ("status", models.PositiveSmallIntegerField()),
                ("code", models.CharField(max_length=64)),
                ("limit_name", models.CharField(db_default="", max_length=32)),
                ("detail", models.CharField(max_length=300)),
                (
                    "org",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="orgs.organization",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["request_id"], name="orgs_refusal_request"),
                    models.Index(fields=["at"], name="orgs_refusal_at"),
                    models.Index(fields=["org"], name="orgs_refusal_org"),
                ],
            },
        ),
    ]
