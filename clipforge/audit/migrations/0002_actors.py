"""Commands, Stripe and the system leave rows too: without a person, and by their names."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

KINDS = [
    ("user", "Person"),
    ("command", "Command"),
    ("stripe", "Stripe"),
    ("system", "System"),
    ("key", "API key"),
]


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("audit", "0001_initial"),
        ("orgs", "0010_audit_moved_out"),
    ]

    # Of the catalogue only: a constant default is not written into the rows that there are.
    operations = [
        migrations.AddField(
            model_name="auditentry",
            name="actor_kind",
            field=models.CharField(choices=KINDS, db_default="user", default="user", max_length=16),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="actor_name",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="A command, an event of Stripe's, a part of the system, the prefix of a key.",
                max_length=255,
            ),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="actor_label",
            field=models.CharField(
                blank=True, db_default="", help_text="What it was called then.", max_length=200
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="actor",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
