"""Events of Stripe's test mode, for sandboxes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_transfers_without_blanks")]

    operations = [
        migrations.AddField(
            "stripeevent",
            "is_test",
            models.BooleanField(
                db_default=False, default=False, help_text="Of the test mode: about a sandbox."
            ),
        ),
    ]
