"""The sound track that was named, and what is missing in a source."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("projects", "0012_choice")]
    operations = [
        migrations.AddField(
            "project",
            "audio_track",
            models.SmallIntegerField(
                blank=True,
                help_text="The sound track to use, counted from 0; empty: the one that people hear.",
                null=True,
            ),
        ),
        migrations.AddField(
            "project",
            "warnings",
            models.JSONField(
                blank=True,
                db_default=models.Value([], models.JSONField()),
                default=list,
                editable=False,
                help_text="What is missing in the source, as code and message.",
            ),
        ),
    ]
