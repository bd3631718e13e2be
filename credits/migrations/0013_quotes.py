"""Quotes that bind."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import clipforge.common.models


class Migration(migrations.Migration):
    dependencies = [
        ("credits", "0012_usage"),
        ("orgs", "0014_ended_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="CreditQuote",
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
                ("lines", models.JSONField()),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
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
                "indexes": [models.Index(fields=["expires_at"], name="credits_quote_expiry")],
            },
        ),
    ]
