"""The last words of what failed, for staff."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("projects", "0002_indexes_of_lists")]

    operations = [
        migrations.AddField(
            "project",
            "failure_detail",
            models.TextField(blank=True, db_default="", default="", editable=False),
        ),
    ]
