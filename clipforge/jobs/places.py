"""Whose turn it is: weighted fair queueing over organizations, in front of the queue.

Every open job has a place. As many of an organization's places as its tier lets run at once have a
queue entry or run; the others wait, in the order in which they were queued, and the next gets its
entry when one of the organization's jobs has ended, in the same transaction. An entry's priority is
the *start tag* of its place in virtual time (start-time fair queueing): the later of the virtual time
now and the end of the organization's job before, which takes the less of it the more jobs its tier
runs at once. Workers take the entry with the lowest tag.

Each function is one statement and one more for each entry, in the caller's transaction, after its
locks on a job, a hold and an account.
"""

from __future__ import annotations

import datetime
import functools
import json
import uuid
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from psycopg.types.json import Jsonb

from clipforge.common.cache.kept_pages import TRANSACTION
from clipforge.jobs import caching, kinds
from clipforge.jobs.models import QUEUED, Job, JobPlace

J = TypeVar("J", bound=Job)

# Jobs that a worker prepares at once: a thread each, which waits for the network most of the time.
PREPARATIONS_AT_ONCE = 4
# Organizations with room, and places of jobs that ended, that one run of the sweeper sees to.
BATCH = 1000
# Further than this the jobs ahead of one are not counted.
MAX_POSITION = 1000


def enter(job: Job) -> int:
    """Give a job that was queued its place, and a queue entry if it is its organization's turn.

    The job knows how many start before it and when it is expected to, as `ahead_when_queued` and
    `starts_when_queued`: its first answer says so. Returns the number of the transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT kind, job, fence, tag, NULL::int, NULL::timestamptz, NULL::bigint
              FROM jobs_enter(%s, %s, %s, %s)
            UNION ALL
            SELECT NULL, NULL, NULL, NULL, ahead, jobs_expected_start(ahead), pg_current_xact_id()::text::bigint
              FROM jobs_position(%s, %s) AS ahead
            """,
            [job.org_id, job.REFERENCE_TYPE, job.pk, job.fence, job.pk, MAX_POSITION],
        )
        *promoted, (*_, ahead, starts_at, transaction_number) = cursor.fetchall()
    job.ahead_when_queued, job.starts_when_queued = ahead, starts_at
    _defer(row[:4] for row in promoted)
    return int(transaction_number)


class Submission:
    """A job that is asked for: paid, inserted, given its place, and its entry if it is its turn.

    `ask` is for the ledger's `reserve`: of a refusal nothing is written, and `note` not to be called.
    Raises TaskNotFound, before anything is asked.
    """

    def __init__(self, job: Job, looked_up: Mapping[str, QuerySet[Any]]) -> None:
        self.job, self.looked_up = job, looked_up
        self.entries = kinds.all_entries()
        self.ahead: int | None = None
        self.starts_at: datetime.datetime | None = None
        self.stored = ""

    def ask(self, columns: str, arguments: list[Any]) -> tuple[Any, ...]:
        pairs, values = [], []
        for name, query in self.looked_up.items():
            sql, own = query.query.sql_with_params()
            pairs.append(f"%s, ({sql})")
            values += [name, *own]
        marks = ", ".join(["%s"] * len(arguments))
        parameters: list[Any] = [
            *arguments,
            connection.ops.quote_name(self.job._meta.db_table),
            Jsonb(_row_of(self.job), dumps=_dumps),
            *values,
            Jsonb(self.entries),
            MAX_POSITION,
        ]
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {columns}, ahead, jobs_expected_start(ahead), stored, {TRANSACTION}"  # noqa: S608 - our own
                f" FROM jobs_submit({marks}, %s::regclass, %s,"
                f" jsonb_build_object({', '.join(pairs)}), %s, %s)",
                parameters,
            )
            row: tuple[Any, ...] = cursor.fetchone()
        *reserved, self.ahead, self.starts_at, self.stored, changed_by = row
        if self.ahead is not None:
            caching.added(type(self.job), self.job.org_id, changed_by=changed_by)
        return tuple(reserved)

    def note(self) -> None:
        """Tell the job what became of it, and what the database filled in."""
        job, stored = self.job, json.loads(self.stored)
        job.ahead_when_queued, job.starts_when_queued = self.ahead, self.starts_at
        for field in _filled_in(job, self.looked_up):
            setattr(job, field.attname, field.to_python(stored[field.column]))
        job._state.adding, job._state.db = False, connection.alias


