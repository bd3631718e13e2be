"""The admin's lists by status, method and kind."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("billing", "0006_alerts")]

    operations = [
        AddIndexOnline(
            "payment", models.Index(fields=["status", "-id"], name="billing_payment_status")
        ),
        AddIndexOnline(
            "payment",
            models.Index(
                fields=["-id"],
                condition=models.Q(("method", "MANUAL")),
                name="billing_payment_hand",
            ),
        ),
        AddIndexOnline(
            "stripeevent", models.Index(fields=["-received_at", "-id"], name="billing_event_newest")
        ),
        AddIndexOnline(
            "stripeevent",
            models.Index(fields=["status", "-received_at", "-id"], name="billing_event_status"),
        ),
        AddIndexOnline(
            "alert", models.Index(fields=["status", "-id"], name="billing_alert_status")
        ),
        AddIndexOnline("alert", models.Index(fields=["kind", "-id"], name="billing_alert_kind")),
    ]
