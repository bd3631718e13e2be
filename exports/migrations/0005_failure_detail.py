"""The last words of what failed, for staff."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("exports", "0004_list_by_status")]

    operations = [
        migrations.AddField(
            "export",
            "failure_detail",
            models.TextField(blank=True, db_default="", default="", editable=False),
        ),
    ]
