"""Failed and stuck jobs of all organizations, in one list.

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

from clipforge.jobs import failures, places, queue
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs.kinds import JobKind, all_kinds, find_kind, kind_of
from clipforge.jobs.models import Job
from clipforge.jobs.queue import Workers
from clipforge.jobs.rules import Action
from clipforge.orgs.models import Organization
from clipforge.staff import job_actions
from credits import selectors as credit_selectors
from credits.models import CreditHold, HoldStatus

PAGE = 50
CAPPED = 200
# Open holds, and queued rows, that are looked at one by one, the oldest first.
SCANNED = 2000

# A job that waits for longer while a worker is alive is worth a look.
WAITS_LONG = datetime.timedelta(hours=1)
# Row and job are committed together; this much difference is the clocks' of two machines.
MOMENT = datetime.timedelta(minutes=1)

DEAD_CODE = failures.WORKER_LOST.code


# What is listed beside the jobs of each kind.
ENTRY, HOLD = "entry", "hold"
_LABELS = {ENTRY: "Queue entry", HOLD: "Hold"}


def listed_kinds() -> dict[str, str]:
    """The label of each kind of row, by its name."""
    return {**{kind.name: kind.label for kind in all_kinds()}, **_LABELS}


class State(TextChoices):
    FAILED = "failed", "Failed"
    DEAD = "dead", "Given up"
    LAPSED = "lapsed", "No sign of life"
    WAITING = "waiting", "Waits too long"
    UNQUEUED = "unqueued", "No entry"
    ORPHANED = "orphaned", "Worker gone"
    HELD = "held", "Hold left open"


MEANINGS = {
    State.FAILED: "It ended without a result, and nothing was charged.",
    State.DEAD: "It was given up: it is not tried again unless you retry it.",
    State.LAPSED: "A worker holds it and gave no sign of life for longer than it may.",
    State.WAITING: "It has been queued for over an hour although workers are alive.",
    State.UNQUEUED: "It is queued, but the queue has no entry for it: no worker will do it.",
    State.ORPHANED: "It is marked as being done by a worker that is not alive.",
    State.HELD: "Credits are reserved for a job that has ended, or is not there.",
}
STUCK = frozenset({State.LAPSED, State.WAITING, State.UNQUEUED, State.ORPHANED, State.HELD})
FAILURES = frozenset({State.FAILED, State.DEAD})


class RescuePosition(NamedTuple):
    """Where a row stands in the list, which has the latest first."""

    since: datetime.datetime
    kind: str
    pk: str

    def __str__(self) -> str:
        return f"{self.since.isoformat()} {self.kind} {self.pk}"

    @classmethod
    def parse(cls, text: str) -> RescuePosition:
        """Raises ValueError."""
        since, kind, pk = text.split(" ")
        found = datetime.datetime.fromisoformat(since)
        if found.tzinfo is None or kind not in listed_kinds():
            raise ValueError(text)
        if find_kind(kind):
            uuid.UUID(pk)
        return cls(found, kind, pk)


@dataclass(frozen=True)
class Filters:
    """Empty means any. `states` names one, or those of `STUCK`."""

    kind: str = ""
    states: frozenset[State] = frozenset(State)
    error_code: str = ""
    org: uuid.UUID | None = None
    after: RescuePosition | None = None

    def wants(self, kind: str, state: State) -> bool:
        if self.error_code and (state not in FAILURES or find_kind(kind) is None):
            return False
        return self.kind in {"", kind} and state in self.states


@dataclass(frozen=True)
class RescueRow:
    """A failed or stuck job, entry or hold, and all that a person needs to decide what to do."""

    place: RescuePosition
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
    # Why what is usually done about it is not offered.
    hopeless: str = ""

    @property
    def key(self) -> str:
        return f"{self.place.kind}:{self.place.pk}"

    @property
    def kind(self) -> str:
        return listed_kinds()[self.place.kind]

    @property
    def meaning(self) -> str:
        return MEANINGS[self.state]


@dataclass(frozen=True)
class RescuePage:
    rows: list[RescueRow]
    workers: Workers
    # Where the next page begins; None where there is none.
    older: RescuePosition | None
    # States of which more is there than is shown.
    capped: list[State]


class Candidate(NamedTuple):
    place: RescuePosition
    state: State
    # What an entry or a hold was read with; jobs are read later, those of the page alone.
    row: Any = None

    @property
    def job(self) -> tuple[str, str] | None:
        """Kind and id of the job that an entry is for."""
        return self.row.job if isinstance(self.row, EntryRow) else None


def find(filters: Filters) -> RescuePage:
    """A page of the list, the latest first."""
    workers = queue.workers()
    jobs = _jobs(filters, alive=workers.alive > 0)
    candidates = [*jobs, *_entries(filters), *_holds(filters)]
    capped = _capped(candidates)
    if filters.org:
        candidates = _of_org(candidates, filters.org)
    # Of a job that waits for long, that it has no entry says more.
    candidates.sort(key=lambda each: (each.place, each.state is State.UNQUEUED))
    by_place = {each.place: each for each in candidates}
    after = filters.after
    places = sorted((p for p in by_place if after is None or p < after), reverse=True)
    page = [by_place[place] for place in places[:PAGE]]
    older = page[-1].place if len(places) > PAGE else None
    return RescuePage(_read(page), workers, older, capped)


def _capped(candidates: list[Candidate]) -> list[State]:
    counted = Counter((each.place.kind, each.state) for each in candidates)
    beyond = {
        state
        for (kind, state), count in counted.items()
        # Failures of jobs are read page by page, and never cut off.
        if count > CAPPED and not (state in FAILURES and find_kind(kind))
    }
    return [state for state in State if state in beyond]


def _of_org(candidates: list[Candidate], org: uuid.UUID) -> list[Candidate]:
    """Without entries for the jobs of others; of jobs and holds no others were read.

    An entry names its job, and the job its organization: that is seen after the entries were read.
    """
    parts = []
    for kind in all_kinds():
        pks = [job[1] for each in candidates if (job := each.job) and job[0] == kind.name]
        named = Value(kind.name, output_field=CharField())
        theirs = (
            job_selectors.all_jobs(kind.model).filter(org=org, pk__in=pks).annotate(kind_=named)
        )
        parts.append(theirs.values_list("kind_", "pk"))
    jobs = {(kind, str(pk)) for kind, pk in _together(parts)}
    return [each for each in candidates if each.place.kind != ENTRY or each.job in jobs]


# --- jobs ------------------------------------------------------------------------------


def _jobs(filters: Filters, *, alive: bool) -> list[Candidate]:
    """Failed and stuck jobs, in one statement: the beginnings of four indexes of each kind."""
    parts = [
        part
        for kind in all_kinds()
        for part in (*_failures(kind, filters), *_stuck(kind, filters, alive=alive))
    ]
    return [
        Candidate(RescuePosition(since, kind, str(pk)), State(state))
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


def _failures(kind: JobKind[Any], filters: Filters) -> list[QuerySet[Any]]:
    name = kind.name
    failed, dead = filters.wants(name, State.FAILED), filters.wants(name, State.DEAD)
    if not failed and not dead:
        return []
    rows = job_selectors.failed_jobs(kind.model).filter(finished_at__isnull=False)
    if filters.error_code:
        rows = rows.filter(error_code=filters.error_code)
    if not failed:
        rows = rows.filter(error_code=DEAD_CODE)
    if not dead:
        rows = rows.exclude(error_code=DEAD_CODE)
    if filters.org:
        rows = rows.filter(org=filters.org)
    if filters.after:
        rows = rows.filter(_beyond(filters.after, name))
    state = Case(
        When(error_code=DEAD_CODE, then=Value(State.DEAD.value)),
        default=Value(State.FAILED.value),
        output_field=CharField(),
    )
    return [_part(name, state, "finished_at", rows.order_by("-finished_at", "-id"), PAGE)]


def _beyond(place: RescuePosition, kind: str) -> Q:
    """A filter for the rows of this kind after the place in the list."""
    earlier = Q(finished_at__lt=place.since)
    if kind > place.kind:
        return earlier
    same = Q(finished_at=place.since)
    if kind == place.kind:
        same &= Q(pk__lt=place.pk)
    # Said once more as a range: the planner does not see it in the alternatives.
    return Q(finished_at__lte=place.since) & (earlier | same)


def _stuck(kind: JobKind[Any], filters: Filters, *, alive: bool) -> list[QuerySet[Any]]:
    found, name = [], kind.name
    of_org = Q(org=filters.org) if filters.org else Q()
    queued = job_selectors.queued_jobs(kind.model).filter(of_org)
    if filters.wants(name, State.LAPSED):
        lapsed = job_selectors.lapsed_jobs(kind.model).filter(of_org)
        found.append(_stuck_part(name, State.LAPSED, "lease_expires_at", lapsed))
    # Those that wait for others of their own organization wait rightly, and have no entry.
    queued = queued.exclude(places.waiting_of("pk"))
    if filters.wants(name, State.WAITING) and alive:
        waiting = queued.filter(queued_at__lt=Now() - WAITS_LONG)
        found.append(_stuck_part(name, State.WAITING, "queued_at", waiting))
    if filters.wants(name, State.UNQUEUED):
        oldest = queued.filter(queued_at__lt=Now() - MOMENT)[:SCANNED]
        among = job_selectors.all_jobs(kind.model).filter(pk__in=oldest.values("pk"))
        lost = among.annotate(entry=queue.entry_of(kind)).filter(entry=None)
        rows = lost.order_by("queued_at")
        found.append(_stuck_part(name, State.UNQUEUED, "queued_at", rows))
    return found


def _stuck_part(kind: str, state: State, since: str, rows: QuerySet[Any]) -> Any:
    return _part(kind, Value(state.value, output_field=CharField()), since, rows, CAPPED)


# --- entries and holds -----------------------------------------------------------------


class EntryRow(NamedTuple):
    """An entry of the queue, as it is read for the list."""

    id: int
    task_name: str
    queue_name: str
    attempts: int
    args: dict[str, Any]
    since: datetime.datetime
    state: str

    @property
    def job(self) -> tuple[str, str] | None:
        """Kind and id of the job that it is for."""
        return queue.job_of_entry(self.task_name, self.args)


def _entries(filters: Filters) -> list[Candidate]:
    sorts = {State.DEAD: queue.failed_entries, State.ORPHANED: queue.orphaned_entries}
    parts = [
        queue.since_last_event(entries(), state.value).values_list(*EntryRow._fields)[: CAPPED + 1]
        for state, entries in sorts.items()
        if filters.wants(ENTRY, state)
    ]
    return [
        Candidate(RescuePosition(row.since, ENTRY, str(row.id)), State(row.state), row)
        for row in map(EntryRow._make, _together(parts))
    ]


def _holds(filters: Filters) -> list[Candidate]:
    if not filters.wants(HOLD, State.HELD):
        return []
    held = credit_selectors.all_holds().filter(status=HoldStatus.HELD).select_related("org")
    if filters.org:
        held = held.filter(org=filters.org)
    # A hold that was left behind is renewed by no sweeper, so the first to end are looked at first.
    holds = list(held.order_by("expires_at")[:SCANNED])
    paying = paying_holds(holds)
    lost = [hold for hold in holds if is_of_job(hold) and hold.pk not in paying]
    return [
        Candidate(RescuePosition(hold.created_at, HOLD, str(hold.pk)), State.HELD, hold)
        for hold in lost[: CAPPED + 1]
    ]


def is_of_job(hold: CreditHold) -> bool:
    return find_kind(hold.reference_type) is not None and as_uuid(hold.reference_id) is not None


def paying_holds(holds: Iterable[CreditHold]) -> set[uuid.UUID]:
    """Of these holds, those on which a job waits or runs."""
    parts = []
    for kind in all_kinds():
        pks = [as_uuid(hold.reference_id) for hold in holds if hold.reference_type == kind.name]
        opened = job_selectors.open_jobs(kind.model).filter(pk__in=list(filter(None, pks)))
        parts.append(opened.values_list("hold_id"))
    return {pk for (pk,) in _together(parts) if pk}


def as_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


# --- the rows of a page ----------------------------------------------------------------


def _read(page: list[Candidate]) -> list[RescueRow]:
    wanted: dict[str, set[str]] = {kind.name: set() for kind in all_kinds()}
    for each in page:
        if each.place.kind in wanted:
            wanted[each.place.kind].add(each.place.pk)
        elif each.job:
            kind, pk = each.job
            wanted[kind].add(pk)
    jobs = {
        (kind.name, str(job.pk)): job
        for kind in all_kinds()
        if wanted[kind.name]
        for job in shown_jobs(kind).filter(pk__in=wanted[kind.name])
    }
    rows = [_row(each, jobs) for each in page]
    return [row for row in rows if row is not None]


def shown_jobs(kind: JobKind[Any]) -> QuerySet[Any]:
    """The jobs of a kind with all that is said of them."""
    related = ("org", "hold", *kind.staff.related)
    rows: QuerySet[Any] = job_selectors.all_jobs(kind.model).select_related(*related)
    return rows


def _row(each: Candidate, jobs: dict[tuple[str, str], Job]) -> RescueRow | None:
    place, state = each.place, each.state
    if place.kind == ENTRY:
        return _row_of_entry(place, state, each.row, jobs)
    if place.kind == HOLD:
        hold: CreditHold = each.row
        return RescueRow(
            place,
            state,
            title=hold.reason,
            url=url_of(hold),
            org=hold.org,
            status=hold.status,
            hold=hold,
            actions=(Action.RELEASE,),
        )
    job = jobs.get((place.kind, place.pk))
    return None if job is None else _row_of_job(place, state, job)


def _row_of_job(place: RescuePosition, state: State, job: Job) -> RescueRow:
    life, life_at = "", None
    if state is State.LAPSED and job.lease_expires_at:
        lease = datetime.timedelta(seconds=settings.WORK_LEASE_SECONDS)
        life, life_at = "Last sign of life", job.lease_expires_at - lease
    elif state in STUCK:
        life, life_at = "Queued", job.queued_at
    left_open = job.hold is not None and job.hold.status == HoldStatus.HELD
    actions: tuple[Action, ...] = (Action.REQUEUE, Action.CANCEL)
    hopeless = ""
    if state in FAILURES:
        refusal = job_actions.why_not(Action.RETRY, job)
        hopeless = refusal.message if refusal else ""
        actions = () if refusal else (Action.RETRY,)
        actions = (*actions, Action.RELEASE) if left_open else actions
    return RescueRow(
        place,
        state,
        title=title_of(job),
        url=url_of(job),
        org=job.org,
        status=job.status,
        error_code=job.error_code,
        sentence=job.error_message,
        attempts=job.attempts,
        life=life,
        life_at=life_at,
        detail=job.failure_detail,
        hold=job.hold,
        actions=actions,
        hopeless=hopeless,
    )


def _row_of_entry(
    place: RescuePosition, state: State, entry: EntryRow, jobs: dict[tuple[str, str], Job]
) -> RescueRow:
    job = jobs.get(entry.job) if entry.job else None
    about = f" of {title_of(job)}" if job else ""
    return RescueRow(
        place,
        state,
        title=f"{entry.task_name}{about}",
        url=reverse("admin:procrastinate_procrastinatejob_change", args=[entry.id]),
        org=job.org if job else None,
        status="doing" if state is State.ORPHANED else "failed",
        sentence=f"The queue keeps no error: look for job {entry.id} in the log of the worker.",
        attempts=entry.attempts,
        hold=job.hold if job else None,
        actions=(Action.REQUEUE,) if state is State.ORPHANED else (Action.RETRY,),
    )


def title_of(job: Job) -> str:
    """The name that staff know it by."""
    return kind_of(job).staff.name(job)


def url_of(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
