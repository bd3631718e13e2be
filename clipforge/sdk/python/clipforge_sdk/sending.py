"""Files in parts: what has arrived stays, whatever interrupts the rest."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

import httpx

from clipforge_sdk.calls import Source, Told, tell_nobody
from clipforge_sdk.errors import APIError, NoAnswer, NotFound
from clipforge_sdk.generated import models
from clipforge_sdk.generated.operations import Operations

Answer = TypeVar("Answer")

# Of a part that the service takes, so much is sent at a time: it is in memory, and lost with a connection.
PIECE = 8 << 20
PART_TYPE = "application/offset+octet-stream"
# Addresses of parts are used so soon after they were given that none ends before.
AT_ONCE = 10
# The place of a part, or the row, belongs to another request for now, or is another one than we thought.
PASSING = {"wrong_offset", "upload_locked", "upload_interrupted"}


class Sending(Operations):
    """The operations, and files in parts."""

    def send(
        self,
        video: Source,
        *,
        upload: str | None = None,
        sha256: str | None = None,
        told: Told = tell_nobody,
    ) -> models.Upload:
        """Send a file in parts, to the service or to its bucket, as the service says. Returns the whole upload.

        It goes on after every break that is shorter than the attempts of `Retries`; after a longer one, and
        in another process, give the id of the `upload` to go on with. `told(done, total)` is told of the bytes
        that have arrived. Whoever knows the digest of the file gives it: another file is refused in the end.
        """
        with _opened(video) as (name, file):
            start = file.tell()
            size = file.seek(0, os.SEEK_END) - start
            if upload is None:
                wanted: models.UploadRequestRequest = {"name": name, "size": size}
                if sha256 is not None:
                    wanted["sha256"] = sha256
                sent = self.create_upload(wanted)
            else:
                sent = self.get_upload(upload)
            if sent["size"] != size:
                raise ValueError(f"The upload has {sent['size']} bytes, and the file {size}.")

            def read(offset: int, length: int) -> bytes:
                file.seek(start + offset)
                piece = file.read(length)
                if len(piece) != min(length, size - offset):
                    raise ValueError("The file became shorter while it was sent.")
                return piece

            if sent["protocol"] == "s3":
                return self._send_to_bucket(sent, read, told)
            return self._send_here(sent, read, told)

    def _send_here(
        self, upload: models.Upload, read: Callable[[int, int], bytes], told: Told
    ) -> models.Upload:
        pk, failures = upload["id"], 0
        while (offset := upload["offset"]) < upload["size"]:
            told(offset, upload["size"])
            try:
                self._call(
                    "PATCH",
                    "/api/v1/uploads/{id}",
                    path={"id": pk},
                    content=read(offset, min(PIECE, upload["part_bytes"])),
                    content_type=PART_TYPE,
                    headers={"Tus-Resumable": "1.0.0", "Upload-Offset": str(offset)},
                    timeout=600,
                )
            except (APIError, NoAnswer) as error:
                failures += 1
                self._pause_after(error, failures)
            upload = self._once_it_answers(lambda: self.get_upload(pk))
            if upload["offset"] > offset:
                failures = 0
        told(upload["size"], upload["size"])
        return upload

    def _send_to_bucket(
        self, upload: models.Upload, read: Callable[[int, int], bytes], told: Told
    ) -> models.Upload:
        pk, failures, known = upload["id"], 0, -1
        while True:
            parts = self._once_it_answers(lambda: self.list_upload_parts(pk))
            here = len(parts["received"])
            told(min(here * upload["part_bytes"], upload["size"]), upload["size"])
            if not parts["missing"]:
                return self._once_it_answers(lambda: self.complete_upload(pk))
            failures = 0 if here > known else failures
            known = here
            try:
                for part in parts["missing"][:AT_ONCE]:
                    self._put(part["url"], read(part["offset"], part["size"]))
            except (APIError, NoAnswer) as error:
                failures += 1
                self._pause_after(error, failures)

    def _put(self, url: str, content: bytes) -> None:
        """To the bucket, which must not see the key."""
        try:
            answer = self._links.put(url, content=content, timeout=600)
        except httpx.RequestError as error:
            raise NoAnswer(f"The connection broke: {error}") from error
        if answer.is_error:
            raise APIError.of(answer)

    def _once_it_answers(self, call: Callable[[], Answer]) -> Answer:
        """The answer to a call whose repetition changes nothing."""
        failures = 0
        while True:
            try:
                return call()
            except (APIError, NoAnswer) as error:
                failures += 1
                self._pause_after(error, failures)

    def _pause_after(self, error: APIError | NoAnswer, failures: int) -> None:
        """Raises the error where another attempt would fail as well, or would be one too many."""
        after = error.retry_after if isinstance(error, APIError) else None
        pause = self._retries.pause(failures, after)
        is_too_much = failures >= self._retries.attempts or pause > self._retries.longest_pause
        if is_too_much or not _passes(error):
            raise error
        self._sleep(pause)


def _passes(error: APIError | NoAnswer) -> bool:
    if isinstance(error, NoAnswer) or error.code in PASSING:
        return True
    # Of a bucket: an address that has ended is asked for again.
    is_of_bucket = error.code == "unknown" and not isinstance(error, NotFound)
    return is_of_bucket or error.status >= httpx.codes.INTERNAL_SERVER_ERROR


@contextlib.contextmanager
def _opened(video: Source) -> Iterator[tuple[str, IO[bytes]]]:
    """The name of the file, and the file."""
    if isinstance(video, str | os.PathLike):
        path = Path(video)
        with path.open("rb") as file:
            yield path.name, file
    else:
        yield Path(str(getattr(video, "name", "video"))).name, video
