"""Disputes are told apart from refunds."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0012_refunds")]

    operations = [
        migrations.AddField(
            "payment",
            "disputed_amount",
            models.IntegerField(
                db_default=0, help_text="Of what went back, what banks took in disputes."
            ),
        )
    ]
