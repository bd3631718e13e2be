"""How many jobs of a tier may wait beyond those that run. So far none waited: a job too many was refused."""

from django.db import migrations, models

DEPTHS = {"FREE": 10, "STARTER": 50, "PRO": 200, "BUSINESS": 1000, "ENTERPRISE": 10_000}


def deepen(apps, schema_editor):
    model = apps.get_model("orgs", "TierLimits")
    for tier, depth in DEPTHS.items():
        model.objects.filter(tier=tier).update(queued_jobs=depth)


class Migration(migrations.Migration):
    dependencies = [("orgs", "0012_origins_and_tokens")]
    operations = [
        migrations.AlterField(
            "tierlimits",
            "concurrent_jobs",
            models.PositiveIntegerField(
                help_text="Analyses and exports that run at the same time. Also the share of the workers."
            ),
        ),
        migrations.AddField(
            "tierlimits",
            "queued_jobs",
            models.PositiveIntegerField(
                db_default=0, default=0, help_text="Analyses and exports that wait beyond those."
            ),
        ),
        migrations.RunPython(deepen, migrations.RunPython.noop),
    ]
