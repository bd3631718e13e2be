"""A new choice, which the database does not know of."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("exports", "0015_updated_list"),
    ]

    operations = [
        migrations.AlterField(
            model_name="export",
            name="format",
            field=models.CharField(
                choices=[
                    ("mp4", "MP4, H.264"),
                    ("mp4-hevc", "MP4, HEVC"),
                    ("mp4-av1", "MP4, AV1"),
                    ("webm", "WebM, VP9"),
                ],
                db_default="mp4",
                default="mp4",
                max_length=16,
            ),
        ),
    ]
