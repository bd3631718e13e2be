"""Whether the digest of an upload was computed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0021_uploads"),
    ]

    operations = [
        migrations.AddField(
            model_name="upload",
            name="is_digested",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
    ]
