from django.contrib.postgres.indexes import GinIndex
from django.db import migrations

from clipforge.common.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("projects", "0010_word_search")]

    operations = [
        AddIndexOnline(
            "projecttranscript", GinIndex(fields=["search"], name="projects_transcript_search")
        ),
    ]
