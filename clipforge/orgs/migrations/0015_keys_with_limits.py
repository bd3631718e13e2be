"""Keys: networks that they work from, a cap a month, rotation; organizations for tests."""

import django.db.models.deletion
from django.db import migrations, models


def related(name):
    return models.ForeignKey(
        blank=True,
        db_index=False,
        editable=False,
        null=True,
        on_delete=django.db.models.deletion.SET_NULL,
        related_name=name,
        to="orgs.apikey",
    )


class Migration(migrations.Migration):
    dependencies = [("orgs", "0014_ended_tokens")]

    operations = [
        migrations.AddField(
            "apikey",
            "allowed_addresses",
            models.TextField(
                blank=True,
                db_default="",
                editable=False,
                help_text="Networks that it works from, like 203.0.113.0/24, by blanks. Empty: from anywhere.",
            ),
        ),
        migrations.AddField(
            "apikey",
            "monthly_cap",
            models.BigIntegerField(
                blank=True,
                editable=False,
                null=True,
                help_text="Credits a month (UTC). Empty: no cap.",
            ),
        ),
        migrations.AddField(
            "apikey", "family", models.UUIDField(blank=True, editable=False, null=True)
        ),
        migrations.AddField("apikey", "created_with", related("keys_created")),
        migrations.AddField("apikey", "replaces", related("successors")),
        migrations.AddField(
            "organization",
            "sandbox_of",
            models.ForeignKey(
                blank=True,
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="sandboxes",
                to="orgs.organization",
            ),
        ),
        migrations.CreateModel(
            name="KeySpending",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("family", models.UUIDField()),
                (
                    "month",
                    models.DateField(help_text="Its first day, in UTC: that of the reservation."),
                ),
                ("used", models.BigIntegerField(db_default=0)),
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
                "constraints": [
                    models.UniqueConstraint(
                        fields=("org", "family", "month"), name="orgs_keyspending_once_a_month"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("used__gte", 0)), name="orgs_keyspending_used_positive"
                    ),
                ],
            },
        ),
    ]
