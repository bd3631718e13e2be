"""The client: every operation of the API, and what takes several of them."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

from clipforge_sdk.calls import Retries, Source, Told, read_json, tell_nobody
from clipforge_sdk.errors import ClipForgeError, JobFailed, StillRunning, seconds_of
from clipforge_sdk.generated import models
from clipforge_sdk.sending import Sending

# What a project or an export does not leave by itself.
ENDED = {"READY", "EMPTY", "FAILED", "CANCELLED", "EXPIRED"}
WITHOUT_RESULT = {"FAILED", "CANCELLED"}
# Between two polls, where the service does not say. Seconds.
POLL = 2.0
# And where it says "now".
SHORTEST = 0.5
# So long the service waits for news before it answers that there is none.
LONG_POLL = 20


class Client(Sending):
    """ClipForge, for one organization: `Client()` reads CLIPFORGE_API_KEY and CLIPFORGE_URL.

    Every method raises ClipForgeError. One client serves several threads; close it, or use it in `with`.
    """

    def __init__(
        self,
        key: str | None = None,
        *,
        url: str | None = None,
        retries: Retries | None = None,
        timeout: float = 60,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        # Without the line break that it has at the end of a file.
        key = (key or os.environ.get("CLIPFORGE_API_KEY") or "").strip()
        url = url or os.environ.get("CLIPFORGE_URL")
        if not key:
            raise ClipForgeError("No API key: give one, or set CLIPFORGE_API_KEY.")
        if not re.fullmatch("[!-~]+", key):
            # What would be said of it as a header quotes it, and lands in logs.
            raise ClipForgeError("This is no API key: it has characters that none has.")
        if not url:
            raise ClipForgeError("No address of the service: give one, or set CLIPFORGE_URL.")
        super().__init__(url, key, retries=retries or Retries(), timeout=timeout, sleep=sleep)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def upload(
        self,
        video: Source,
        *,
        told: Told = tell_nobody,
        idempotency_key: str | None = None,
        **fields: Unpack[models.ProjectUploadRequest],
    ) -> models.Project:
        """Create a project of a video, which is read from the disk as it is sent.

        `told(done, total)` is told of the bytes that were sent.
        """
        project: models.Project = self._json(
            "POST",
            "/api/v1/projects",
            file=video,
            body=fields,
            told=told,
            timeout=600,
            idempotent=True,
            idempotency_key=idempotency_key,
        )
        return project

    def upload_in_parts(
        self,
        video: Source,
        *,
        upload: str | None = None,
        told: Told = tell_nobody,
        idempotency_key: str | None = None,
        **fields: Unpack[models.ProjectUploadRequest],
    ) -> models.Project:
        """Create a project of a video of any size, over any line: as `send`, and then as `upload`."""
        sent = self.send(video, upload=upload, told=told)
        return self._ordered({**fields, "upload": sent["id"]}, idempotency_key)

    def import_from(
        self,
        source_url: str,
        *,
        idempotency_key: str | None = None,
        **fields: Unpack[models.ProjectUploadRequest],
    ) -> models.Project:
        """Create a project of the file at an address, which the service fetches. It has no length yet."""
        return self._ordered({**fields, "source_url": source_url}, idempotency_key)

    def _ordered(self, body: dict[str, Any], idempotency_key: str | None) -> models.Project:
        project: models.Project = self._json(
            "POST",
            "/api/v1/projects",
            body=body,
            timeout=600,
            idempotent=True,
            idempotency_key=idempotency_key,
        )
        return project

    def wait_for_project(
        self,
        project: str | models.Project,
        *,
        seconds: float = 3600,
        seen: Callable[[models.Project], None] = lambda _: None,
    ) -> models.Project:
        """The project when its analysis has ended: READY, or EMPTY where nothing is worth clipping.

        `seen` is shown it after each change. Raises JobFailed, and StillRunning after so many seconds.
        """
        ended: models.Project = self._ended("/api/v1/projects/{id}", _id_of(project), seconds, seen)
        return ended

    def wait_for_export(
        self,
        export: str | models.Export,
        *,
        seconds: float = 3600,
        seen: Callable[[models.Export], None] = lambda _: None,
    ) -> models.Export:
        """The export when its file is ready. As `wait_for_project`."""
        ended: models.Export = self._ended("/api/v1/exports/{id}", _id_of(export), seconds, seen)
        return ended

    def download(
        self,
        export: str | models.Export,
        target: str | os.PathLike[str],
        *,
        told: Told = tell_nobody,
    ) -> Path:
        """Write the file of a finished export to `target`; it appears there whole, with its checksum compared."""
        wanted = self.get_export(export) if isinstance(export, str) else export
        target = Path(target)
        part = target.with_name(f"{target.name}.part")
        try:
            self.download_export(wanted["id"]).save(part, told=told)
            if wanted["sha256"] is not None and _sha256(part) != wanted["sha256"]:
                raise ClipForgeError("The file arrived damaged. Download it again.")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    def _ended(self, address: str, pk: str, seconds: float, seen: Callable[[Any], None]) -> Any:
        deadline = time.monotonic() + seconds
        job, etag = None, ""
        while True:
            headers = {"If-None-Match": etag} if etag else {}
            # The service answers when there is news.
            wait = {"wait": LONG_POLL} if etag else {}
            response = self._call("GET", address, path={"id": pk}, query=wait, headers=headers)
            if response.content:  # not 304
                job, etag = read_json(response), response.headers.get("ETag", "")
                seen(job)
                if job["status"] in WITHOUT_RESULT:
                    raise JobFailed(job)
                if job["status"] in ENDED:
                    return job
            if time.monotonic() >= deadline:
                raise StillRunning(f"{pk} was not finished after {seconds:g} seconds.")
            said = seconds_of(response.headers.get("Retry-After"))
            pause = POLL if said is None else max(said, SHORTEST)
            self._sleep(min(pause, max(0.0, deadline - time.monotonic())))


def _id_of(job: Any) -> str:
    pk: str = job if isinstance(job, str) else job["id"]
    return pk


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
