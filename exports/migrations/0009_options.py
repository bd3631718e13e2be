"""Options of exports: captions, frame rate, format, and resolutions above 1080."""

from django.db import migrations, models

FPS = [(24, "24"), (25, "25"), (30, "30"), (50, "50"), (60, "60")]
FORMATS = [("mp4", "MP4, H.264"), ("mp4-hevc", "MP4, HEVC"), ("webm", "WebM, VP9")]
CAPTIONS = [
    ("none", "None"),
    ("plain", "Plain"),
    ("bold-word", "The spoken word stands out"),
    ("karaoke", "Words change their colour when they are spoken"),
]
RESOLUTIONS = [(480, "480"), (720, "720"), (1080, "1080"), (1440, "1440"), (2160, "2160")]


class Migration(migrations.Migration):
    dependencies = [("exports", "0008_charged_of_old_rows")]
    operations = [
        migrations.AddField(
            "export",
            "fps",
            models.SmallIntegerField(
                blank=True,
                choices=FPS,
                help_text="Pictures a second at most; empty: as many as the source has.",
                null=True,
            ),
        ),
        migrations.AddField(
            "export",
            "format",
            models.CharField(choices=FORMATS, db_default="mp4", default="mp4", max_length=16),
        ),
        migrations.AddField(
            "export",
            "captions",
            models.CharField(
                choices=CAPTIONS,
                db_default="none",
                default="none",
                help_text="How the words are drawn into the pictures.",
                max_length=16,
            ),
        ),
        migrations.AddField(
            "export",
            "caption_style",
            models.JSONField(
                blank=True,
                db_default=models.Value({}, models.JSONField()),
                default=dict,
                help_text="Position, size and colours; what is left out is as usual.",
            ),
        ),
        migrations.AlterField(
            "export",
            "resolution",
            models.PositiveIntegerField(
                choices=RESOLUTIONS, default=1080, help_text="Pixels of the shorter side."
            ),
        ),
    ]
