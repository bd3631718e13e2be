"""An index that finds the actions on one row by its id alone."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline, RemoveIndexOnline


class Migration(migrations.Migration):
    # Indexes are built while staff read and write.
    atomic = False

    dependencies = [("orgs", "0007_session_version")]

    operations = [
        AddIndexOnline(
            "staffaction",
            models.Index(fields=["object_id", "object_type"], name="orgs_staffaction_of_object"),
        ),
        RemoveIndexOnline("staffaction", "orgs_staffaction_object"),
    ]
