"""The amounts of a type, from an index alone: what was spent and granted on each day."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline, RemoveIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("credits", "0007_ledger_checks")]

    operations = [
        AddIndexOnline(
            "credittransaction",
            models.Index(
                fields=["org", "type", "-created_at", "-id"],
                include=["amount"],
                name="credits_transaction_amounts",
            ),
        ),
        # The same without the amounts.
        RemoveIndexOnline("credittransaction", "credits_transaction_type"),
    ]
