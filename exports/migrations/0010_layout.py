"""How an export brings the picture into its shape."""

from django.db import migrations, models

LAYOUTS = [
    ("auto", "By what is seen"),
    ("crop", "A part that follows the subject"),
    ("fit", "The whole picture, on itself blurred"),
    ("split", "Two people, one above the other"),
]


class Migration(migrations.Migration):
    dependencies = [("exports", "0009_options")]
    operations = [
        migrations.AddField(
            "export",
            "layout",
            models.CharField(
                choices=LAYOUTS,
                db_default="auto",
                default="auto",
                help_text="How the picture is brought into the shape.",
                max_length=8,
            ),
        ),
    ]
