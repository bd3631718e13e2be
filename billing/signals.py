"""Receivers: any change of a price invalidates the cached list."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from billing import caching
from billing.events import pricing_changed


@receiver(pricing_changed)
def forget_pricing(sender: Any, version: int, **kwargs: Any) -> None:
    caching.catalogue_changed(version)
