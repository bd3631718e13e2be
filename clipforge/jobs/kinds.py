"""The kinds of job: what the shared code has to know of each, and where it finds them.

An app describes its kind once, as a `JobKind`, and hands it to `clipforge.jobs.registry.register`.
The lifecycle, the worker, the sweeper, the pages of staff and the checks of the ledger read it from
here; none of them names a kind.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from django.db.models import Model, Q, QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob

from clipforge.jobs import failures
from clipforge.jobs.failures import Failure
from clipforge.jobs.models import Job
from credits.pricing import Charge

J = TypeVar("J", bound=Job)

# The arguments that hold the id of a job in the tasks of the two oldest kinds. Their entries have one
# index, staff_jobs_of_work; those of all other kinds have another, jobs_entries_of_jobs.
OWN_ARGUMENTS = ("project_id", "export_id")
_JOB_OF_OWN = Coalesce(*(KT(f"args__{name}") for name in OWN_ARGUMENTS))


class RunControl(Protocol):
    """The way from a run back to its worker."""

    def note(self, stage: str, progress: float) -> None:
        """Show how far the job is: the name of its stage, and 0 to 1 within it."""

    def must_stop(self) -> bool:
        """Whether to end at once, without a result. To be asked at least twice a second."""


class Fact(NamedTuple):
    """A value that staff see of a job: a column, a path to one, or an expression."""

    source: Any
    is_seconds: bool = False  # a length of time, shown as 1:05


@dataclass(frozen=True, kw_only=True)
class StaffView:
    """How staff see the jobs of a kind. Templates name `facts`: `"{title}"`, `"{length}"`."""

    # On the dashboard: "Analyses".
    title: str
    facts: dict[str, Fact]
    # A sentence of the timeline: "Uploaded ‘{title}’, {length} long".
    event: str
    # Of the newest jobs of an organization: a heading and a template each. The first is the link.
    columns: dict[str, str]
    # How a job is called where it stands among others, and the relations that this reads.
    name: Callable[[Any], str] = str
    related: tuple[str, ...] = ()
    # A text column with an index for how it begins; the search box looks there.
    search_field: str = ""


@dataclass(frozen=True, kw_only=True)
class JobFiles:
    """The stored files of a kind, under `<organization>/<area>/<id of the job>/`."""

    area: str
    # The minute of each hour in which files of jobs that do not exist are removed.
    orphans_at: int
    # On the page of an organization: "in sources".
    label: str
    # The column with the key of the file; empty in a row that has none.
    key: str = "file_key"
    # Whether something that is under way needs the file of a job, which is locked.
    is_needed: Callable[[Any], bool] = lambda _job: False
    # The column with the bytes of the file, and the jobs that have one.
    size: str = "size"
    stored: Q = field(default_factory=Q)


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Work that some jobs of a kind need before they can be done, and which mostly waits for others.

    It has a queue and a task of its own, so that it keeps no worker from jobs that can be done. A job is
    handed over to that queue and back under a new fence each time, and keeps its place.
    """

    queue: str
    task: str
    # Whether a claimed job needs it still, and the work itself. It may raise what a run may.
    is_due: Callable[[Any], bool]
    run: Callable[[Any, RunControl], None]


