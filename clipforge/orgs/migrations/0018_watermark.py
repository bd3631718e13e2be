"""Watermarks, by tier."""

from django.db import migrations, models

TIERS = ("PRO", "BUSINESS", "ENTERPRISE")


def allow(apps, schema_editor):
    apps.get_model("orgs", "TierLimits").objects.filter(tier__in=TIERS).update(watermark=True)


class Migration(migrations.Migration):
    dependencies = [("orgs", "0017_storage_usage")]
    operations = [
        migrations.AddField(
            "tierlimits",
            "watermark",
            models.BooleanField(
                db_default=False,
                default=False,
                help_text="Exports may carry the customer's own image.",
            ),
        ),
        migrations.RunPython(allow, migrations.RunPython.noop),
    ]
