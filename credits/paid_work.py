"""Long work that is paid with a hold and survives dead workers.

The row is the truth; the queue is only a messenger. A row carries a *fence*, a number
that grows with every change of hands, and so does its hold. Whoever knows the current
fence may change them; a worker that came back from the dead knows an old one, and its
conditional UPDATE touches nothing.

    submit     QUEUED,  fence n      hold reserved, task (id, n) deferred in one transaction
    claim      RUNNING, fence n+1    only WHERE status = QUEUED AND fence = n
    beat       lease renewed         only WHERE status = RUNNING AND fence = n+1
    succeed    hold captured         only WHERE status = RUNNING AND fence = n+1
    fail       hold released         likewise
    cancel     hold released         from QUEUED or RUNNING, fence one up
    requeue    QUEUED,  fence n+2    by the sweeper when the lease ran out

Locks are always taken in the order row, hold, account, grants.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Protocol, TypeVar

from django.conf import settings
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    close_old_connections,
    models,
    transaction,
)
from django.db.models import Case, F, OuterRef, Subquery, Value, When
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.functional import cached_property

from clipforge.common.errors import Conflict, NotFound, StorageFull
from clipforge.common.last_words import last_words, where_raised
from clipforge.common.models import TimestampedModel, UUIDModel
from clipforge.common.shutdown import stopping
from clipforge.media import ErrorCode, MediaError
from clipforge.orgs.models import Organization
from credits import reconciling
from credits import services as ledger
from credits.models import CreditHold, HoldStatus
from credits.pricing import Charge
from credits.selectors import Breach

logger = logging.getLogger(__name__)

ACTOR = "system:worker"

# Work that comes back was promised its place: its new job goes before those that wait already.
COMES_BACK = 1


class Defer(Protocol):
    """Queues the task that does the work, inside the transaction that queues the row."""

    def __call__(self, pk: uuid.UUID, fence: int, *, priority: int = 0) -> None: ...


QUEUED, FAILED, CANCELLED = "QUEUED", "FAILED", "CANCELLED"

# The database is away, overloaded or restarting: no fault of the work, which is worth a retry.
DATABASE_FAULTS = (OperationalError, InterfaceError)

MAX_POSITION = 1000

WORKER_LOST = (
    "worker_lost",
    "The machine that did this stopped several times. You were not charged; retry it.",
)
INTERNAL_ERROR = (
    "internal_error",
    "Something failed on our side. You were not charged; retry it.",
)
STORAGE_FULL = (
    ErrorCode.STORAGE_FULL.value,
    "There was no room for the finished file. You were not charged; retry it later.",
)
SOURCE_MISSING = (
    "source_missing",
    "The uploaded file is not there any more. You were not charged; upload it again.",
)
HOLD_LAPSED = (
    "hold_lapsed",
    "The reserved credits were given back before the work finished. You were not charged; retry it.",
)


class HoldLost(Exception):
    """The hold was settled by somebody else while the work ran."""


class PaidWork(UUIDModel, TimestampedModel):
    """A row that is worked on and paid for. Subclasses add `status` and what the work is about.

    Every subclass has the statuses QUEUED, FAILED and CANCELLED, and names its own RUNNING.
    """

    RUNNING: ClassVar[str]
    # What the ledger calls it, and how idempotency keys of its holds begin.
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
    # For staff, never for the customer: the last words of whatever failed.
    failure_detail = models.TextField(blank=True, default="", db_default="", editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

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


W = TypeVar("W", bound=PaidWork)


def with_reserved(rows: models.QuerySet[W]) -> models.QuerySet[W]:
    """The same rows, knowing what is reserved for them. Only of those that are open a hold is read."""
    held = CreditHold.objects.filter(pk=OuterRef("hold_id"), status=HoldStatus.HELD)
    amount = Coalesce(Subquery(held.values("amount")), Value(0))
    is_open = When(status__in=[QUEUED, rows.model.RUNNING], then=amount)
    annotated: models.QuerySet[Any] = rows.annotate(reserved=Case(is_open, default=Value(0)))
    return annotated


# --- by whoever asks for the work -----------------------------------------------------


def submit(
    item: PaidWork,
    *,
    charge: Charge,
    reason: str,
    actor: str,
    defer: Defer,
    most_open: int | None = None,
) -> None:
    """Reserve the price, insert the row as QUEUED and defer its task, all or nothing.

    Raises InsufficientCredits, and TooManyAtOnce where `most_open` jobs of the organization wait
    or run; then nothing was written.
    """
    with transaction.atomic():
        item.hold = _reserve(item, charge, reason, actor, most_open)
        item.status = QUEUED
        item.queued_at = timezone.now()
        item.save(force_insert=True)
        defer(item.pk, item.fence)


def retry(
    item: W,
    *,
    charge: Charge,
    reason: str,
    actor: str,
    defer: Defer,
    most_open: int | None = None,
) -> W:
    """Queue a FAILED or CANCELLED row again, under the same id and at today's price.

    Raises Conflict in any other state, InsufficientCredits and TooManyAtOnce as `submit` does.
    """
    with transaction.atomic():
        locked = _locked(item)
        if locked.status not in {FAILED, CANCELLED}:
            raise Conflict(f"It is {locked.status}; only FAILED or CANCELLED work can be retried.")
        locked.fence += 1
        locked.hold = _reserve(locked, charge, reason, actor, most_open)
        locked.status = QUEUED
        locked.attempts = 0
        locked.stage, locked.progress = "", 0
        locked.error_code = locked.error_message = locked.failure_detail = ""
        locked.queued_at = timezone.now()
        locked.started_at = locked.finished_at = None
        locked.save()
        defer(locked.pk, locked.fence)
    return locked


def cancel(item: W, *, actor: str) -> W:
    """Stop queued or running work and give the credits back. A running worker notices by its beat.

    Cancelling what is cancelled already changes nothing. Raises Conflict when it is finished.
    """
    with transaction.atomic():
        locked = _locked(item)
        if not _stop(locked, actor) and locked.status != CANCELLED:
            raise Conflict(f"It is {locked.status} already; there is nothing to cancel.")
        # Read again with its hold: what was joined to the lock may be from before we waited for it.
        return type(item)._default_manager.select_related("org", "hold").get(pk=item.pk)


def abandon(item: PaidWork, *, actor: str) -> None:
    """Before the row is deleted: cancel it if it is open, and lock it until the caller commits.

    Call inside the transaction that deletes. Raises NotFound when it is gone already.
    """
    _stop(_locked(item), actor)


def queue_position(item: PaidWork) -> int | None:
    """How many of its kind start before this one, itself included: 1 is next. None if not queued.

    Beyond MAX_POSITION it is "at least so many": counting on would cost more than it tells.
    """
    if item.status != QUEUED or item.queued_at is None:
        return None
    ahead = type(item)._default_manager.filter(status=QUEUED, queued_at__lt=item.queued_at)
    return ahead[:MAX_POSITION].count() + 1


# --- by the worker that does it -------------------------------------------------------


def claim(model: type[W], pk: uuid.UUID, *, fence: int) -> W | None:
    """Take queued work: the row, RUNNING under a fence of its own, or None if somebody was first."""
    with transaction.atomic():
        claimed = model._default_manager.filter(pk=pk, status=QUEUED, fence=fence).update(
            status=model.RUNNING,
            fence=fence + 1,
            attempts=F("attempts") + 1,
            started_at=Now(),
            lease_expires_at=_lease_end(),
            stage="",
            progress=0,
        )
        if not claimed:
            return None
        item = model._default_manager.select_related("org", "hold").get(pk=pk)
        if _hand_over(item, from_fence=fence, to_fence=fence + 1):
            return item
        _settle(item, status=FAILED, error=HOLD_LAPSED)
        return None


def beat(item: PaidWork, *, stage: str, progress: float) -> bool:
    """Say that the work goes on. False: it is no longer ours; stop and change nothing."""
    return bool(_mine(item).update(lease_expires_at=_lease_end(), stage=stage, progress=progress))


def succeed(
    item: PaidWork, *, status: str, actor: str, charged: bool = True, **fields: Any
) -> bool:
    """Record the result and settle the hold: captured, or released when `charged` is False.

    False: the work was no longer ours, nothing changed. Raises HoldLost when the row was ours
    but its hold is gone: the caller throws the result away and calls `fail` with HOLD_LAPSED.
    """
    cost = item.hold.amount if charged and item.hold else 0
    with transaction.atomic():
        if not _settle(item, status=status, progress=1, charged=cost, **fields):
            return False
        if not charged:
            _release(item, actor)
        elif item.hold_id is None or not ledger.capture(
            hold_id=item.hold_id, fence=item.fence, actor=actor
        ):
            raise HoldLost
        return True


def fail(item: PaidWork, *, error: tuple[str, str], actor: str, detail: str = "") -> bool:
    """Record a failure `(code, sentence)` and release the hold. False: it was no longer ours.

    `detail` is for staff: what it says of this machine is taken out, and the end of it is kept.
    """
    with transaction.atomic():
        if not _settle(item, status=FAILED, error=error, failure_detail=last_words(detail)):
            return False
        _release(item, actor)
        return True


def hand_back(item: PaidWork, *, defer: Defer) -> bool:
    """Queue our own running work again, because this worker has to stop. Costs no attempt."""
    with transaction.atomic():
        return _requeue(item, attempts=F("attempts") - 1, defer=defer)


@contextlib.contextmanager
def ends_well(item: PaidWork, watch: Watch, *, defer: Defer) -> Iterator[None]:
    """Turn whatever goes wrong inside into the end that it deserves.

    Refused or impossible: FAILED with the code of the media code. This worker has to stop: handed
    back. A fault of ours: FAILED as `internal_error`. A fault of the database is raised: the lease
    lapses, and the sweeper gives the work to another worker.
    """
    try:
        yield
    except MediaError as error:
        if error.code is not ErrorCode.CANCELLED:
            notes = "\n".join(getattr(error, "__notes__", []))
            fail(item, error=(error.code.value, error.message), actor=ACTOR, detail=notes)
        elif not watch.lost:
            hand_back(item, defer=defer)
    except StorageFull:
        fail(item, error=STORAGE_FULL, actor=ACTOR)
    except HoldLost:
        fail(item, error=HOLD_LAPSED, actor=ACTOR)
    except DATABASE_FAULTS:
        raise
    except Exception as error:
        logger.exception("work failed", extra={"kind": item.REFERENCE_TYPE, "id": str(item.pk)})
        fail(item, error=INTERNAL_ERROR, actor=ACTOR, detail=where_raised(error))


class Watch:
    """The life signs of one claimed item while a child process does the work.

    `note` takes progress, `must_stop` is asked at least twice a second: it beats when a third
    of the lease is over, or sooner when there is a new stage or progress to show, and says True once the work
    is no longer ours or this worker has to stop.
    """

    PROGRESS_SECONDS = 1.0

    def __init__(self, item: PaidWork, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.item = item
        self.lost = False
        self._clock = clock
        self._shown = self._seen = ("", 0.0)
        self._beaten_at = clock()

    def note(self, stage: str, progress: float) -> None:
        self._seen = (stage, progress)

    def must_stop(self) -> bool:
        elapsed = self._clock() - self._beaten_at
        new_stage = self._seen[0] != self._shown[0]
        progress = self._seen != self._shown and elapsed >= self.PROGRESS_SECONDS
        if new_stage or progress or elapsed >= settings.WORK_LEASE_SECONDS / 3:
            self._beat(elapsed)
        return self.lost or stopping.is_set()

    def _beat(self, elapsed: float) -> None:
        stage, progress = self._seen
        try:
            self.lost = not beat(self.item, stage=stage, progress=progress)
        except (DatabaseError, InterfaceError):
            # A restart of the database is no reason to throw work away while the lease lasts.
            logger.warning("heartbeat failed", exc_info=True)
            close_old_connections()
            self.lost = elapsed >= settings.WORK_LEASE_SECONDS
        else:
            self._shown, self._beaten_at = self._seen, self._clock()


# --- by the sweeper -------------------------------------------------------------------


def sweep(model: type[PaidWork], *, defer: Defer, batch: int = 100) -> tuple[int, int]:
    """Take work from workers that stopped. Returns how many rows were requeued and failed.

    Also renews the holds of queued and running rows, so that a long queue loses no reservation.
    Each row has a transaction of its own: one that cannot be swept keeps nobody else waiting, and
    no two accounts are ever locked together.
    """
    requeued = failed = 0
    lapsed = lapsed_work(model)
    for pk in list(lapsed.values_list("pk", flat=True)[:batch]):
        try:
            with transaction.atomic():
                item = lapsed.select_for_update(skip_locked=True).filter(pk=pk).first()
                if item is None:  # another sweeper has it, or its worker gave a sign of life
                    continue
                if item.attempts < settings.WORK_MAX_ATTEMPTS:
                    requeued += _requeue(item, defer=defer)
                else:
                    failed += fail(
                        item, error=WORKER_LOST, actor="system:sweeper", detail=_last_seen(item)
                    )
        except DATABASE_FAULTS:
            raise
        except Exception:
            logger.exception("sweeping failed", extra={"row": str(pk)})
    _renew_holds(model)
    return requeued, failed


def requeue(item: W, *, defer: Defer) -> W:
    """By hand, what the sweeper does by itself: a new job for work that nobody does.

    QUEUED work whose job was lost, or RUNNING work whose lease is over; the hold stays. A job that
    was not lost after all finds the fence moved on. Raises Conflict otherwise, and where the hold
    is gone: such work can only be cancelled, and retried.
    """
    with transaction.atomic():
        locked = _locked(item)
        lapsed = lapsed_work(type(item)).filter(pk=item.pk).exists()
        if locked.status != QUEUED and not lapsed:
            works = locked.status == locked.RUNNING
            raise Conflict(
                "Its worker gives signs of life." if works else f"It is {locked.status} already."
            )
        _requeue(locked, defer=defer)
        ours = CreditHold.objects.filter(fence=locked.fence + 1, status="HELD")
        if locked.hold_id is None or not ours.filter(pk=locked.hold_id).exists():
            raise Conflict("Its reserved credits were given back. Cancel it, and retry it.")
        return type(item)._default_manager.select_related("org", "hold").get(pk=item.pk)


def lapsed_work(model: type[W]) -> models.QuerySet[W]:
    """What workers hold that gave no sign of life for a lease, the longest silent first."""
    lapsed = model._default_manager.filter(status=model.RUNNING, lease_expires_at__lt=Now())
    return lapsed.order_by("lease_expires_at")


def aging_work(model: type[W], status: str) -> models.QuerySet[W]:
    """Work of an open status whose hold has lived half of its life."""
    half = datetime.timedelta(seconds=settings.HOLD_SECONDS / 2)
    return model._default_manager.filter(
        status=status, hold__status="HELD", hold__expires_at__lt=Now() + half
    )


# --- by whoever proves that it adds up ------------------------------------------------


@reconciling.also_checks
def charged_otherwise(org: Organization | None = None) -> list[Breach]:
    """Rows that say something else about what they cost than their hold. The eighth invariant."""
    found = []
    for model in PaidWork.__subclasses__():
        rows = model._default_manager.annotate(captured=Coalesce("hold__captured", 0))
        if org is not None:
            rows = rows.filter(org=org)
        for row in rows.exclude(charged=F("captured")):
            says = f"{model.REFERENCE_TYPE} {row.pk}: charged is {row.charged}"
            found.append(Breach(8, row.org_id, f"{says} but its hold captured {row.captured}"))
    return found


# --- inside ---------------------------------------------------------------------------


def _reserve(
    item: PaidWork, charge: Charge, reason: str, actor: str, most_open: int | None
) -> CreditHold:
    return ledger.reserve(
        org=item.org,
        charge=charge,
        reason=reason,
        reference_type=item.REFERENCE_TYPE,
        reference_id=str(item.pk),
        idempotency_key=f"{item.REFERENCE_TYPE}:{item.pk}:{item.fence}",
        actor=actor,
        fence=item.fence,
        most_open=most_open,
    )


def _release(item: PaidWork, actor: str) -> None:
    if item.hold_id is not None:
        ledger.release(hold_id=item.hold_id, fence=item.fence, actor=actor)


def _stop(locked: PaidWork, actor: str) -> bool:
    """Cancel a locked row that is queued or running. False: it is neither, nothing changed."""
    if not locked.is_open:
        return False
    _settle(locked, status=CANCELLED, fence=F("fence") + 1)
    _release(locked, actor)
    return True


def _hand_over(item: PaidWork, *, from_fence: int, to_fence: int) -> bool:
    return item.hold_id is not None and ledger.hand_over(
        hold_id=item.hold_id, from_fence=from_fence, to_fence=to_fence
    )


def _lease_end() -> Any:
    return Now() + datetime.timedelta(seconds=settings.WORK_LEASE_SECONDS)


def _mine(item: PaidWork) -> models.QuerySet[Any]:
    return type(item)._default_manager.filter(pk=item.pk, status=item.RUNNING, fence=item.fence)


def _here(item: PaidWork) -> models.QuerySet[Any]:
    """The row, if it is still where `item` saw it."""
    return type(item)._default_manager.filter(pk=item.pk, status=item.status, fence=item.fence)


def _locked(item: W) -> W:
    locked = (
        type(item)
        ._default_manager.select_for_update(of=("self",))
        .select_related("org", "hold")
        .filter(pk=item.pk)
        .first()
    )
    if locked is None:
        raise NotFound
    return locked


def _settle(
    item: PaidWork, *, status: str, error: tuple[str, str] = ("", ""), **fields: Any
) -> bool:
    """Finish a row whose fence is still the one that `item` knows."""
    code, message = error
    return bool(
        _here(item).update(
            status=status,
            error_code=code,
            error_message=message,
            stage="",
            lease_expires_at=None,
            finished_at=Now(),
            updated_at=Now(),
            **fields,
        )
    )


def _last_seen(item: PaidWork) -> str:
    where = f"in {item.stage} at {item.progress:.0%}" if item.stage else "before its first stage"
    return (
        f"Attempt {item.attempts} gave its last sign of life {where}; "
        f"its lease ended at {item.lease_expires_at:%Y-%m-%d %H:%M:%S} UTC."
    )


def _requeue(item: PaidWork, *, defer: Defer, **fields: Any) -> bool:
    queued = _here(item).update(
        status=QUEUED,
        fence=item.fence + 1,
        lease_expires_at=None,
        stage="",
        progress=0,
        **fields,
    )
    if not queued:
        return False
    _hand_over(item, from_fence=item.fence, to_fence=item.fence + 1)
    defer(item.pk, item.fence + 1, priority=COMES_BACK)
    return True


def _renew_holds(model: type[PaidWork]) -> None:
    # One status at a time: each has an index of the few rows that are in it.
    for status in (QUEUED, model.RUNNING):
        aging = aging_work(model, status).values_list("hold_id", flat=True)
        if hold_ids := list(aging[:1000]):
            ledger.keep_alive(hold_ids=hold_ids)
