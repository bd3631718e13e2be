"""Revenue by month comes from an index alone."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("billing", "0013_disputed_amount")]

    operations = [
        AddIndexOnline(
            "payment",
            models.Index(
                fields=["-paid_at", "-id"],
                include=[
                    "org",
                    "price",
                    "currency",
                    "amount",
                    "reversed_amount",
                    "disputed_amount",
                ],
                condition=models.Q(("status", "PAID")),
                name="billing_payment_paid",
            ),
        )
    ]
