"""A video, a moment and a job in words: facts, the strip of its states, what it cost, what may be done."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from django.db.models import Model
from django.urls import reverse
from django.utils import timezone

from clipforge.jobs.kinds import kind_of
from clipforge.jobs.models import FAILED, Job
from clipforge.jobs.rules import Action
from clipforge.staff import formatting, job_actions
from clipforge.staff.videos.selectors import Charges
from exports.models import Export
from projects.models import Moment, Project

CODECS = {
    "h264": "H.264",
    "hevc": "HEVC",
    "av1": "AV1",
    "vp8": "VP8",
    "vp9": "VP9",
    "mpeg4": "MPEG-4",
    "mpeg2video": "MPEG-2",
    "prores": "ProRes",
    "aac": "AAC",
    "mp3": "MP3",
    "opus": "Opus",
    "vorbis": "Vorbis",
    "ac3": "AC-3",
    "flac": "FLAC",
}


class Fact(NamedTuple):
    name: str
    value: str
    note: str = ""
    state: str = ""  # the colour of a badge; empty: no badge
    url: str = ""


def about_source(project: Project) -> str:
    """`5.3 MB, 15.4 s, 1920×1080, 25 fps, H.264, sound in AAC`."""
    parts = [
        formatting.size(project.size),
        formatting.seconds(project.duration),
        f"{project.width}×{project.height}",
        f"{project.fps:.4g} fps" if project.fps else "",
        codec(project.video_codec),
        _sound(project),
    ]
    return ", ".join(part for part in parts if part)


def _sound(project: Project) -> str:
    if not project.has_audio:
        return "no sound"
    return f"sound in {codec(project.audio_codec)}" if project.audio_codec else "with sound"


def codec(name: str) -> str:
    return CODECS.get(name, name)


def about_clip(export: Export) -> str:
    """As of a source, once there is a file."""
    if export.size is None or export.duration is None:
        return ""
    parts = [
        formatting.size(export.size),
        formatting.seconds(export.duration),
        f"{export.width}×{export.height}",
        f"{export.fps} fps at most" if export.fps else "",
        export.get_format_display(),
    ]
    return ", ".join(part for part in parts if part)


def facts_of_project(project: Project, charged: Charges) -> list[Fact]:
    found = [
        *_of_job(project),
        Fact("Source", about_source(project), project.source_name),
        _cost(project, charged),
        _end("Source is kept until", project.expires_at, is_there=bool(project.source_key)),
        Fact("External id", project.external_id or "none"),
        Fact("Scorer", f"version {project.scorer_version}" if project.scorer_version else "–"),
    ]
    return [*found, *_warnings(project.warnings)]


def facts_of_export(export: Export, charged: Charges) -> list[Fact]:
    asked = [
        f"{export.aspect}, {export.resolution} pixels",
        f"layout: {export.get_layout_display().lower()}",
        f"captions: {export.get_captions_display().lower()}",
        f"pauses: {export.get_tighten_display().lower()}",
    ]
    found = [
        *_of_job(export),
        Fact("Clip", about_clip(export) or "no file", export.download_name),
        Fact(
            "Of the source",
            f"{formatting.length(export.start)} to {formatting.length(export.end)}",
            formatting.seconds(export.end - export.start),
        ),
        Fact("Asked for", asked[0], "; ".join(asked[1:])),
        _cost(export, charged),
        _end("File is kept until", export.expires_at, is_there=bool(export.file_key)),
    ]
    return [*found, *_warnings(export.warnings)]


def facts_of_moment(moment: Moment) -> list[Fact]:
    rating = moment.get_rating_display() if moment.rating else "not rated"
    return [
        Fact("Score", f"{moment.score:.0f} of 100", f"scorer version {moment.scorer_version}"),
        Fact(
            "Of the source",
            f"{formatting.length(moment.start)} to {formatting.length(moment.end)}",
            formatting.seconds(moment.duration),
        ),
        Fact("Why", moment.reason),
        Fact("Kind", moment.get_kind_display() or "–"),
        Fact("Comes from", moment.get_origin_display(), "pinned" if moment.pinned else ""),
        Fact("Customer's rating", rating),
        Fact("Id", str(moment.pk)),
    ]


def subscores(moment: Moment) -> list[tuple[str, int]]:
    """The parts of the score, the highest first."""
    scores = {str(name): round(float(value)) for name, value in moment.subscores.items()}
    return sorted(scores.items(), key=lambda each: -each[1])


def _of_job(job: Job) -> list[Fact]:
    status = formatting.status_of(job)
    note = f"{job.stage}, {job.progress:.0%}" if job.is_open and job.stage else ""
    found = [
        Fact("State", status, note, formatting.state_of(job.status)),
        Fact("Organization", job.org.name, job.org.slug, url=_page_of(job.org)),
        Fact("Id", str(job.pk)),
    ]
    if job.status == FAILED:
        found.insert(1, Fact("Failed with", job.error_code, job.error_message, "bad"))
    return found


def _page_of(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def _cost(job: Job, charged: Charges) -> Fact:
    if charged.spent:
        note = f"{formatting.number(charged.refunded)} given back" if charged.refunded else ""
        return Fact("Charged", formatting.count(charged.left, "credit"), note)
    if job.reserved:
        return Fact(
            "Charged", "nothing yet", f"{formatting.count(job.reserved, 'credit')} reserved"
        )
    return Fact("Charged", "nothing")


def _end(name: str, at: datetime.datetime | None, *, is_there: bool) -> Fact:
    if not is_there:
        return Fact(name, "there is no file")
    return Fact(name, formatting.moment(at)) if at else Fact(name, "for ever")


def _warnings(found: list[dict[str, str]]) -> list[Fact]:
    return [Fact("Warning", each["code"], each["message"], "warn") for each in found]


# --- the strip of states ---------------------------------------------------------------


class Step(NamedTuple):
    """A state that a job came to, and how long it stayed there."""

    name: str
    at: datetime.datetime
    lasted: str
    state: str


def steps_of(job: Job) -> list[Step]:
    """The states of the last attempt in order, each with its time."""
    kind = kind_of(job)
    running = formatting.status_in_words(kind.model, job.RUNNING)
    reached = [("Asked for", job.created_at, "idle")]
    if job.queued_at:
        reached.append(("Queued", job.queued_at, "busy"))
    if job.started_at and (job.queued_at is None or job.started_at >= job.queued_at):
        reached.append((running, job.started_at, "busy"))
    if job.finished_at and not job.is_open:
        name = formatting.status_of(job)
        reached.append((name, job.finished_at, formatting.state_of(job.status)))
    ends = [at for _, at, _ in reached[1:]]
    steps = []
    for place, (name, at, state) in enumerate(reached):
        end = ends[place] if place < len(ends) else (timezone.now() if job.is_open else None)
        lasted = formatting.seconds((end - at).total_seconds()) if end and end >= at else ""
        steps.append(Step(name, at, lasted, state))
    return steps


# --- what may be done ------------------------------------------------------------------


class Offer(NamedTuple):
    """An action on a job: a button, or why it is none. `url` is of a page that asks first."""

    label: str
    why_not: str = ""
    action: str = ""  # what the rescue pages call it
    url: str = ""
    danger: bool = False


def offers(user: Any, job: Job, charged: Charges) -> list[Offer]:
    """Actions on the job that the person has the permission for."""
    found = []
    for action, permission in job_actions.PERMISSIONS.items():
        if user.has_perm(permission):
            refusal = job_actions.why_not(action, job)
            found.append(
                Offer(
                    str(action.label),
                    refusal.message if refusal else "",
                    action.value,
                    danger=action is Action.CANCEL,
                )
            )
    if user.has_perm("staff.grant_credits"):
        url = reverse("admin:refund-job", args=[job.pk])
        found.append(Offer("Refund", why_not_refund(charged), url=url))
    return found


def why_not_refund(charged: Charges) -> str:
    if not charged.spent:
        return "Nothing was charged for it."
    return "" if charged.left > 0 else "All that was charged is given back already."
