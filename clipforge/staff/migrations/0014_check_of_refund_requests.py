"""The check of requests, with refunds."""

from django.conf import settings
from django.db import migrations, models

from clipforge.common.migrations import AddCheckOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("billing", "0012_refunds"),
        ("orgs", "0017_storage_usage"),
        ("staff", "0013_refund_requests"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        AddCheckOnline(
            model_name="approvalrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("amount__gt", 0),
                        ("kind", "GRANT"),
                        ("paid_on", None),
                        ("payment", None),
                        ("price", None),
                        models.Q(("grant_kind", ""), _negated=True),
                    ),
                    models.Q(
                        ("expires_at", None),
                        ("grant_kind", ""),
                        ("kind", "ADJUST"),
                        ("paid_on", None),
                        ("payment", None),
                        ("price", None),
                        models.Q(("amount", 0), _negated=True),
                    ),
                    models.Q(
                        ("amount__gt", 0),
                        ("expires_at", None),
                        ("grant_kind", ""),
                        ("kind", "PAYMENT"),
                        ("paid_on__isnull", False),
                        ("payment", None),
                        ("price__isnull", False),
                        models.Q(("ticket", ""), _negated=True),
                    ),
                    models.Q(
                        ("amount__gt", 0),
                        ("expires_at", None),
                        ("grant_kind", ""),
                        ("kind", "REFUND"),
                        ("paid_on", None),
                        ("payment__isnull", False),
                        ("price", None),
                        ("refund_amount__gt", 0),
                    ),
                    _connector="OR",
                ),
                name="staff_moneyrequest_kind_fits",
            ),
        ),
    ]
