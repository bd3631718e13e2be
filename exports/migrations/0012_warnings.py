"""The parts that are missing in a clip that was made all the same."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("exports", "0011_tighten")]
    operations = [
        migrations.AddField(
            "export",
            "warnings",
            models.JSONField(
                blank=True,
                db_default=models.Value([], models.JSONField()),
                default=list,
                editable=False,
                help_text="What is missing in the clip, as code and message.",
            ),
        ),
    ]
