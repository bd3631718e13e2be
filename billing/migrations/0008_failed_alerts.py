"""The alerts that could not be sent, for the staff's first page."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("billing", "0007_indexes_of_lists")]

    operations = [
        AddIndexOnline(
            "alert",
            models.Index(
                fields=["created_at"],
                condition=models.Q(("status", "FAILED")),
                name="billing_alert_failed",
            ),
        ),
    ]
