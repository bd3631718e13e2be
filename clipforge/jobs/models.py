"""The row of a job, which each kind of job extends."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.functional import cached_property

from clipforge.common.models import TimestampedModel, UUIDModel
from clipforge.orgs.models import Organization
from credits.models import CreditHold, HoldStatus

QUEUED, FAILED, CANCELLED = "QUEUED", "FAILED", "CANCELLED"


class Job(UUIDModel, TimestampedModel):
    """A row that a worker processes and a hold pays for. Subclasses add `status` and the subject.

    Every subclass has the statuses QUEUED, FAILED and CANCELLED, and names its own RUNNING.
    """

    RUNNING: ClassVar[str]
    # The name of the kind: what the ledger calls it, and how idempotency keys of its holds begin.
    REFERENCE_TYPE: ClassVar[str]

    # Overridden with the choices of the subclass.
    status = models.CharField(max_length=16, default=QUEUED)
    # Each subclass declares the composite indexes that begin with org.
    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    # Read from the row to the hold, never back.
    hold = models.ForeignKey(
        CreditHold, models.PROTECT, null=True, blank=True, db_index=False, related_name="+"
    )
    # What the hold captured, once there is a result. Lists read it here: a hold for each row would
    # cost them four pages a row.
    charged = models.BigIntegerField(default=0, db_default=0, editable=False, help_text="Credits.")
    fence = models.PositiveIntegerField(default=0, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    stage = models.CharField(max_length=32, blank=True)
    progress = models.FloatField(default=0, help_text="0 to 1, within the stage.")
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    # For staff, never for the customer: the end of what the failure left to read.
    failure_detail = models.TextField(blank=True, default="", db_default="", editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # A trigger raises it with every UPDATE. `caching` keeps stamps under it.
    version = models.BigIntegerField(db_default=1, editable=False)

    class Meta:
        abstract = True

    @property
    def is_open(self) -> bool:
        """It waits or runs."""
        return self.status in {QUEUED, self.RUNNING}

    @cached_property
    def reserved(self) -> int:
        """Credits that are set aside for it. `with_reserved` reads them along with the row."""
        if not self.is_open or self.hold is None or self.hold.status != HoldStatus.HELD:
            return 0
        return self.hold.amount
