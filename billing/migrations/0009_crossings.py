"""How often a balance fell below its threshold: what makes each alert about it another one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_failed_alerts")]

    operations = [
        migrations.AddField(
            model_name="billingaccount",
            name="crossings",
            field=models.PositiveIntegerField(
                db_default=0, help_text="How often the balance fell below the threshold."
            ),
        )
    ]
