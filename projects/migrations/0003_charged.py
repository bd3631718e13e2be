from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("projects", "0002_indexes_of_lists")]

    operations = [
        migrations.AddField(
            "project",
            "charged",
            models.BigIntegerField(db_default=0, default=0, editable=False, help_text="Credits."),
        ),
    ]