def _row_of(job: Job) -> dict[str, Any]:
    """The columns of a job that is to be inserted; without those that the database fills in."""
    left_out = _filled_in(job, ())
    fields = [each for each in job._meta.concrete_fields if each not in left_out]
    return {str(field.column): field.pre_save(job, True) for field in fields}


def _filled_in(job: Job, looked_up: Container[str]) -> list[Any]:
    return [
        each
        for each in job._meta.concrete_fields
        if each.name in looked_up or hasattr(getattr(job, each.attname), "as_sql")
    ]


_dumps = functools.partial(json.dumps, default=str)


class Cancellation:
    """A job that is to be stopped: its row, its hold, its place, and the entries of those whose turn it is then.

    `sql` and `params` are for the ledger, which releases the hold by them; `note` is given what it returns.
    """

    sql = (
        f"SELECT org, version, was, stored, {TRANSACTION}"  # noqa: S608 - our own
        " FROM jobs_cancel(%s::regclass, %s, %s, %s, %s, %s)"
    )

    def __init__(self, job: J, *, actor: str) -> None:
        table = connection.ops.quote_name(job._meta.db_table)
        entries = Jsonb(kinds.all_entries())
        self.params = [table, job.pk, job.org_id, job.RUNNING, actor, entries]
        self.was = ""
        self.changed_by = 0

    def note(self, job: J, row: Sequence[Any]) -> J | None:
        """The job as its row is now, locked; None where there is none."""
        self.was, stored, self.changed_by = row
        if self.was is None:
            return None
        found = _from_row(type(job), json.loads(stored))
        known = job._state.fields_cache
        for name in ("org", *job.SHOWN_WITH):
            if name in known:
                found._state.fields_cache[name] = known[name]
        return found


def _from_row(model: type[J], stored: Mapping[str, Any]) -> J:
    fields = model._meta.concrete_fields
    values = [field.to_python(stored[str(field.column)]) for field in fields]
    return model.from_db(connection.alias, [field.attname for field in fields], values)


def leave(job: Job) -> None:
    """Free the place of a job that ended for the next of its organization."""
    _leave(job.org_id, job.pk)


def give_back(job: Job) -> None:
    """Free the place of a job that ended before it began, with the virtual time that it was to take."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT kind, job, fence, tag, true FROM jobs_give_back(%(org)s, %(job)s)
            UNION ALL
            SELECT kind, job, fence, tag, false FROM jobs_leave(%(org)s, %(job)s)
            """,
            {"org": job.org_id, "job": job.pk},
        )
        places = cursor.fetchall()
    for name, pk, fence, tag, _ in (place for place in places if place[-1]):
        if kind := kinds.find_kind(name):
            kinds.reorder(kind, pk, fence, priority=-tag)
    _defer(place[:4] for place in places if not place[-1])


def left(job: Job) -> None:
    """After the place of a job that ended is free: if it was to be prepared, the next of its organization is."""
    if kinds.prepares(job):
        _prepare_next(job.org_id, None)


def start(job: Job, *, prepares: bool = False) -> None:
    """Count a job that a worker has claimed as running. One that is to be prepared first takes no worker's time."""
    noted = "" if prepares else ", jobs_note_start(%(job)s)"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT FROM jobs_start(%(job)s){noted}", {"job": job.pk})


def may_return(job: Job, fence: int) -> bool:
    """Note that the job is queued again under the fence. Whether it is to get an entry at once, before all others."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT active FROM jobs_return(%s, %s) AS active", [job.pk, fence])
        (active,) = cursor.fetchone()
    return active is not False


def hand_over(job: Job, fence: int, *, prepared: bool) -> bool:
    """Queue a job that was begun under the fence: to be prepared in its turn or, `prepared`, to be done in its turn.

    Of those that are prepared at once an organization has half at the most, and the others wait without an
    entry. False: it has no place, and nothing was done.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT turn FROM jobs_hand_over(%s, %s, %s) AS turn", [job.pk, fence, prepared]
        )
        (turn,) = cursor.fetchone()
    if turn is None:
        return False
    if prepared:
        kinds.defer(kinds.kind_of(job), job.pk, fence, priority=-turn)
    _prepare_next(job.org_id, None if prepared else job.pk)
    return True


