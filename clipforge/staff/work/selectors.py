"""What failed and what is stuck, of all organizations, in one list.

Failures can be many: they are read from their index, a page at a time. Everything else should be
rare, and is read up to `CAPPED` of a sort; the page says so when there is more. Nothing here counts.
"""

from __future__ import annotations

import datetime
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Case, CharField, F, Model, Q, QuerySet, TextChoices, Value, When
from django.db.models.functions import Now
from django.urls import reverse

from clipforge.jobs import failures, queue
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs.models import FAILED, QUEUED, Job
from clipforge.jobs.queue import Workers
from clipforge.orgs.models import Organization
from credits.models import CreditHold, HoldStatus
from exports.models import Export
from projects.models import Project

PAGE = 50
CAPPED = 200
# Open holds, and queued rows, that are looked at one by one, the oldest first.
SCANNED = 2000

# Work that waits for longer while somebody works is worth a look.
WAITS_LONG = datetime.timedelta(hours=1)
# Row and job are committed together; this much difference is the clocks' of two machines.
MOMENT = datetime.timedelta(minutes=1)

DEAD_CODE = failures.WORKER_LOST[0]


class Kind(TextChoices):
    PROJECT = "project", "Project"
    EXPORT = "export", "Export"
    JOB = "job", "Queue job"
    HOLD = "hold", "Hold"


class State(TextChoices):
    FAILED = "failed", "Failed"
    DEAD = "dead", "Dead letter"
    LAPSED = "lapsed", "Lease over"
    WAITING = "waiting", "Waits too long"
    UNQUEUED = "unqueued", "No job"
    ORPHANED = "orphaned", "Worker gone"
    HELD = "held", "Hold left open"


MEANINGS = {
    State.FAILED: "It ended without a result, and nothing was charged.",
    State.DEAD: "It was given up: nobody tries it again unless you retry it.",
    State.LAPSED: "A worker holds it and gave no sign of life for a lease.",
    State.WAITING: "It has been queued for over an hour although workers are alive.",
    State.UNQUEUED: "It is queued, but the queue has no job for it: nobody will do it.",
    State.ORPHANED: "It is marked as being done by a worker that is not alive.",
    State.HELD: "Credits are reserved for work that has ended, or is not there.",
}
STUCK = frozenset({State.LAPSED, State.WAITING, State.UNQUEUED, State.ORPHANED, State.HELD})
MODELS: dict[str, type[Job]] = {Kind.PROJECT: Project, Kind.EXPORT: Export}
# What is read page by page, so that it is never cut off.
PAGED = {(kind, state) for kind in MODELS for state in (State.FAILED, State.DEAD)}


class Place(NamedTuple):
    """Where a row stands in the list, which has the latest first."""

    since: datetime.datetime
    kind: str
    pk: str

    def __str__(self) -> str:
        return f"{self.since.isoformat()} {self.kind} {self.pk}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises ValueError."""
        since, kind, pk = text.split(" ")
        found = datetime.datetime.fromisoformat(since)
        if found.tzinfo is None or kind not in Kind.values:
            raise ValueError(text)
        if kind in MODELS:
            uuid.UUID(pk)
        return cls(found, kind, pk)


@dataclass(frozen=True)
class Filters:
    """Empty means any. `states` names one, or those of `STUCK`."""

    kind: str = ""
    states: frozenset[State] = frozenset(State)
    error_code: str = ""
    org: uuid.UUID | None = None
    after: Place | None = None

    def wants(self, kind: str, state: State) -> bool:
        if self.error_code and (state not in {State.FAILED, State.DEAD} or kind not in MODELS):
            return False
        return self.kind in {"", kind} and state in self.states


@dataclass(frozen=True)
class Row:
    """Something that failed or is stuck, and all that a person needs to decide what to do."""

    place: Place
    state: State
    title: str
    url: str
    org: Organization | None
    status: str = ""
    error_code: str = ""
    sentence: str = ""
    attempts: int | None = None
    # What its worker last said of itself.
    life: str = ""
    life_at: datetime.datetime | None = None
    detail: str = ""
    hold: CreditHold | None = None
    actions: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.place.kind}:{self.place.pk}"

    @property
    def kind(self) -> str:
        return str(Kind(self.place.kind).label)

    @property
    def meaning(self) -> str:
        return MEANINGS[self.state]


