"""Everything that the page of a project, a moment or an export shows of other rows."""

from __future__ import annotations

import contextlib
import re
from typing import Any, NamedTuple

from clipforge.common import storage
from clipforge.common.errors import StorageUnavailable
from clipforge.jobs import queue
from clipforge.jobs.kinds import entries_of, kind_of
from clipforge.jobs.models import Job
from clipforge.media.contracts import PICTURES
from credits import selectors as credit_selectors
from credits.models import CreditTransaction, TransactionType
from exports import selectors as export_selectors
from exports.models import Export
from projects import selectors as project_selectors
from projects.models import Moment, Project

# Of each list; the admin's lists have the rest.
MOST_LISTED = 50
# Sentences of a transcript: an hour of speech has about a thousand.
MOST_SENTENCES = 400
# Pictures of a strip that stand on a page.
CELLS = 24
CUE = re.compile(r"(\d+:\d\d:\d\d\.\d+) --> [^\n]*\n[^\n#]*#xywh=(\d+),(\d+),(\d+),(\d+)")


class StoredFile(NamedTuple):
    name: str
    key: str
    bytes: int | None  # None: it is not there


class Attempt(NamedTuple):
    """An entry of the queue that did the job, with its events, the first first."""

    entry: Any
    events: list[Any]


class Charges(NamedTuple):
    """The ledger rows of a job, the newest first, and what it costs after refunds."""

    rows: list[CreditTransaction]
    spent: int
    refunded: int

    @property
    def spends(self) -> list[CreditTransaction]:
        return [row for row in self.rows if row.type == TransactionType.SPEND]

    @property
    def left(self) -> int:
        return self.spent - self.refunded


def charges(job: Job) -> Charges:
    of_job = credit_selectors.all_transactions().filter(
        reference_id=str(job.pk), reference_type=job.REFERENCE_TYPE, org=job.org_id
    )
    rows = list(of_job.order_by("-id")[:MOST_LISTED])
    spent = -sum(row.amount for row in rows if row.type == TransactionType.SPEND)
    refunded = sum(row.amount for row in rows if row.type == TransactionType.REFUND)
    return Charges(rows, spent, refunded)


def attempts(job: Job) -> list[Attempt]:
    """The entries of the queue for it, the last attempt first."""
    entries = list(entries_of(kind_of(job)).filter(of_job=str(job.pk)).order_by("-id")[:20])
    events: dict[int, list[Any]] = {entry.pk: [] for entry in entries}
    for event in queue.events_of(events):
        events[event.job_id].append(event)
    return [Attempt(entry, events[entry.pk]) for entry in entries]


def files_of(key: str, name: str) -> list[StoredFile] | None:
    """The file with this key and the pictures beside it; None while the store does not answer."""
    if not key:
        return []
    try:
        there = {entry.key: entry.size for entry in storage.beside(key)}
    except StorageUnavailable:
        return None
    wanted = {name: key, **{each: storage.companion_of(key, each) for each in PICTURES}}
    return [StoredFile(each, wanted[each], there.get(wanted[each])) for each in wanted]


def moments_of(project: Project) -> list[Moment]:
    """Its best moments, in the order of their score."""
    return list(project_selectors.moments(project).order_by("-score", "-id")[:MOST_LISTED])


def exports_of(project: Project) -> list[Export]:
    """Its newest exports."""
    return list(export_selectors.exports_of(project).order_by("-created_at", "-id")[:MOST_LISTED])


def exports_of_moment(moment: Moment) -> list[Export]:
    made = export_selectors.exports_of(moment.project).filter(moment=moment)
    return list(made.order_by("-created_at", "-id")[:MOST_LISTED])


class Line(NamedTuple):
    """A sentence of a transcript and when it begins."""

    start: float
    text: str


def transcript_of(project: Project, start: float = 0.0, end: float | None = None) -> list[Line]:
    """The sentences that begin in this part of the source; none where nothing is spoken."""
    found = project_selectors.transcript(project)
    if found is None:
        return []
    said = [
        Line(sentence.start, sentence.text)
        for sentence in found.content.sentences
        if sentence.end > start and (end is None or sentence.start < end)
    ]
    return said[:MOST_SENTENCES]


class Cell(NamedTuple):
    """A picture of a strip: when it begins, and its place in the sprite."""

    start: float
    x: int
    y: int
    width: int
    height: int


class Strip(NamedTuple):
    """Pictures of a source in order, cut out of a sprite of this size."""

    cells: list[Cell]
    width: int
    height: int


def strip_of(vtt_key: str) -> Strip | None:
    """CELLS of the pictures of a strip at most; None where there is no strip."""
    cells = [
        Cell(_seconds(start), *map(int, place)) for start, *place in CUE.findall(_text_of(vtt_key))
    ]
    if not cells:
        return None
    width, height = max(c.x + c.width for c in cells), max(c.y + c.height for c in cells)
    return Strip(cells[:: -(-len(cells) // CELLS)], width, height)


def _text_of(key: str) -> str:
    """Of a small file; empty where there is none, or the store does not answer."""
    with contextlib.suppress(FileNotFoundError, StorageUnavailable):
        return storage.read_bytes(key).decode()
    return ""


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
