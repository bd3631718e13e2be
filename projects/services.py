"""Writes to projects."""

from __future__ import annotations

import contextlib
import datetime
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from clipforge.common import storage
from clipforge.common.errors import Conflict, Invalid, NotFound, UnsupportedMedia
from clipforge.common.models import uuid7
from clipforge.common.storage import Arrival
from clipforge.jobs import caching as job_caching
from clipforge.jobs import lifecycle
from clipforge.jobs import services as job_services
from clipforge.media import SourceInfo
from clipforge.media.words.transcript import CONTROL
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs import stored
from clipforge.orgs.models import Organization
from credits.quotes import AT_ANY_PRICE, Terms
from projects import caching, failures, selectors, sources, uploads
from projects.events import project_deleting
from projects.models import Project, ProjectImport, ProjectTranscript, Upload
from projects.wishes import require_inside

# Of a transcript. The longest place name has 58; an hour of fast speech has 60,000 in all.
MAX_WORD_CHARACTERS = 64
MAX_TRANSCRIPT_CHARACTERS = 500_000

# The name of the constraint.
EXTERNAL_ID = "projects_project_external_id"


def create_project(
    *,
    org: Organization,
    title: str,
    external_id: str | None = None,
    metadata: dict[str, str] | None = None,
    source_name: str,
    part: Path | Arrival,
    size: int,
    sha256: str,
    source: SourceInfo,
    wishes: Mapping[str, Any] | None = None,
    audio_track: int | None = None,
    terms: Terms = AT_ANY_PRICE,
    actor: str,
) -> Project:
    """Keep an inspected upload and queue its analysis, paid by a hold.

    `wishes`, as `projects.wishes` reads them, are for the choice of its moments.

    Call inside a transaction: row, hold and task are one. The file is moved to its place as the
    last step; should the commit fail after that, the removal of orphans finds the file. `part` is a file
    on the disk of MEDIA_ROOT, or what `bring_source` gives, which says the id of the project. Raises
    InsufficientCredits, StorageFull, StorageLimitReached, Conflict when a project of the organization has
    this `external_id`, however close the two come, and what `agreed_charge` does about the terms.
    """
    limits = org_selectors.limits_of(org)
    project = Project(
        id=part.row_id if isinstance(part, Arrival) else uuid7(),
        org=org,
        title=title or Path(source_name).stem[:200] or "Untitled",
        external_id=external_id or "",
        metadata=metadata or {},
        source_name=source_name[:255],
        sha256=sha256,
        size=size,
        duration=source.duration,
        width=source.width,
        height=source.height,
        fps=source.fps,
        video_codec=source.video_codec[:32],
        audio_codec=(source.audio_codec or "")[:32],
        has_audio=source.has_audio,
        wishes=dict(wishes) if wishes else None,
        audio_track=audio_track,
        warnings=failures.warnings_of(source.warnings),
        stored_bytes=size,
        expires_at=timezone.now() + datetime.timedelta(days=limits.retention_days),
    )
    project.source_key = _source_key(org, project.pk)
    with _external_id_is_free(org, external_id), transaction.atomic():
        charge = job_services.agreed_charge(job=project, terms=terms)
        job_services.submit_job(job=project, actor=actor, charge=charge)
        stored.require_within_limit(org)
        if isinstance(part, Arrival):
            part.land()
        else:
            storage.publish(part, project.source_key)
    return project


def bring_source(
    *, org: Organization, part: Path, sha256: str
) -> contextlib.AbstractContextManager[Arrival]:
    """Bring a file to the store for a project that `create_project` makes within the block.

    Where the store is elsewhere, that takes as long as the upload took: call it outside a transaction.
    Nothing of the file stays unless the project was made. Raises StorageUnavailable.
    """
    return storage.brought(part, _source_key(org, uuid7()), sha256=sha256)


def _source_key(org: Organization, project_id: uuid.UUID) -> str:
    return f"{org.pk}/projects/{project_id}/source"


class Brought(NamedTuple):
    """An upload that was looked at and is on its way to the store."""

    upload: Upload
    sha256: str
    source: SourceInfo
    arrival: Arrival


@contextlib.contextmanager
def bring_upload(
    *,
    org: Organization,
    upload_id: uuid.UUID,
    audio_track: int | None = None,
    wishes: Mapping[str, Any] | None = None,
) -> Iterator[Brought]:
    """Look at an upload that is whole, and bring it to the store for `use_upload`, within the block.

    Call it outside a transaction. Raises NotFound, StorageFull, Gone and Conflict where it cannot be used, what
    `uploads.digest_of` and `sources.inspect_source` do, and Invalid for a range outside of it. What is no
    video at all is removed.
    """
    upload = uploads.get_upload(org, upload_id)
    uploads.require_usable(upload)
    with uploads.at_hand(upload) as part:
        digest = uploads.digest_of(upload, part)
        try:
            source = sources.inspect_source(org=org, path=part, audio_track=audio_track)
        except UnsupportedMedia:
            uploads.end_upload(upload)
            raise
        require_inside(wishes or {}, duration=source.duration)
        key = _source_key(org, uuid7())
        with uploads.brought(upload, part, key, sha256=digest) as arrival:
            yield Brought(upload, digest, source, arrival)


