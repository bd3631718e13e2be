"""The audit moves out of orgs: the table stays, with its rows, its indexes and its trigger."""

import django.core.serializers.json
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        # Made the table and its last index.
        ("orgs", "0009_organization_lists"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="AuditEntry",
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
                        (
                            "created_at",
                            models.DateTimeField(
                                db_default=django.db.models.functions.datetime.Now()
                            ),
                        ),
                        (
                            "verb",
                            models.CharField(
                                help_text="As in change_tier, grant_credits.", max_length=64
                            ),
                        ),
                        (
                            "object_type",
                            models.CharField(help_text="As in orgs.organization.", max_length=64),
                        ),
                        ("object_id", models.CharField(max_length=64)),
                        (
                            "object_label",
                            models.CharField(help_text="What it was called then.", max_length=200),
                        ),
                        (
                            "before",
                            models.JSONField(
                                default=dict,
                                encoder=django.core.serializers.json.DjangoJSONEncoder,
                            ),
                        ),
                        (
                            "after",
                            models.JSONField(
                                default=dict,
                                encoder=django.core.serializers.json.DjangoJSONEncoder,
                            ),
                        ),
                        ("reason", models.TextField()),
                        ("request_id", models.CharField(max_length=64)),
                        (
                            "address",
                            models.GenericIPAddressField(
                                help_text="Where the request came from.", null=True
                            ),
                        ),
                        (
                            "actor",
                            models.ForeignKey(
                                db_index=False,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                        (
                            "org",
                            models.ForeignKey(
                                blank=True,
                                db_index=False,
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="orgs.organization",
                            ),
                        ),
                    ],
                    options={
                        "verbose_name_plural": "audit entries",
                        "db_table": "orgs_staffaction",
                        "indexes": [
                            models.Index(
                                fields=["org", "created_at", "id"],
                                name="orgs_staffaction_org_created",
                            ),
                            models.Index(
                                fields=["object_id", "object_type"],
                                name="orgs_staffaction_of_object",
                            ),
                            models.Index(
                                fields=["actor", "created_at"], name="orgs_staffaction_actor"
                            ),
                            models.Index(fields=["request_id"], name="orgs_staffaction_request"),
                        ],
                    },
                ),
            ],
        ),
    ]
