from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("projects", "0006_failed_lists")]

    operations = [
        migrations.AddField(
            "project",
            "charged",
            models.BigIntegerField(db_default=0, default=0, editable=False, help_text="Credits."),
        ),
    ]
