"""A transfer is found whatever blanks are in its reference."""

from django.db import migrations, models
from django.db.models import F, Value
from django.db.models.functions import Replace

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("billing", "0009_crossings")]

    operations = [
        AddIndexOnline(
            "payment",
            models.Index(
                Replace(F("reference"), Value(" "), Value("")),
                condition=models.Q(("reference", ""), _negated=True),
                name="billing_payment_transfer",
            ),
        )
    ]
