"""The places of open jobs: whose turn it is. Empty until jobs are submitted with them."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0001_entries_of_jobs"),
        ("orgs", "0013_queued_jobs"),
    ]

    operations = [
        migrations.CreateModel(
            name="JobClock",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.BigIntegerField(db_default=0)),
            ],
        ),
        migrations.CreateModel(
            name="JobShare",
            fields=[
                (
                    "org",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="orgs.organization",
                    ),
                ),
                ("finish", models.BigIntegerField(db_default=0)),
                ("step", models.BigIntegerField(db_default=1)),
                ("waiting", models.IntegerField(db_default=0)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("waiting__gt", 0)),
                        fields=["org"],
                        name="jobs_share_waiting",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="JobPlace",
            fields=[
                ("job", models.UUIDField(primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=32)),
                ("fence", models.BigIntegerField()),
                (
                    "queued_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("tag", models.BigIntegerField(null=True)),
                ("started", models.BooleanField(db_default=False)),
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
                "indexes": [
                    models.Index(
                        condition=models.Q(("tag__isnull", True)),
                        fields=["org", "queued_at", "job"],
                        name="jobs_place_waiting",
                    ),
                    models.Index(
                        condition=models.Q(("tag__isnull", False)),
                        fields=["org"],
                        name="jobs_place_active",
                    ),
                    models.Index(
                        condition=models.Q(("started", False), ("tag__isnull", False)),
                        fields=["tag", "job"],
                        name="jobs_place_next",
                    ),
                ],
            },
        ),
    ]