@dataclass(frozen=True)
class Found:
    rows: list[Row]
    workers: Workers
    # Where the next page begins; None where there is none.
    older: Place | None
    # States of which more is there than is shown.
    capped: list[State]


class Candidate(NamedTuple):
    place: Place
    state: State
    # What a job or a hold was read with; work is read later, those of the page alone.
    row: Any = None

    @property
    def work(self) -> tuple[str, str] | None:
        """Kind and id of the work that a job is for."""
        return self.row.work if isinstance(self.row, QueueJob) else None


def find(filters: Filters) -> Found:
    """A page of the list, the latest first."""
    workers = queue.workers()
    works = _works(filters, alive=workers.alive > 0)
    candidates = [*works, *_jobs(filters), *_holds(filters)]
    capped = _capped(candidates)
    if filters.org:
        candidates = _of_org(candidates, filters.org)
    # Of work that waits for long, that it has no job says more.
    candidates.sort(key=lambda each: (each.place, each.state is State.UNQUEUED))
    by_place = {each.place: each for each in candidates}
    after = filters.after
    places = sorted((p for p in by_place if after is None or p < after), reverse=True)
    page = [by_place[place] for place in places[:PAGE]]
    older = page[-1].place if len(places) > PAGE else None
    return Found(_read(page), workers, older, capped)


def _capped(candidates: list[Candidate]) -> list[State]:
    counted = Counter((each.place.kind, each.state) for each in candidates)
    beyond = {
        state
        for (kind, state), count in counted.items()
        if count > CAPPED and (kind, state) not in PAGED
    }
    return [state for state in State if state in beyond]


def _of_org(candidates: list[Candidate], org: uuid.UUID) -> list[Candidate]:
    """Without jobs for the work of others; of works and holds no others were read.

    A job names its work, and the work its organization: that is seen after the jobs were read.
    """
    parts = []
    for kind, model in MODELS.items():
        pks = [work[1] for each in candidates if (work := each.work) and work[0] == kind]
        named = Value(kind, output_field=CharField())
        theirs = model._default_manager.filter(org=org, pk__in=pks).annotate(kind_=named)
        parts.append(theirs.values_list("kind_", "pk"))
    works = {(kind, str(pk)) for kind, pk in _together(parts)}
    return [each for each in candidates if each.place.kind != Kind.JOB or each.work in works]


# --- projects and exports --------------------------------------------------------------


def _works(filters: Filters, *, alive: bool) -> list[Candidate]:
    """What is wrong with work, in one statement: the beginnings of up to eight indexes."""
    parts = [
        part
        for kind, model in MODELS.items()
        for part in (*_failures(kind, model, filters), *_stuck(kind, model, filters, alive=alive))
    ]
    return [
        Candidate(Place(since, kind, str(pk)), State(state))
        for kind, state, since, pk in _together(parts)
    ]


def _together(parts: list[QuerySet[Any]]) -> Iterable[Any]:
    """The rows of all, in one statement."""
    if not parts:
        return []
    first, *rest = parts
    return first.union(*rest, all=True) if rest else first


def _part(kind: str, state: Any, since: str, rows: QuerySet[Any], most: int) -> Any:
    named = rows.annotate(
        kind_=Value(kind, output_field=CharField()), state_=state, since_=F(since)
    )
    return named.values_list("kind_", "state_", "since_", "pk")[: most + 1]


def _failures(kind: str, model: type[Job], filters: Filters) -> list[QuerySet[Any]]:
    failed, dead = filters.wants(kind, State.FAILED), filters.wants(kind, State.DEAD)
    if not failed and not dead:
        return []
    rows = model._default_manager.filter(status=FAILED, finished_at__isnull=False)
    if filters.error_code:
        rows = rows.filter(error_code=filters.error_code)
    if not failed:
        rows = rows.filter(error_code=DEAD_CODE)
    if not dead:
        rows = rows.exclude(error_code=DEAD_CODE)
    if filters.org:
        rows = rows.filter(org=filters.org)
    if filters.after:
        rows = rows.filter(_beyond(filters.after, kind))
    state = Case(
        When(error_code=DEAD_CODE, then=Value(State.DEAD.value)),
        default=Value(State.FAILED.value),
        output_field=CharField(),
    )
    return [_part(kind, state, "finished_at", rows.order_by("-finished_at", "-id"), PAGE)]


