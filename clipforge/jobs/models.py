"""The row of a job, which each kind of job extends."""

from __future__ import annotations

import datetime
import uuid
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.functional import cached_property

from clipforge.common.models import TimestampedModel, UUIDModel
from clipforge.orgs.models import Organization
from credits.models import CreditHold, HoldStatus

QUEUED, FAILED, CANCELLED = "QUEUED", "FAILED", "CANCELLED"
# Of kinds whose files are not kept for ever.
EXPIRED = "EXPIRED"


class Job(UUIDModel, TimestampedModel):
    """A row that a worker processes and a hold pays for. Subclasses add `status` and the subject.

    Every subclass has the statuses QUEUED, FAILED and CANCELLED, and names its own RUNNING.
    """

    RUNNING: ClassVar[str]
    # The name of the kind: what the ledger calls it, and how idempotency keys of its holds begin.
    REFERENCE_TYPE: ClassVar[str]
    # The rows besides its own that an answer about it shows: read with it after a cancel or a retry.
    SHOWN_WITH: ClassVar[tuple[str, ...]] = ()

    # How many jobs start before it, known to the request that queued it just now.
    ahead_when_queued: int | None = None
    # When it is expected to start, by what was known then.
    starts_when_queued: datetime.datetime | None = None

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
    # What its stored files take now. A trigger of each kind's table adds it up by organization.
    stored_bytes = models.BigIntegerField(default=0, db_default=0, editable=False)
    # Of a notice about the end of its file: the days that were left when the last one was given.
    notice_given = models.SmallIntegerField(null=True, editable=False)
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


class JobShare(models.Model):
    """The turn of an organization among all that have jobs. Written by the functions of places only.

    `finish` is the virtual time at which its next job may start, `step` what a job of its tier takes
    of that time, `waiting` how many of its places wait. `prepared` is as `finish`, of preparations.
    """

    org = models.OneToOneField(Organization, models.PROTECT, primary_key=True, related_name="+")
    finish = models.BigIntegerField(db_default=0)
    step = models.BigIntegerField(db_default=1)
    waiting = models.IntegerField(db_default=0)
    prepared = models.BigIntegerField(db_default=0)

    class Meta:
        indexes = [
            # `jobs_position`, and the sweeper's look for organizations with room.
            models.Index(
                fields=["org"], condition=models.Q(waiting__gt=0), name="jobs_share_waiting"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.waiting} wait"


class JobPlace(models.Model):
    """The place of an open job. It waits while `tag` is NULL; then it has a queue entry, or runs.

    `tag` is the virtual time at which it may start: entries are taken in that order.
    """

    job = models.UUIDField(primary_key=True)
    kind = models.CharField(max_length=32)
    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    fence = models.BigIntegerField()
    queued_at = models.DateTimeField(db_default=Now())
    tag = models.BigIntegerField(null=True)
    started = models.BooleanField(db_default=False)
    # As `tag`, among those that are prepared.
    prepares_at = models.BigIntegerField(null=True)
    # False while it waits to be prepared, true once it has an entry for that, or is at it.
    prepares = models.BooleanField(null=True)

    class Meta:
        indexes = [
            # `jobs_promote`: the next that waits of an organization.
            models.Index(
                fields=["org", "queued_at", "job"],
                condition=models.Q(tag__isnull=True),
                name="jobs_place_waiting",
            ),
            # `jobs_promote` counts those of an organization that have an entry or run.
            models.Index(
                fields=["org"], condition=models.Q(tag__isnull=False), name="jobs_place_active"
            ),
            # `jobs_position`: those that start before one. Few: at most the limit of each tier.
            models.Index(
                fields=["tag", "job"],
                condition=models.Q(tag__isnull=False, started=False),
                name="jobs_place_next",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.job}"


class JobClock(models.Model):
    """Two rows: the virtual time, which is the tag of the latest job that started, and that of preparations.

    The first knows when that was, and how many seconds there are between two starts while jobs wait: the
    mean of so many `paces`.
    """

    at = models.BigIntegerField(db_default=0)
    started_at = models.DateTimeField(null=True)
    pace = models.FloatField(null=True)
    paces = models.IntegerField(db_default=0)

    def __str__(self) -> str:
        return str(self.at)


class StoreMarker(models.Model):
    """A marker that was written into the store: `clipforge.jobs.store_markers`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return str(self.pk)
