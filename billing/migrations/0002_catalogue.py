"""Seed the five plans and three credit packs. Credits a month are those of the tiers (orgs 0002)."""

from django.db import migrations

from clipforge.common.models import uuid7

PLANS = [
    # code, name, tier, credits a month, US cents a month
    ("plan-free", "Free", "FREE", 60, 0),
    ("plan-starter", "Starter", "STARTER", 300, 19_00),
    ("plan-pro", "Pro", "PRO", 1000, 49_00),
    ("plan-business", "Business", "BUSINESS", 4000, 149_00),
    ("plan-enterprise", "Enterprise", "ENTERPRISE", 20000, 499_00),
]
PACKS = [
    # code, name, credits, US cents, days that the credits last
    ("pack-100", "100 credits", 100, 9_00, 365),
    ("pack-500", "500 credits", 500, 39_00, 365),
    ("pack-2000", "2000 credits", 2000, 129_00, 365),
]


def seed(apps, schema_editor):
    price = apps.get_model("billing", "Price")
    for code, name, tier, credits_, amount in PLANS:
        price.objects.get_or_create(
            code=code,
            version=1,
            defaults={
                "id": uuid7(),
                "name": name,
                "kind": "PLAN",
                "tier": tier,
                "credits": credits_,
                "amount": amount,
                "currency": "usd",
            },
        )
    for code, name, credits_, amount, days in PACKS:
        price.objects.get_or_create(
            code=code,
            version=1,
            defaults={
                "id": uuid7(),
                "name": name,
                "kind": "PACK",
                "credits": credits_,
                "amount": amount,
                "currency": "usd",
                "validity_days": days,
            },
        )
    apps.get_model("billing", "Catalogue").objects.get_or_create(pk=1)


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
