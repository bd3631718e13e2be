"""Abstract models and the identifiers that clients see. No concrete models live here."""

from __future__ import annotations

import uuid
from typing import Any, Self, TypeVar

from django.db import models, transaction
from django.dispatch import Signal
from uuid_utils.compat import uuid7 as _uuid7


def uuid7() -> uuid.UUID:
    """A new identifier: ordered by time (good for B-trees), not guessable (RFC 9562)."""
    return _uuid7()


class UUIDModel(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True


class TimestampedModel(models.Model):
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


M = TypeVar("M", bound=models.Model)


class OrgQuerySet(models.QuerySet[M]):
    """A queryset of rows that belong to an organization. Every read starts with `for_org`."""

    def for_org(self, org: Any) -> Self:
        return self.filter(org=org)


# Sent with `pks` after a bulk UPDATE, inside its transaction: `post_save` is not sent for one.
rows_updated = Signal()


class AnnouncingQuerySet(models.QuerySet[M]):
    """A queryset whose bulk updates are heard of: `update`, and `bulk_update`, which is made of it."""

    def update(self, **kwargs: Any) -> int:
        with transaction.atomic(using=self.db):
            pks = list(self.order_by().values_list("pk", flat=True))
            # No others: a row that begins to match meanwhile would be changed and not announced.
            rows = models.QuerySet.update(self.filter(pk__in=pks), **kwargs)
            if pks:
                rows_updated.send(sender=self.model, pks=pks)
        return rows

    update.alters_data = True  # type: ignore[attr-defined]


class CachedRow(models.Model):
    """A row that its app's `caching` knows. A trigger raises `version` with every UPDATE."""

    version = models.BigIntegerField(db_default=1, editable=False)

    class Meta:
        abstract = True
