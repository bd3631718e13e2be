"""The price list: plans and credit packs, and the version of the whole list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connection, models
from django.db.models import Q
from django.db.models.functions import Now
from django.db.transaction import atomic

from billing.events import announce_pricing
from clipforge.common.models import UUIDModel
from clipforge.orgs.models import Tier


class Catalogue(models.Model):
    """One row: the number of the state that the price list is in. It only ever grows."""

    version = models.BigIntegerField(db_default=1)

    class Meta:
        db_table = "billing_catalogue"

    def __str__(self) -> str:
        return str(self.version)

    @classmethod
    def changed(cls) -> int:
        """Raise the version and announce it. Requires the transaction that changes the prices.

        Writers of prices queue up here until they commit, so that versions commit in order.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO billing_catalogue AS catalogue (id, version) VALUES (1, 1)
                ON CONFLICT (id) DO UPDATE SET version = catalogue.version + 1
                RETURNING version
                """
            )
            version: int = cursor.fetchone()[0]
        announce_pricing(cls, version)
        return version


class PriceQuerySet(models.QuerySet["Price"]):
    """Every write of prices in bulk raises the catalogue's version too.

    `bulk_update` goes through `update`. Raw SQL and `freeze` do not: nothing that the price
    list shows changes when a price is frozen.
    """

    def update(self, **values: Any) -> int:
        with atomic():
            updated = super().update(**values)
            Catalogue.changed()
        return updated

    def delete(self) -> tuple[int, dict[str, int]]:
        with atomic():
            deleted = super().delete()
            Catalogue.changed()
        return deleted

    def bulk_create(self, objs: Iterable[Price], *args: Any, **options: Any) -> list[Price]:
        with atomic():
            created = super().bulk_create(objs, *args, **options)
            Catalogue.changed()
        return created

    def freeze(self) -> int:
        """Fix the terms for ever, because a customer is being asked to pay them."""
        return super().filter(frozen_at=None)._frozen()

    def _frozen(self) -> int:
        return super().update(frozen_at=Now())

    def frozen(self) -> Price | None:
        """The first of these, read after its terms were fixed. None: there is none."""
        while (price := self.first()) is not None and price.frozen_at is None:
            Price.objects.filter(pk=price.pk).freeze()  # waits for a transaction that changes it
        return price


class PriceKind(models.TextChoices):
    PLAN = "PLAN", "Plan"
    PACK = "PACK", "Credit pack"


class Price(UUIDModel):
    """One version of something that is sold. Once a customer was asked to pay it, its terms stand.

    A trigger (migration 0003) refuses to change the terms of a frozen price or to delete it;
    `billing.services.revise_price` makes the next version instead.
    """

    code = models.SlugField(max_length=50, db_index=False)
    version = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=8, choices=PriceKind)
    tier = models.CharField(max_length=16, choices=Tier, blank=True, help_text="Of a plan.")
    credits = models.PositiveIntegerField(help_text="Each month for a plan; once for a pack.")
    amount = models.PositiveIntegerField(help_text="In minor units of the currency (cents).")
    currency = models.CharField(max_length=3, default="usd", help_text="ISO 4217, lower case.")
    validity_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="How long the credits of a pack last; empty: for ever."
    )
    is_active = models.BooleanField(default=True, help_text="Can be bought.")
    frozen_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = PriceQuerySet.as_manager()

    class Meta:
        constraints = [
            # Also finds the versions of a code, to make the next.
            models.UniqueConstraint(fields=["code", "version"], name="billing_price_version"),
            # A customer buys by code: at most one price is active.
            models.UniqueConstraint(
                fields=["code"], condition=Q(is_active=True), name="billing_price_one_active"
            ),
            # And by tier: at most one plan.
            models.UniqueConstraint(
                fields=["tier"],
                condition=Q(is_active=True, kind=PriceKind.PLAN),
                name="billing_price_one_plan_a_tier",
            ),
            models.CheckConstraint(
                condition=Q(kind=PriceKind.PLAN, validity_days=None) & ~Q(tier="")
                | Q(kind=PriceKind.PACK, tier="", amount__gt=0),
                name="billing_price_kind_fits",
            ),
            models.CheckConstraint(condition=Q(credits__gt=0), name="billing_price_has_credits"),
            models.CheckConstraint(
                condition=Q(currency__regex=r"^[a-z]{3}$"), name="billing_price_currency"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} v{self.version}"

    def save(self, *args: Any, **options: Any) -> None:
        with atomic():
            super().save(*args, **options)
            Catalogue.changed()

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        with atomic():
            deleted = super().delete(*args, **options)
            Catalogue.changed()
        return deleted

    @property
    def is_plan(self) -> bool:
        return self.kind == PriceKind.PLAN