@dataclass(frozen=True, kw_only=True)
class JobKind(Generic[J]):
    """A kind of job."""

    # Its rows. `REFERENCE_TYPE` of the model is the name of the kind.
    model: type[J]
    # The job queue that workers take it from, and the name of the task that does it. A task waits in
    # the database: neither may be renamed while one does.
    queue: str
    task: str
    # The argument of the task that holds the id of the job.
    argument: str = "job_id"
    # What the names of its maintenance tasks begin with; the name of the task unless given.
    maintenance: str = ""

    # Does a claimed job, and ends it with `lifecycle.succeed`. It may raise anything.
    run: Callable[[J, RunControl], None]
    # What a job costs, and how the ledger calls that. `reason` may raise NotFound.
    price: Callable[[J], Charge]
    reason: Callable[[J], str]
    # The failure that an error of the run stands for, INTERRUPTED, or None: then it is ours.
    errors: Callable[[Exception], Failure | None] = lambda _error: None
    # Codes of the failures that only this kind ends with.
    error_codes: frozenset[str] = frozenset()

    # Other kinds in which its lists look for what they show: a change of one of those ends them too.
    listed_by: tuple[type[Job], ...] = ()

    preparation: Preparation | None = None
    files: JobFiles | None = None
    # The key of the stored file that a run reads, empty where it is gone for good; and the codes of
    # failures that say it was not there. None: a run reads none.
    input_key: Callable[[J], str] | None = None
    input_lost: frozenset[str] = frozenset()
    # Whether a job that failed would fail again, for what is wrong with its file or order.
    is_lasting: Callable[[J], bool] = lambda _job: False
    staff: StaffView

    @property
    def name(self) -> str:
        """`project`, `export`: in the ledger, in keys and in addresses of staff pages."""
        return self.model.REFERENCE_TYPE

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of all tasks that have to do with its jobs."""
        return (self.task,) if self.preparation is None else (self.task, self.preparation.task)

    @property
    def label(self) -> str:
        return str(self.model._meta.verbose_name).capitalize()

    @property
    def plural(self) -> str:
        return str(self.model._meta.verbose_name_plural)

    @property
    def maintenance_name(self) -> str:
        return self.maintenance or self.task


_kinds: dict[str, JobKind[Any]] = {}


def add(kind: JobKind[Any]) -> None:
    """Raises ValueError for a name, a model or a task that another kind has."""
    for other in _kinds.values():
        if kind.name == other.name or kind.model is other.model or kind.task == other.task:
            raise ValueError(f"{kind.name} ({kind.task}) is registered already, as {other.name}")
    _kinds[kind.name] = kind


def remove(kind: JobKind[Any]) -> None:
    del _kinds[kind.name]


def all_kinds() -> list[JobKind[Any]]:
    """In the order of their registration, which is that of the apps."""
    return list(_kinds.values())


def find_kind(name: str) -> JobKind[Any] | None:
    return _kinds.get(name)


def kind_of(job: J | type[J]) -> JobKind[J]:
    """The kind of a job or of a model. Raises LookupError where that is registered nowhere."""
    return _kinds[job.REFERENCE_TYPE]


def kind_of_task(task: str) -> JobKind[Any] | None:
    """The kind whose jobs the task of this name does."""
    return next((kind for kind in _kinds.values() if task in kind.tasks), None)


def job_queues() -> list[str]:
    """The queues of all kinds, each once."""
    return list(dict.fromkeys(kind.queue for kind in _kinds.values()))


def preparation_queues() -> list[str]:
    """The queues of what jobs need before they can be done, each once."""
    known = (kind.preparation for kind in _kinds.values())
    return list(dict.fromkeys(each.queue for each in known if each is not None))


def prepares(job: Job) -> bool:
    """Whether it needs its preparation still."""
    first = kind_of(job).preparation
    return first is not None and first.is_due(job)


def error_codes() -> list[str]:
    """The codes of all failures, in alphabetical order."""
    own = (kind.error_codes for kind in _kinds.values())
    return sorted({failure.code for failure in failures.COMMON}.union(*own))


# Models whose rows store files too, and are no jobs: each has `org` and `stored_bytes`.
_others_that_store: list[type[Model]] = []


def add_storing(model: type[Model]) -> None:
    """Let the check of what is stored add up the rows of this model too."""
    if model not in _others_that_store:
        _others_that_store.append(model)


def storing_models() -> list[type[Model]]:
    """The models of which each row counts what it stores."""
    return [
        *(kind.model for kind in _kinds.values() if kind.files is not None),
        *_others_that_store,
    ]


def defer(
    kind: JobKind[Any],
    pk: uuid.UUID,
    fence: int,
    *,
    priority: int = 0,
    pause: float = 0,
    name: str = "",
) -> None:
    """Queue the task that does the job, or the one of this name: no commit of the caller, no task.

    It starts after so many seconds, at the earliest.
    """
    later: dict[str, Any] = {"schedule_in": {"seconds": round(pause)}} if pause else {}
    task = app.configure_task(name or kind.task, allow_unknown=False, priority=priority, **later)
    arguments: dict[str, Any] = {kind.argument: str(pk), "fence": fence}
    task.defer(**arguments)


def entry_of(kind: JobKind[Any]) -> dict[str, str]:
    """The parts of an entry for a job of the kind, for the database. Raises TaskNotFound."""
    task = app.configure_task(kind.task, allow_unknown=False).job
    return {"queue": task.queue, "task": task.task_name, "argument": kind.argument}


def all_entries() -> dict[str, dict[str, str]]:
    """`entry_of` each kind, by its name."""
    return {kind.name: entry_of(kind) for kind in _kinds.values()}


def entries_of(kind: JobKind[Any]) -> QuerySet[Any]:
    """Entries of the queue by their job and its fence, as `of_job` and `of_fence`: texts, by an index."""
    job = _JOB_OF_OWN if kind.argument in OWN_ARGUMENTS else KT(f"args__{kind.argument}")
    entries: QuerySet[Any] = ProcrastinateJob.objects.annotate(
        of_job=job, of_fence=KT("args__fence")
    )
    return entries


def reorder(kind: JobKind[Any], pk: uuid.UUID, fence: int, *, priority: int) -> None:
    """Give the entry of a job another priority, if it waits still."""
    entries = entries_of(kind).filter(status="todo", of_job=str(pk), of_fence=str(fence))
    entries.update(priority=priority)
