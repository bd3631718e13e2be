"""The highest resolution of exports, by tier. What every tier had so far was 1080."""

from django.db import migrations, models

HIGHEST = {"PRO": 1440, "BUSINESS": 2160, "ENTERPRISE": 2160}


def raise_limits(apps, schema_editor):
    model = apps.get_model("orgs", "TierLimits")
    for tier, highest in HIGHEST.items():
        model.objects.filter(tier=tier).update(max_resolution=highest)


class Migration(migrations.Migration):
    dependencies = [("orgs", "0010_audit_moved_out")]
    operations = [
        migrations.AddField(
            "tierlimits",
            "max_resolution",
            models.PositiveIntegerField(
                db_default=1080, default=1080, help_text="Of exports: pixels of the shorter side."
            ),
        ),
        migrations.RunPython(raise_limits, migrations.RunPython.noop),
    ]