def use_upload(*, brought: Brought, **options: Any) -> Project:
    """Make a project of an upload. `options` are those of `create_project`.

    Call inside a transaction. Of two that use one upload the second is refused. Raises what
    `create_project` and `uploads.take` do.
    """
    org = brought.upload.org
    with transaction.atomic():
        upload = uploads.take(org, brought.upload.pk)
        project = create_project(
            org=org,
            source_name=upload.name,
            part=brought.arrival,
            size=upload.size,
            sha256=brought.sha256,
            source=brought.source,
            **options,
        )
        uploads.taken(upload, project_id=project.pk)
    return project


def import_project(
    *,
    org: Organization,
    source_url: str,
    title: str,
    external_id: str | None = None,
    metadata: dict[str, str] | None = None,
    wishes: Mapping[str, Any] | None = None,
    audio_track: int | None = None,
    terms: Terms = AT_ANY_PRICE,
    actor: str,
) -> Project:
    """Queue the import of a source from an address, and its analysis.

    The least that an analysis costs is reserved; what this one costs is, when its length is known. Raises
    Invalid for an address that is never asked, StorageLimitReached where nothing more may be stored, and
    otherwise as `create_project` does.
    """
    url = sources.require_importable(source_url)
    name = sources.name_in(url)
    stored.require_room(org)
    project = Project(
        id=uuid7(),
        org=org,
        title=title or Path(name).stem[:200] or "Untitled",
        external_id=external_id or "",
        metadata=metadata or {},
        source_name=name,
        size=0,
        duration=0,
        width=0,
        height=0,
        has_audio=False,
        wishes=dict(wishes) if wishes else None,
        audio_track=audio_track,
    )
    with _external_id_is_free(org, external_id), transaction.atomic():
        charge = job_services.agreed_charge(job=project, terms=terms)
        job_services.submit_job(job=project, actor=actor, charge=charge)
        ProjectImport.objects.create(
            project=project, org=org, url=url, max_credits=terms.max_credits
        )
    return project


def rename_project(*, project: Project, title: str) -> Project:
    """Raises NotFound when it was deleted meanwhile."""
    return update_project(project=project, title=title)


def update_project(*, project: Project, **values: Any) -> Project:
    """Set what is the customer's own: `title`, `external_id` (None for none), `metadata`.

    Raises NotFound when it was deleted meanwhile, Conflict when another project has the
    `external_id`.
    """
    if "external_id" in values:
        values["external_id"] = values["external_id"] or ""
    with _external_id_is_free(project.org, values.get("external_id")), transaction.atomic():
        if not Project.objects.filter(pk=project.pk).update(**values, updated_at=Now()):
            raise NotFound
        job_caching.changed(Project, project.pk)
    for name, value in values.items():
        setattr(project, name, value)
    return project


@contextlib.contextmanager
def _external_id_is_free(org: Organization, external_id: str | None) -> Iterator[None]:
    """Raises Conflict, naming the project that has the id, where the block breaks the constraint."""
    try:
        yield
    except IntegrityError as error:
        if EXTERNAL_ID not in str(error):
            raise
        # The other is committed: the constraint waited for it.
        other = Project.objects.for_org(org).filter(external_id=external_id).first()
        raise Conflict(
            "A project of this organization has this external_id. Nothing was stored or charged.",
            code="external_id_taken",
            existing=other and str(other.pk),
        ) from None


def correct_words(
    *, project: Project, words: Sequence[tuple[int, str]], actor: str
) -> ProjectTranscript:
    """Write words of the transcript anew, given by their indices; the last of equal indices counts.

    Times stay. Raises NoTranscript, and Invalid for an index that is not there, for what is no word, or
    for a transcript that would grow too long. Then nothing is changed.
    """
    with transaction.atomic():
        row = selectors.get_transcript(project, lock=True)
        corrections = {index: _word(text) for index, text in words}
        before = row.content
        if missing := [index for index in corrections if index >= len(before.words)]:
            raise Invalid(f"The transcript has no word {missing[0]}.", code="no_such_word")
        after = before.corrected(corrections)
        if len(after.text) > max(MAX_TRANSCRIPT_CHARACTERS, len(before.text)):
            raise Invalid(
                f"A transcript has at most {MAX_TRANSCRIPT_CHARACTERS} characters.",
                code="transcript_too_long",
            )
        row.content = after
        row.corrected_at, row.corrected_by = timezone.now(), actor
        row.save()
    return row


def _word(text: str) -> str:
    """The text with its blanks made single; raises Invalid for what captions could not show."""
    word = " ".join(text.split())
    if not 0 < len(word) <= MAX_WORD_CHARACTERS or CONTROL.search(word):
        raise Invalid(
            f"A word has 1 to {MAX_WORD_CHARACTERS} characters, none of them a control character.",
            code="not_a_word",
        )
    return word


def delete_project(*, project: Project, actor: str) -> None:
    """Delete the project with its moments, exports and files. A running analysis is cancelled first.

    Raises NotFound when it is deleted already.
    """
    with transaction.atomic():
        # Locks it first: the start of an export of it waits, and then finds it gone.
        key = lifecycle.abandon(project, actor=actor).source_key
        project_deleting.send(sender=Project, project=project, actor=actor)
        caching.moments_going(project)
        project.delete()
        stored.settle(project.org_id)
        transaction.on_commit(lambda: storage.delete(key), robust=True)
