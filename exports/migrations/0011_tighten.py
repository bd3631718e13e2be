"""Exports may leave out pauses: how much, and what is kept."""

from django.db import migrations, models

TIGHTEN = [
    ("off", "Nothing is left out"),
    ("gentle", "Long pauses are left out"),
    ("hard", "Pauses and filler words are left out"),
]


class Migration(migrations.Migration):
    dependencies = [("exports", "0010_layout")]
    operations = [
        migrations.AddField(
            "export",
            "tighten",
            models.CharField(choices=TIGHTEN, db_default="off", default="off", max_length=16),
        ),
        migrations.AddField(
            "export",
            "kept",
            models.JSONField(
                blank=True,
                help_text="Ranges of the source that are in the clip; empty: all.",
                null=True,
            ),
        ),
    ]
