import django.contrib.postgres.search
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("projects", "0009_transcripts")]

    operations = [
        migrations.AddField(
            "projecttranscript", "corrected_at", models.DateTimeField(blank=True, null=True)
        ),
        migrations.AddField(
            "projecttranscript",
            "corrected_by",
            models.CharField(blank=True, db_default="", max_length=100),
        ),
        migrations.AddField(
            "projecttranscript",
            "search",
            django.contrib.postgres.search.SearchVectorField(editable=False, null=True),
        ),
    ]
