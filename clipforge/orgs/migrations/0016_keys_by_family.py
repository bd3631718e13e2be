"""Keys of an organization without its tokens, by family, by who made them; one successor, one sandbox."""

from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline, AddUniqueOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orgs", "0015_keys_with_limits")]

    operations = [
        AddIndexOnline(
            "apikey",
            models.Index(
                fields=["organization", "-created_at", "-id"],
                condition=models.Q(("is_publishable", False)),
                name="orgs_apikey_lasting",
            ),
        ),
        AddIndexOnline(
            "apikey",
            models.Index(
                fields=["created_with"],
                condition=models.Q(("created_with__isnull", False)),
                name="orgs_apikey_created_with",
            ),
        ),
        AddIndexOnline(
            "apikey",
            models.Index(
                fields=["family"],
                condition=models.Q(("family__isnull", False)),
                name="orgs_apikey_family",
            ),
        ),
        AddUniqueOnline(
            "apikey",
            models.UniqueConstraint(
                fields=("replaces",),
                condition=models.Q(("replaces__isnull", False)),
                name="orgs_apikey_one_successor",
            ),
        ),
        AddUniqueOnline(
            "organization",
            models.UniqueConstraint(
                fields=("sandbox_of",),
                condition=models.Q(("sandbox_of__isnull", False)),
                name="orgs_organization_one_sandbox",
            ),
        ),
    ]
