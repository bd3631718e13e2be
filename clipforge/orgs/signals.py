"""Receivers that invalidate a cached row with every change of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models.signals import post_save, pre_delete
from django.dispatch import receiver

from clipforge.common.models import CachedRow, rows_updated
from clipforge.orgs import caching
from clipforge.orgs.models import APIKey, Organization, TierLimits


@receiver(post_save, sender=APIKey)
@receiver(post_save, sender=Organization)
@receiver(post_save, sender=TierLimits)
def forget_saved(sender: Any, instance: CachedRow, created: bool, **kwargs: Any) -> None:
    if not created:
        caching.changed(instance)


@receiver(pre_delete, sender=APIKey)
@receiver(pre_delete, sender=Organization)
@receiver(pre_delete, sender=TierLimits)
def forget_deleted(sender: Any, instance: CachedRow, **kwargs: Any) -> None:
    caching.deleting(instance)


@receiver(rows_updated, sender=APIKey)
@receiver(rows_updated, sender=Organization)
@receiver(rows_updated, sender=TierLimits)
def forget_updated(sender: type[CachedRow], pks: Iterable[Any], **kwargs: Any) -> None:
    caching.rows_changed(sender, pks)
