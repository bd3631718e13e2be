"""Seed the limits of the five tiers. Requests per minute are the product's figures."""

from django.db import migrations

LIMITS = {
    # tier: requests a minute, concurrent jobs, longest source (s), retention (days), credits a month
    "FREE": (50, 1, 30 * 60, 7, 60),
    "STARTER": (100, 2, 60 * 60, 30, 300),
    "PRO": (200, 4, 2 * 3600, 60, 1000),
    "BUSINESS": (500, 8, 4 * 3600, 90, 4000),
    "ENTERPRISE": (1000, 16, 4 * 3600, 365, 20000),
}


def seed(apps, schema_editor):
    model = apps.get_model("orgs", "TierLimits")
    for tier, (requests, jobs, source, retention, credits_) in LIMITS.items():
        model.objects.get_or_create(
            tier=tier,
            defaults={
                "requests_per_minute": requests,
                "concurrent_jobs": jobs,
                "max_source_seconds": source,
                "retention_days": retention,
                "monthly_credits": credits_,
            },
        )


class Migration(migrations.Migration):
    dependencies = [("orgs", "0001_initial")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