def _beyond(place: Place, kind: str) -> Q:
    """What stands after the place in the list, of this kind."""
    earlier = Q(finished_at__lt=place.since)
    if kind > place.kind:
        return earlier
    same = Q(finished_at=place.since)
    if kind == place.kind:
        same &= Q(pk__lt=place.pk)
    # Said once more as a range: the planner does not see it in the alternatives.
    return Q(finished_at__lte=place.since) & (earlier | same)


def _stuck(kind: str, model: type[Job], filters: Filters, *, alive: bool) -> list[QuerySet[Any]]:
    found = []
    of_org = Q(org=filters.org) if filters.org else Q()
    queued = model._default_manager.filter(status=QUEUED).order_by("queued_at")
    if filters.wants(kind, State.LAPSED):
        lapsed = job_selectors.lapsed_jobs(model).filter(of_org)
        found.append(_stuck_part(kind, State.LAPSED, "lease_expires_at", lapsed))
    if filters.wants(kind, State.WAITING) and alive:
        waiting = queued.filter(of_org, queued_at__lt=Now() - WAITS_LONG)
        found.append(_stuck_part(kind, State.WAITING, "queued_at", waiting))
    if filters.wants(kind, State.UNQUEUED):
        oldest = queued.filter(of_org, queued_at__lt=Now() - MOMENT)[:SCANNED]
        among = model._default_manager.filter(pk__in=oldest.values("pk"))
        lost = among.annotate(job=queue.job_of_work()).filter(job=None)
        rows = lost.order_by("queued_at")
        found.append(_stuck_part(kind, State.UNQUEUED, "queued_at", rows))
    return found


def _stuck_part(kind: str, state: State, since: str, rows: QuerySet[Any]) -> Any:
    return _part(kind, Value(state.value, output_field=CharField()), since, rows, CAPPED)


# --- jobs and holds --------------------------------------------------------------------


def _jobs(filters: Filters) -> list[Candidate]:
    sorts = {State.DEAD: queue.failed_jobs, State.ORPHANED: queue.orphaned_jobs}
    parts = [
        queue.since_its_last_event(jobs(), state.value).values_list(
            "id", "task_name", "queue_name", "attempts", "args", "since", "state"
        )[: CAPPED + 1]
        for state, jobs in sorts.items()
        if filters.wants(Kind.JOB, state)
    ]
    rows = _together(parts)
    return [
        Candidate(Place(job.since, Kind.JOB, str(job.id)), State(job.state), job)
        for job in map(QueueJob._make, rows)
    ]


class QueueJob(NamedTuple):
    id: int
    task_name: str
    queue_name: str
    attempts: int
    args: dict[str, Any]
    since: datetime.datetime
    state: str

    @property
    def work(self) -> tuple[str, str] | None:
        """Kind and id of the work that it is for."""
        for kind in MODELS:
            if pk := self.args.get(f"{kind}_id"):
                return kind, str(pk)
        return None


def _holds(filters: Filters) -> list[Candidate]:
    if not filters.wants(Kind.HOLD, State.HELD):
        return []
    held = CreditHold.objects.filter(status=HoldStatus.HELD).select_related("org")
    if filters.org:
        held = held.filter(org=filters.org)
    # Nobody renews a hold that was left behind, so that the first to end are looked at first.
    holds = list(held.order_by("expires_at")[:SCANNED])
    open_holds = holds_of_open_work(holds)
    lost = [hold for hold in holds if is_of_work(hold) and hold.pk not in open_holds]
    return [
        Candidate(Place(hold.created_at, Kind.HOLD, str(hold.pk)), State.HELD, hold)
        for hold in lost[: CAPPED + 1]
    ]


