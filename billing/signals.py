"""Receivers: any change of a price invalidates the cached list; a sandbox gets its free credits."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from billing import caching, sandboxes
from billing.events import pricing_changed
from clipforge.orgs.events import sandbox_made
from clipforge.orgs.models import Organization


@receiver(pricing_changed)
def forget_pricing(sender: Any, version: int, **kwargs: Any) -> None:
    caching.catalogue_changed(version)


# Not only a cache: in a sandbox without credits nothing could be tested.
@receiver(sandbox_made)
def give_credits(sender: Any, sandbox: Organization, **kwargs: Any) -> None:
    sandboxes.fill_up(sandbox)
