"""Abstract models and the identifiers that clients see. No concrete models live here."""

from __future__ import annotations

import uuid
from typing import Any, Self, TypeVar

from django.db import models
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
