"""Indexes for the searches of staff in the ledger."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("credits", "0005_kept_for_ever")]

    operations = [
        AddIndexOnline(
            "creditgrant", models.Index(fields=["org", "-id"], name="credits_grant_org")
        ),
        AddIndexOnline(
            "credithold",
            models.Index(
                fields=["reference_id"],
                condition=models.Q(("reference_id", ""), _negated=True),
                name="credits_hold_reference",
            ),
        ),
        AddIndexOnline(
            "credittransaction",
            models.Index(
                fields=["reference_id"],
                condition=models.Q(("reference_id", ""), _negated=True),
                name="credits_transaction_reference",
            ),
        ),
    ]
