"""Tokens that have ended are found and deleted."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orgs", "0013_queued_jobs")]

    operations = [
        AddIndexOnline(
            "apikey",
            models.Index(
                fields=["expires_at"],
                condition=models.Q(("is_publishable", True)),
                name="orgs_apikey_ended_tokens",
            ),
        )
    ]
