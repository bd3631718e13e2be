"""Organizations, projects, moments and exports, and the jobs that were deleted after they were paid for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from django.conf import settings

from clipforge.devtools.seeding import books, charges
from clipforge.devtools.seeding.draws import (
    DAY,
    HOT_PROJECT_SHARE,
    SECOND,
    Bits,
    Draw,
    Floats,
    HoldOutcome,
    Ints,
    JobKind,
    Jobs,
    Strings,
    texts_of_ids,
    texts_of_times,
)
from clipforge.devtools.seeding.tables import NULL, Progress, Sink, Table
from clipforge.orgs.models import TierLimits
from exports.models import Export
from projects.models import Moment, Project

WORK = (
    "id org_id hold_id status fence attempts stage progress error_code error_message"
    " lease_expires_at queued_at started_at finished_at created_at updated_at charged"
)
PROJECTS = Table.of(
    Project,
    f"{WORK} title source_name source_key sha256 size duration width height has_audio"
    " scorer_version",
)
MOMENTS = Table.of(Moment, "id org_id project_id start end score subscores reason scorer_version")
EXPORTS = Table.of(
    Export,
    f"{WORK} project_id moment_id start end aspect resolution file_key size duration width height"
    " sha256 expires_at",
)
TABLES = [PROJECTS, MOMENTS, EXPORTS]

PROJECT_ENDS = {"READY": 0.84, "EMPTY": 0.06, "FAILED": 0.06, "CANCELLED": 0.04}
EXPORT_ENDS = {"READY": 0.91, "FAILED": 0.05, "CANCELLED": 0.04}
CHARGED = {"READY"}
# Work that is gone: deleted by its customer, who paid for it all the same.
GONE_RELEASED, GONE_PROJECTS = 0.08, 0.1
# At most so many of a kind wait or run; they use up no limit of concurrent jobs.
OPEN = 24

ASPECTS = {"9:16": 0.7, "1:1": 0.15, "16:9": 0.1, "source": 0.05}
RESOLUTIONS = {"1080": 0.75, "720": 0.2, "480": 0.05}
TOPICS = ["Keynote", "Interview", "Stand-up", "Match report", "Lecture", "Town hall", "Podcast"]
REASONS = [
    "Somebody laughs and the room follows.",
    "Lively speech after a pause.",
    "A sudden change of picture with loud applause.",
    "Clear speech from beginning to end.",
]
ERRORS = {
    "FAILED": ("timed_out", "It took longer than we allow. You were not charged; retry it."),
}


class Sizes(NamedTuple):
    orgs: int
    projects: int
    moments: int
    transactions: int
    exports: int


@dataclass
class Orgs:
    ids: list[str]
    tiers: list[str]
    founded: Ints
    shares: Floats


@dataclass
class Clips:
    """Stretches of projects, in arrays side by side: `project` is the number of its row."""

    project: Ints
    start: Floats
    end: Floats
    id: Bits
    score: Floats


class Work(NamedTuple):
    """Rows of Project or Export that are work: their jobs, and the status of each row."""

    jobs: Jobs
    status: Strings


# --- what there is ---------------------------------------------------------------------


def draw_projects(draw: Draw, orgs: Orgs, count: int) -> Work:
    org = draw.spread(orgs.shares, count)
    asked = draw.imported(org, draw.between(orgs.founded[org]))
    order = np.argsort(asked, kind="stable")
    org, asked = org[order], asked[order]
    seconds = draw.durations(_longest(orgs, org))
    status = draw.pick(PROJECT_ENDS, count)
    jobs = draw.jobs(JobKind.PROJECT, org, asked, draw.later(asked, 240), seconds, _outcome(status))
    return _with_open(draw, orgs, Work(jobs, status), Project.RUNNING)


def draw_moments(draw: Draw, projects: Work, count: int) -> Clips:
    """In the order of their projects. Most projects have some, one has a fiftieth of all."""
    ready = np.flatnonzero(projects.status == "READY")
    weights = draw.rng.gamma(0.7, 1.0, len(ready))
    if len(ready) > 1:
        weights *= (1 - HOT_PROJECT_SHARE) / weights.sum()
        weights[np.argmin(projects.jobs.org[ready])] = HOT_PROJECT_SHARE
    picked = draw.spread(weights / weights.sum(), count) if count else np.zeros(0, np.int64)
    project = np.sort(ready[picked])
    score = np.round(100 * draw.rng.beta(4, 3, count), 1)
    return _clips(draw, projects, project, score)


def draw_exports(
    draw: Draw, orgs: Orgs, projects: Work, moments: Clips, count: int
) -> tuple[Work, Clips, Ints]:
    """Exports, what they show, and the number of the moment that each is of, or -1."""
    moment = _moments_to_export(draw, len(moments.project), count)
    analysed = np.flatnonzero(np.isin(projects.status, ["READY", "EMPTY"]))
    project = draw.rng.choice(analysed, count) if count else np.zeros(0, np.int64)
    of_moment = moment >= 0
    project[of_moment] = moments.project[moment[of_moment]]
    asked = draw.between(projects.jobs.done[project])
    org = projects.jobs.org[project]
    asked = np.maximum(draw.imported(org, asked), projects.jobs.done[project])
    order = np.argsort(asked, kind="stable")
    moment, project, org, asked = moment[order], project[order], org[order], asked[order]
    clips = _clips(draw, projects, project, np.zeros(count))
    of_moment = moment >= 0
    clips.start[of_moment] = moments.start[moment[of_moment]]
    clips.end[of_moment] = moments.end[moment[of_moment]]
    status = draw.pick(EXPORT_ENDS, count)
    done = draw.later(asked, 45)
    seconds = clips.end - clips.start
    jobs = draw.jobs(JobKind.EXPORT, org, asked, done, seconds, _outcome(status))
    return _with_open(draw, orgs, Work(jobs, status), Export.RUNNING), clips, moment


def draw_gone(draw: Draw, orgs: Orgs, kept: list[Jobs], rows: int) -> tuple[Jobs, int]:
    """Work whose rows were deleted: so much that the ledger has `rows` rows, or a few less.

    Also returns how many less. Negative: the work that is there makes more than that.
    """
    most = int(rows * 1.1) + 16
    org = draw.spread(orgs.shares, most)
    outcome = (draw.rng.random(most) < GONE_RELEASED).astype(np.int64)
    kept_org = np.concatenate([jobs.org for jobs in kept])
    kept_outcome = np.concatenate([jobs.outcome for jobs in kept])

    def total(count: int) -> int:
        return books.rows_written(
            len(orgs.ids),
            np.concatenate([kept_org, org[:count]]),
            np.concatenate([kept_outcome, outcome[:count]]),
        )

    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if total(middle) <= rows else (low, middle - 1)
    org, outcome = org[:low], outcome[:low]
    kind = np.where(draw.rng.random(low) < GONE_PROJECTS, JobKind.PROJECT, JobKind.EXPORT)
    asked = draw.imported(org, draw.between(orgs.founded[org]))
    seconds = np.where(
        kind == JobKind.PROJECT, draw.durations(_longest(orgs, org)), draw.lengths(low)
    )
    jobs = draw.jobs(kind, org, asked, draw.later(asked, 90), seconds, outcome)
    return jobs, rows - total(low)


def welcomes(draw: Draw, orgs: Orgs) -> Jobs:
    org = np.arange(len(orgs.ids))
    nothing = np.zeros(len(org))
    at = orgs.founded
    return draw.jobs(JobKind.WELCOME, org, at, at, nothing, np.zeros(len(org), np.int64))


def _longest(orgs: Orgs, org: Ints) -> Ints:
    """Seconds that a source may last, for each of these organizations."""
    longest = dict(TierLimits.objects.values_list("tier", "max_source_seconds"))
    return np.array([longest[tier] for tier in orgs.tiers])[org]


def _outcome(status: Strings) -> Ints:
    return np.where(
        np.isin(status, list(CHARGED)), HoldOutcome.CAPTURED, HoldOutcome.RELEASED
    ).astype(np.int64)


def _with_open(draw: Draw, orgs: Orgs, work: Work, running: str) -> Work:
    """Let some of the work be waiting or running at this moment: one of an organization at most."""
    jobs, status = work.jobs, work.status.astype("<U16")
    paying = np.array([tier != "FREE" for tier in orgs.tiers])
    candidates = draw.rng.permutation(np.flatnonzero(paying[jobs.org]))
    _, first = np.unique(jobs.org[candidates], return_index=True)
    chosen = np.sort(candidates[first[:OPEN]])
    ago = np.sort(draw.rng.integers(1, 60, len(chosen)))[::-1]
    jobs.asked[chosen] = draw.now - ago * SECOND
    jobs.done[chosen] = draw.now
    waits = np.arange(len(chosen)) % 2 == 1
    jobs.outcome[chosen] = np.where(waits, HoldOutcome.QUEUED, HoldOutcome.RUNNING)
    status[chosen] = np.where(waits, "QUEUED", running)
    return Work(jobs, status)


def _moments_to_export(draw: Draw, moments: int, count: int) -> Ints:
    if not moments:
        return np.full(count, -1)
    of_moment = draw.rng.random(count) < 0.85
    return np.where(of_moment, draw.rng.integers(0, moments, count), -1)


def _clips(draw: Draw, projects: Work, project: Ints, score: Floats) -> Clips:
    length = draw.lengths(len(project))
    room = projects.jobs.seconds[project] - length
    start = np.round(room * draw.rng.random(len(project)), 2)
    ids = draw.ids(projects.jobs.done[project])
    return Clips(project, start, np.round(start + length, 2), ids, score)


# --- as rows ---------------------------------------------------------------------------


class Writer:
    """Sends rows to their tables."""

    def __init__(self, sink: Sink, draw: Draw, orgs: Orgs, progress: Progress) -> None:
        self._sink, self._draw, self._orgs, self._progress = sink, draw, orgs, progress
        days = dict(TierLimits.objects.values_list("tier", "retention_days"))
        self._kept = np.array([days[tier] for tier in orgs.tiers]) * DAY
        (self._lease,) = texts_of_times(np.array([draw.now + settings.WORK_LEASE_SECONDS * SECOND]))

    def projects(self, work: Work) -> None:
        count = len(work.jobs)
        topics = self._draw.rng.choice(TOPICS, count).tolist()
        for number, (row, topic, seconds, org) in enumerate(
            zip(
                self._work(work),
                topics,
                work.jobs.seconds.tolist(),
                work.jobs.org.tolist(),
                strict=True,
            )
        ):
            self._tell("projects", number, count)
            pk = row.partition("\t")[0]
            source = f"{self._orgs.ids[org]}/projects/{pk}/source"
            scorer = "seed" if work.status[number] in {"READY", "EMPTY"} else ""
            self._sink.add(
                PROJECTS,
                f"{row}\t{topic} {number + 1}\t{topic.lower()}.mp4\t{source}\t{digest(pk)}\t"
                f"{int(seconds * 400_000)}\t{seconds}\t1920\t1080\tt\t{scorer}",
            )
        self._done("projects", count)

    def moments(self, moments: Clips, projects: Work) -> None:
        count = len(moments.project)
        reasons = self._draw.rng.choice(REASONS, count).tolist()
        parts = self._draw.rng.integers(20, 100, (count, 2)).tolist()
        project_ids = texts_of_ids(projects.jobs.id)
        for number, (pk, project, start, end, score, reason, (speech, motion)) in enumerate(
            zip(
                texts_of_ids(moments.id),
                moments.project.tolist(),
                moments.start.tolist(),
                moments.end.tolist(),
                moments.score.tolist(),
                reasons,
                parts,
                strict=True,
            )
        ):
            self._tell("moments", number, count)
            org = self._orgs.ids[projects.jobs.org[project]]
            self._sink.add(
                MOMENTS,
                f"{pk}\t{org}\t{project_ids[project]}\t{start}\t{end}\t{score}\t"
                f'{{"speech": {speech}, "motion": {motion}}}\t{reason}\tseed',
            )
        self._done("moments", count)

    def exports(
        self, work: Work, clips: Clips, moment: Ints, moments: Clips, projects: Work
    ) -> None:
        count = len(work.jobs)
        aspects = self._draw.pick(ASPECTS, count).tolist()
        resolutions = self._draw.pick(RESOLUTIONS, count).tolist()
        project_ids, moment_ids = texts_of_ids(projects.jobs.id), texts_of_ids(moments.id)
        ends = np.asarray(work.jobs.done + self._kept[work.jobs.org])
        ends_text = texts_of_times(ends)
        for number, row in enumerate(self._work(self._expired(work, ends))):
            self._tell("exports", number, count)
            which = moment[number]
            start, end = clips.start[number], clips.end[number]
            about = (
                f"{project_ids[clips.project[number]]}\t"
                f"{moment_ids[which] if which >= 0 else NULL}\t{start}\t{end}\t{aspects[number]}\t"
                f"{resolutions[number]}"
            )
            made = f"\t{NULL}\t{NULL}\t{NULL}\t{NULL}\t\t{NULL}"
            if work.status[number] == "READY":
                pk, org = row.partition("\t")[0], self._orgs.ids[work.jobs.org[number]]
                key = f"{org}/exports/{pk}/1.mp4" if ends[number] > self._draw.now else ""
                made = (
                    f"{key}\t{int((end - start) * 700_000)}\t{end - start}\t1080\t1920\t"
                    f"{digest(pk)}\t{ends_text[number]}"
                )
            self._sink.add(EXPORTS, f"{row}\t{about}\t{made}")
        self._done("exports", count)

    def _work(self, work: Work) -> Iterator[str]:
        """The columns of WORK, a row each."""
        jobs = work.jobs
        charged = np.where(jobs.outcome == HoldOutcome.CAPTURED, charges.prices_of(jobs), 0)
        for pk, hold, org, status, outcome, asked, started, done, cost in zip(
            texts_of_ids(jobs.id),
            texts_of_ids(jobs.hold),
            jobs.org.tolist(),
            work.status.tolist(),
            jobs.outcome.tolist(),
            texts_of_times(jobs.asked),
            texts_of_times(jobs.asked + SECOND // 2),
            texts_of_times(jobs.done),
            charged.tolist(),
            strict=True,
        ):
            queued, running = outcome == HoldOutcome.QUEUED, outcome == HoldOutcome.RUNNING
            attempt = 0 if queued else 1
            stage, progress = ("rendering", 0.4) if running else ("", 1 - attempt)
            code, message = ERRORS.get(status, ("", ""))
            lease = self._lease if running else NULL
            begun, ended = NULL if queued else started, NULL if queued or running else done
            yield (
                f"{pk}\t{self._orgs.ids[org]}\t{hold}\t{status}\t{attempt}\t{attempt}\t{stage}\t"
                f"{progress}\t{code}\t{message}\t{lease}\t{asked}\t{begun}\t{ended}\t{asked}\t{done}\t{cost}"
            )

    def _expired(self, work: Work, ends: Ints) -> Work:
        gone = (work.status == "READY") & (ends <= self._draw.now)
        return Work(work.jobs, np.where(gone, "EXPIRED", work.status))

    def _tell(self, stage: str, number: int, count: int) -> None:
        if number % 1000 == 0:
            self._progress(stage, number, count)

    def _done(self, stage: str, count: int) -> None:
        self._progress(stage, count, count)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
