"""Pages of customers: the origins that an organization allows, and keys that are short-lived tokens."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orgs", "0011_resolution")]

    operations = [
        migrations.AddField(
            "organization",
            "allowed_origins",
            models.TextField(
                blank=True,
                db_default="",
                help_text="Whose pages may read answers: origins like https://app.example.com, by blanks.",
            ),
        ),
        migrations.AddField(
            "apikey",
            "scopes",
            models.CharField(blank=True, db_default="", editable=False, max_length=100),
        ),
        migrations.AddField(
            "apikey",
            "is_publishable",
            models.BooleanField(db_default=False, default=False, editable=False),
        ),
    ]
