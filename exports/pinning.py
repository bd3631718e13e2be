"""Pinned exports: their files stay while the organization pays for its tier."""

from __future__ import annotations

import datetime
import logging

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest, Now

from clipforge.common.errors import Conflict, Forbidden, NotFound
from clipforge.common.models import OrgQuerySet
from clipforge.jobs import caching as job_caching
from clipforge.jobs.failures import DATABASE_FAULTS
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import Tier
from exports import selectors
from exports.models import Export

logger = logging.getLogger(__name__)

# A file that is no longer pinned stays for so long at least: its end is told a week and a day before.
GRACE = datetime.timedelta(days=9)


def pin_export(*, export: Export, pinned: bool, actor: str) -> Export:
    """Keep the file while the organization pays for its tier; or, unpinned, no longer than others.

    Raises Conflict where there is no file, Forbidden in a tier that is not paid for, NotFound.
    """
    with transaction.atomic():
        locked = _locked().filter(pk=export.pk).first()
        if locked is None:
            raise NotFound
        if locked.status != Export.Status.READY:
            raise Conflict(
                f"The export is {locked.status}; it can be pinned while it is READY.",
                code="export_not_ready",
            )
        if pinned and locked.org.tier == Tier.FREE:
            raise Forbidden("No file is pinned in the FREE tier.", code="pin_not_in_tier")
        if locked.pinned != pinned:
            _set(locked, pinned=pinned, stays=pinned)
            logger.info("pin changed", extra={"export": str(export.pk), "actor": actor})
    return selectors.get_export(export.org, export.pk)


def follow_tiers() -> int:
    """Let the files of organizations that no longer pay end, and those of others stay. Returns how many."""
    moved = 0
    pinned = Export.objects.filter(pinned=True, status=Export.Status.READY)
    ended = pinned.filter(org__tier=Tier.FREE, expires_at=None)
    kept = pinned.filter(expires_at__isnull=False).exclude(org__tier=Tier.FREE)
    for rows, stays in ((ended, False), (kept, True)):
        for pk in list(rows.values_list("pk", flat=True)):
            try:
                with transaction.atomic():
                    # No condition of a subquery: it would not be looked at again after the wait for
                    # the lock, and what was unpinned meanwhile would be pinned again.
                    locked = rows.select_for_update(of=("self",)).select_related("org")
                    if export := locked.filter(pk=pk).first():
                        _set(export, pinned=True, stays=stays)
                        moved += 1
            except DATABASE_FAULTS:
                raise
            except Exception:
                logger.exception("a pin does not follow its tier", extra={"export": str(pk)})
    return moved


def _locked() -> OrgQuerySet[Export]:
    return Export.objects.select_for_update(of=("self",)).select_related("org")


def _set(export: Export, *, pinned: bool, stays: bool) -> None:
    """Requires the lock of the row."""
    retention = datetime.timedelta(days=org_selectors.limits_of(export.org).retention_days)
    end = None if stays else Greatest(F("finished_at") + retention, Now() + GRACE)
    Export.objects.filter(pk=export.pk).update(
        pinned=pinned, expires_at=end, notice_given=None, updated_at=Now()
    )
    job_caching.changed(Export, export.pk)