def position(pk: uuid.UUID, *, most: int) -> int:
    """How many jobs start before this one, at the most so many."""
    return turn(pk, most=most)[0]


def turn(pk: uuid.UUID, *, most: int) -> tuple[int, datetime.datetime | None]:
    """`position`, and when it starts if workers go on as they did; None where nothing says so."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ahead, jobs_expected_start(ahead) FROM jobs_position(%s, %s) AS ahead",
            [pk, most],
        )
        ahead, starts_at = cursor.fetchone()
    return ahead or 0, starts_at


def waiting_of(pk: Any) -> Exists:
    """Of a row: whether its place waits for others of its organization, and so has no queue entry."""
    waits = Q(tag__isnull=True) | Q(prepares=False)
    return Exists(JobPlace.objects.filter(waits, job=OuterRef(pk)))


def tidy(model: type[Job]) -> None:
    """Free places whose jobs ended without it, under a release before this one, and use the room that
    a raised limit made. Each organization has a transaction of its own.
    """
    is_open = model._default_manager.filter(pk=OuterRef("job"), status__in=[QUEUED, model.RUNNING])
    active = JobPlace.objects.filter(kind=model.REFERENCE_TYPE, tag__isnull=False)
    for org_id, pk in list(active.exclude(Exists(is_open)).values_list("org", "job")[:BATCH]):
        with transaction.atomic():
            # Locked: a job that was retried meanwhile has a place of its own.
            job = model._default_manager.select_for_update(of=("self",)).filter(pk=pk).first()
            if job is None or not job.is_open:
                _leave(org_id, pk)
    for org_id in _with_room():
        with transaction.atomic():
            _leave(org_id, None)
    for org_id in _with_room_to_prepare():
        with transaction.atomic():
            _prepare_next(org_id, None)
    with connection.cursor() as cursor:
        cursor.execute("SELECT jobs_rewind()")


def _with_room_to_prepare() -> list[uuid.UUID]:
    """Organizations of which more could be prepared than are, since workers came, or one went unnoticed."""
    return _organizations(
        """
            SELECT org_id FROM jobs_jobplace WHERE tag IS NOT NULL AND prepares IS NOT NULL
             GROUP BY org_id
            HAVING BOOL_OR(NOT prepares) AND COUNT(*) FILTER (WHERE prepares) < jobs_prepared_at_once(%s)
             LIMIT %s
            """,
        [PREPARATIONS_AT_ONCE, BATCH],
    )


def _with_room() -> list[uuid.UUID]:
    """Organizations of which more could run than do."""
    return _organizations(
        """
            SELECT share.org_id
              FROM jobs_jobshare AS share
              JOIN orgs_organization AS org ON org.id = share.org_id
              JOIN orgs_tierlimits AS limits ON limits.tier = org.tier
             WHERE share.waiting > 0
               AND limits.concurrent_jobs > (SELECT COUNT(*) FROM jobs_jobplace AS place
                                              WHERE place.org_id = share.org_id
                                                AND place.tag IS NOT NULL)
             LIMIT %s
            """,
        [BATCH],
    )


def _organizations(sql: str, params: list[Any]) -> list[uuid.UUID]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [org_id for (org_id,) in cursor.fetchall()]


def _leave(org_id: uuid.UUID, pk: uuid.UUID | None) -> None:
    _dispatch("SELECT kind, job, fence, tag FROM jobs_leave(%s, %s)", [org_id, pk])


def _dispatch(sql: str, params: list[Any]) -> None:
    """Give the places that the function returns their queue entries."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        promoted = cursor.fetchall()
    _defer(promoted)


def _prepare_next(org_id: uuid.UUID, pk: uuid.UUID | None) -> None:
    """Give those of the organization whose turn it is to be prepared their entries; `pk` begins to wait."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT kind, job, fence, prepares_at FROM jobs_prepare_next(%s, %s, %s)",
            [org_id, pk, PREPARATIONS_AT_ONCE],
        )
        promoted = cursor.fetchall()
    for name, job, fence, turn in promoted:
        kind = kinds.find_kind(name)
        if kind is not None and kind.preparation is not None:
            kinds.defer(kind, job, fence, priority=-turn, name=kind.preparation.task)


def _defer(promoted: Iterable[tuple[Any, ...]]) -> None:
    for name, pk, fence, tag in promoted:
        if kind := kinds.find_kind(name):
            kinds.defer(kind, pk, fence, priority=-tag)
