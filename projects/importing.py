"""The import of a source from an address: the preparation of an analysis, and its stage `importing`.

The order reserved the least that an analysis costs. Once the file is here and was looked at, the price of
its length is reserved instead, in the transaction that names the file: from then on the project is as if
it had been uploaded. Where credits are missing the file stays, and a retry needs it no more.

What is fetched counts as stored before it is here, as far as it is allowed to come. A worker that stops
leaves its part on the disk, and the next one goes on from there if it is the same file still.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone

from clipforge.common import storage
from clipforge.common.errors import StorageLimitReached, StorageUnavailable
from clipforge.common.fetching import Bounds, Fetch
from clipforge.jobs import caching as job_caching
from clipforge.jobs import lifecycle
from clipforge.jobs.failures import DATABASE_FAULTS, INTERRUPTED, Failure, JobFailed
from clipforge.jobs.kinds import RunControl
from clipforge.jobs.models import CANCELLED, FAILED
from clipforge.media import SourceInfo
from clipforge.media.signatures import HEAD_BYTES
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs import stored
from credits.errors import InsufficientCredits, KeyCapReached, MaxCreditsExceeded
from credits.quotes import Terms
from projects import failures, sources
from projects.models import Project, ProjectImport
from projects.pricing import analysis_charge
from projects.wishes import require_inside

STAGE = "importing"
# Room that is taken at a time for a file whose length is not known. Bytes.
STEP = 64 << 20
# How often progress is shown, and asked whether to stop. Seconds.
EVERY = 0.25


def is_due(project: Project) -> bool:
    """Whether its source is still to be fetched."""
    return not project.source_key


def key_to_be(project: Project) -> str:
    """The key that its source will have; empty for one that is not fetched again."""
    waits = is_due(project) and ProjectImport.objects.filter(project=project).exists()
    return _key_of(project) if waits else ""


def _key_of(project: Project) -> str:
    return f"{project.org_id}/projects/{project.pk}/source"


def run(project: Project, control: RunControl) -> None:
    """Fetch the source of a claimed project and reserve its price, or end it as FAILED.

    Raises JobFailed, MediaError, Unanswered and DomainError, as `failures.failure_of` knows them.
    """
    order = ProjectImport.objects.filter(project=project).first()
    if order is None:
        raise JobFailed(failures.SOURCE_MISSING)
    try:
        with _own(part_of(project, order)) as file:
            fetched = _fetch(project, order, file, control)
        control.note(STAGE, 1)
        part = part_of(project, order)
        source = sources.inspect_source(org=project.org, path=part, audio_track=project.audio_track)
        require_inside(project.wishes or {}, duration=source.duration)
        with storage.brought(
            part, _key_of(project), sha256=fetched.sha256, should_stop=control.must_stop
        ) as arrival:
            _keep(project, order, arrival, fetched, source)
        part.unlink(missing_ok=True)
    except (*DATABASE_FAULTS, StorageUnavailable):
        raise
    except storage.Stopped:
        _clean_up_if_ended(project, order)
        raise
    except JobFailed as stopped:
        if stopped.failure is INTERRUPTED:
            _clean_up_if_ended(project, order)
            raise
        _let_go(project, order)
        raise
    except Exception:
        _let_go(project, order)
        raise


def part_of(project: Project, order: ProjectImport) -> Path:
    """Where what is fetched of its source is kept until it is whole.

    It is named after the validator: a part that an earlier worker left on this machine is none of the
    version of which others have fetched since.
    """
    version = hashlib.sha256(order.validator.encode()).hexdigest()[:16]
    return storage.path_of(f"{storage.INCOMING}/{project.pk}.{version}.import.part")


def release_room() -> int:
    """Count nothing for imports that ended without a file. Returns how many were counted.

    Those that failed let go by themselves; of a worker that was killed nobody does.
    """
    ended = Project.objects.filter(
        source_key="", stored_bytes__gt=0, status__in=[FAILED, CANCELLED]
    )
    rows = list(ended.values_list("pk", "org_id")[:1000])
    for pk, org_id in rows:
        with transaction.atomic():
            if ended.filter(pk=pk).update(stored_bytes=0):
                job_caching.changed(Project, pk)
                stored.settle(org_id)
    return len(rows)


@contextlib.contextmanager
def _own(part: Path) -> Iterator[IO[bytes]]:
    """The part, open and locked; a fresh one where a worker that was given up still writes to it."""
    with storage.full_disk_is_refused():
        part.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("a+b")
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            part.unlink(missing_ok=True)  # its writer writes on, where nobody looks any more
            file = part.open("x+b")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file
    finally:
        file.close()


def _fetch(project: Project, order: ProjectImport, file: IO[bytes], control: RunControl) -> Fetch:
    """Fetch to the end. Raises JobFailed (INTERRUPTED) where it has to stop."""
    fetch = Fetch(
        order.url,
        file,
        at_most=settings.MAX_UPLOAD_BYTES,
        validator=order.validator,
        head_bytes=HEAD_BYTES,
        require_fit=sources.require_video,
        bounds=Bounds(seconds=settings.IMPORT_SECONDS),
    )
    allowed = 0
    fetch.start()
    try:
        while not fetch.wait(EVERY):
            control.note(STAGE, fetch.received / fetch.total if fetch.total else 0)
            if control.must_stop():
                raise JobFailed(INTERRUPTED)
            if fetch.validator != order.validator:
                _note_version(project, order, fetch)
            if fetch.wanted > allowed:
                allowed = _make_room(project, fetch)
                fetch.allow(allowed)
    finally:
        fetch.stop()
    if fetch.error is not None:
        raise fetch.error
    return fetch


def _note_version(project: Project, order: ProjectImport, fetch: Fetch) -> None:
    """Note of which version the part is: in its name first, so that it is never taken for one of another."""
    before = part_of(project, order)
    order.validator = fetch.validator
    with contextlib.suppress(FileNotFoundError):  # somebody else has made of it a part of theirs
        if os.path.samestat(os.fstat(fetch.file.fileno()), before.stat()):
            before.replace(part_of(project, order))
    order.save(update_fields=["validator"])


def _make_room(project: Project, fetch: Fetch) -> int:
    """Take room for the whole file; where its length is not known for a step, or what is left."""
    size = fetch.total or min(fetch.wanted + STEP, fetch.at_most)
    storage.require_room(size - fetch.received)
    try:
        _take_room(project, size)
    except StorageLimitReached:
        if fetch.total:
            raise
        size = fetch.wanted
        _take_room(project, size)
    return size


def _take_room(project: Project, size: int) -> None:
    """Count so many bytes for it. Raises StorageLimitReached, and JobFailed where it is no longer ours."""
    with transaction.atomic():
        if not _ours(project).update(stored_bytes=size):
            raise JobFailed(INTERRUPTED)
        job_caching.changed(Project, project.pk)
        stored.require_within_limit(project.org)


def _keep(
    project: Project,
    order: ProjectImport,
    arrival: storage.Arrival,
    fetched: Fetch,
    source: SourceInfo,
) -> None:
    """Name the file in the row and reserve its price; without the credits, end it with the file."""
    days = org_selectors.limits_of(project.org).retention_days
    with transaction.atomic():
        kept = _ours(project).update(
            source_key=arrival.key,
            sha256=fetched.sha256,
            size=fetched.received,
            stored_bytes=fetched.received,
            duration=source.duration,
            width=source.width,
            height=source.height,
            fps=source.fps,
            video_codec=source.video_codec[:32],
            audio_codec=(source.audio_codec or "")[:32],
            has_audio=source.has_audio,
            warnings=failures.warnings_of(source.warnings),
            expires_at=timezone.now() + datetime.timedelta(days=days),
            updated_at=Now(),
        )
        if not kept:
            raise JobFailed(INTERRUPTED)
        job_caching.changed(Project, project.pk)
        order.delete()
        project.duration = source.duration
        if refusal := _refusal_to_pay(project, order):
            lifecycle.fail(project, error=refusal, actor=lifecycle.ACTOR)
        stored.require_within_limit(project.org)
        arrival.land()


def _refusal_to_pay(project: Project, order: ProjectImport) -> Failure | None:
    """Reserve the price; why that cannot be."""
    charge = analysis_charge(project.duration)
    try:
        Terms(max_credits=order.max_credits).require_within(charge.credits)
        lifecycle.reserve_anew(project, charge=charge)
    except (InsufficientCredits, KeyCapReached, MaxCreditsExceeded) as error:
        return Failure(error.error_code, f"{error.message} The file is kept; retry it.")
    return None


def _let_go(project: Project, order: ProjectImport) -> None:
    """Remove what was fetched, and count nothing for it."""
    part_of(project, order).unlink(missing_ok=True)
    with transaction.atomic():
        if _ours(project).filter(source_key="").update(stored_bytes=0):
            job_caching.changed(Project, project.pk)
            stored.settle(project.org_id)


def _clean_up_if_ended(project: Project, order: ProjectImport) -> None:
    """The same where it was cancelled or deleted meanwhile. Whoever has it now goes on otherwise."""
    found = Project.objects.filter(pk=project.pk).values_list("status", flat=True).first()
    if found in {None, FAILED, CANCELLED}:
        part_of(project, order).unlink(missing_ok=True)
        with transaction.atomic():
            ended = Project.objects.filter(pk=project.pk, source_key="", status=found)
            if ended.update(stored_bytes=0):
                job_caching.changed(Project, project.pk)
                stored.settle(project.org_id)


def _ours(project: Project) -> models.QuerySet[Project]:
    return Project.objects.filter(
        pk=project.pk, status=Project.Status.ANALYZING, fence=project.fence
    )