def is_of_work(hold: CreditHold) -> bool:
    return hold.reference_type in MODELS and as_uuid(hold.reference_id) is not None


def holds_of_open_work(holds: Iterable[CreditHold]) -> set[uuid.UUID]:
    """Of these holds, those that pay for work that waits or runs."""
    parts = []
    for kind, model in MODELS.items():
        pks = [as_uuid(hold.reference_id) for hold in holds if hold.reference_type == kind]
        opened = model._default_manager.filter(status__in=[QUEUED, model.RUNNING])
        parts.append(opened.filter(pk__in=list(filter(None, pks))).values_list("hold_id"))
    return {pk for (pk,) in _together(parts) if pk}


def as_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


# --- the rows of a page ----------------------------------------------------------------


def _read(page: list[Candidate]) -> list[Row]:
    wanted: dict[str, set[str]] = {kind: set() for kind in MODELS}
    for each in page:
        if each.place.kind in MODELS:
            wanted[each.place.kind].add(each.place.pk)
        elif each.work:
            kind, pk = each.work
            wanted[kind].add(pk)
    works = {
        (kind, str(work.pk)): work
        for kind, pks in wanted.items()
        if pks
        for work in works_of(kind).filter(pk__in=pks)
    }
    rows = [_row(each, works) for each in page]
    return [row for row in rows if row is not None]


def works_of(kind: str) -> QuerySet[Any]:
    """Projects or exports with all that is said of them."""
    rows: QuerySet[Any] = MODELS[kind]._default_manager.select_related("org", "hold")
    return rows.select_related("project") if kind == Kind.EXPORT else rows


def _row(each: Candidate, works: dict[tuple[str, str], Job]) -> Row | None:
    place, state = each.place, each.state
    if place.kind == Kind.JOB:
        return _row_of_job(place, state, each.row, works)
    if place.kind == Kind.HOLD:
        hold: CreditHold = each.row
        return Row(
            place,
            state,
            title=hold.reason,
            url=url_of(hold),
            org=hold.org,
            status=hold.status,
            hold=hold,
            actions=("release",),
        )
    work = works.get((place.kind, place.pk))
    return None if work is None else _row_of_work(place, state, work)


def _row_of_work(place: Place, state: State, work: Job) -> Row:
    life, life_at = "", None
    if state is State.LAPSED and work.lease_expires_at:
        lease = datetime.timedelta(seconds=settings.WORK_LEASE_SECONDS)
        life, life_at = "Last sign of life", work.lease_expires_at - lease
    elif state in STUCK:
        life, life_at = "Queued", work.queued_at
    left_open = work.hold is not None and work.hold.status == HoldStatus.HELD
    if state in {State.FAILED, State.DEAD}:
        actions: tuple[str, ...] = ("retry", "release") if left_open else ("retry",)
    else:
        actions = ("requeue", "cancel")
    return Row(
        place,
        state,
        title=title_of(work),
        url=url_of(work),
        org=work.org,
        status=work.status,
        error_code=work.error_code,
        sentence=work.error_message,
        attempts=work.attempts,
        life=life,
        life_at=life_at,
        detail=work.failure_detail,
        hold=work.hold,
        actions=actions,
    )


def _row_of_job(
    place: Place, state: State, job: QueueJob, works: dict[tuple[str, str], Job]
) -> Row:
    work = works.get(job.work) if job.work else None
    about = f" of {title_of(work)}" if work else ""
    return Row(
        place,
        state,
        title=f"{job.task_name}{about}",
        url=reverse("admin:procrastinate_procrastinatejob_change", args=[job.id]),
        org=work.org if work else None,
        status="doing" if state is State.ORPHANED else "failed",
        sentence=f"The queue keeps no words of it: look for job {job.id} in the log of the worker.",
        attempts=job.attempts,
        hold=work.hold if work else None,
        actions=("requeue",) if state is State.ORPHANED else ("retry",),
    )


def title_of(work: Job) -> str:
    """What staff know it by; an export by its project."""
    return f"{work} of {work.project.title}" if isinstance(work, Export) else str(work)


def url_of(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
