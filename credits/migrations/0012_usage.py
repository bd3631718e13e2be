"""Credits used over a stretch of time, from an index alone."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("credits", "0011_ordered_by")]

    operations = [
        AddIndexOnline(
            "credittransaction",
            models.Index(
                fields=["org", "created_at"],
                include=["type", "amount", "reference_type", "ordered_by"],
                condition=models.Q(("type", "SPEND"), ("type", "REFUND"), _connector="OR"),
                name="credits_transaction_usage",
            ),
        ),
    ]
