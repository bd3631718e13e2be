"""The keys of an organization in the order in which they were issued, and revoked."""

import django.db.models.deletion
from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline, DropFieldIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orgs", "0004_staff_actions")]

    operations = [
        AddIndexOnline(
            "apikey",
            models.Index(fields=["organization", "-created_at", "-id"], name="orgs_apikey_newest"),
        ),
        AddIndexOnline(
            "apikey",
            models.Index(
                fields=["organization", "-revoked_at", "-id"],
                condition=models.Q(revoked_at__isnull=False),
                name="orgs_apikey_revoked",
            ),
        ),
        # The first of them begins with what the index of the foreign key was made of.
        DropFieldIndexOnline(
            "apikey",
            "organization",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="api_keys",
                to="orgs.organization",
            ),
        ),
    ]
