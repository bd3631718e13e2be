"""Uploads whose parts go to the bucket itself."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0022_upload_digests"),
    ]

    operations = [
        migrations.AddField(
            model_name="upload",
            name="part_bytes",
            field=models.BigIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="upload",
            name="parts_id",
            field=models.TextField(db_default="", default="", editable=False),
        ),
        migrations.AlterField(
            model_name="upload",
            name="received",
            field=models.BigIntegerField(db_default=0, help_text="Bytes that are here."),
        ),
    ]
