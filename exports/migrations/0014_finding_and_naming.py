"""The twin of an export that was ordered twice, and a name of its file for people."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("exports", "0013_version")]

    operations = [
        migrations.AddField(
            "export", "duplicate_of", models.UUIDField(blank=True, editable=False, null=True)
        ),
        migrations.AddField(
            "export",
            "download_name",
            models.CharField(blank=True, db_default="", editable=False, max_length=120),
        ),
    ]
