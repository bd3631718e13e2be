"""One uploaded file, streamed to storage: never in memory, never larger than allowed.

The parser refuses a body that is too long before reading it, stops one that grows too
long, and notices a client that hung up: a web server hands on what came as if it were
complete, and half a video is often a playable one. Where the client says what the digest
is, it has to be that.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import IO, Any, Protocol, cast

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from rest_framework.parsers import DataAndFiles, MultiPartParser

from clipforge.common.api.digests import expected_digests, require_match
from clipforge.common.api.parsers import refuse_null_characters
from clipforge.common.errors import BadRequest, DomainError, Invalid, TooLarge
from clipforge.common.storage import PartWriter, require_room

# What multipart adds around the file, and the other fields: generous, in bytes.
ENVELOPE_BYTES = 64 * 1024


class UploadedPart(UploadedFile[bytes]):
    """The uploaded file as serializers see it: its bytes are in `writer.path`, closed."""

    def __init__(self, writer: PartWriter, name: str) -> None:
        super().__init__(io.BytesIO(), name, "application/octet-stream", writer.size)
        self.writer = writer


class UploadRules(Protocol):
    """The view of an upload, which says what it takes. Each raises DomainError for what it does not."""

    # The bytes of a file that `require_fit` looks at.
    head_bytes: int

    def require_room(self, size: int) -> None:
        """Asked before anything is read."""

    def require_fit(self, head: bytes) -> None:
        """Asked once so much of the file is here; never of a smaller one."""


class PartUploadHandler(FileUploadHandler):
    """Writes the first file of the request to storage; a second one is refused."""

    def __init__(self, rules: UploadRules | None = None) -> None:
        super().__init__()
        self._rules = rules
        self._head = b""
        self.writer: PartWriter | None = None
        self.refusal: DomainError | None = None

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if self.writer is not None:
            self._refuse(Invalid("Send one file a request.", code="too_many_files"))
        self.writer = PartWriter()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        writer = self._open_writer()
        if writer.size + len(raw_data) > settings.MAX_UPLOAD_BYTES:
            self._refuse(too_large())
        try:
            writer.write(raw_data)
            self._look_at(raw_data)
        except DomainError as error:
            self._refuse(error)

    def file_complete(self, file_size: int) -> UploadedPart:
        writer = self._open_writer()
        writer.close()
        return UploadedPart(writer, self.file_name or "")

    def digest(self) -> bytes | None:
        """The SHA-256 of the file; None if there was none."""
        return None if self.writer is None else bytes.fromhex(self.writer.sha256)

    def discard(self) -> None:
        """Remove the file unless it was published. Safe to call at any time."""
        if self.writer is not None:
            self.writer.discard()

    def _look_at(self, data: bytes) -> None:
        if self._rules is None or len(self._head) >= self._rules.head_bytes:
            return
        self._head += data[: self._rules.head_bytes - len(self._head)]
        if len(self._head) == self._rules.head_bytes:
            self._rules.require_fit(self._head)

    def _open_writer(self) -> PartWriter:
        if self.writer is None:
            raise RuntimeError("Django announces every file before its content")
        return self.writer

    def _refuse(self, error: DomainError) -> None:
        self.refusal = error
        # The rest of the body is not read: the connection is closed with the answer.
        raise StopUpload(connection_reset=True)


class StreamedUploadParser(MultiPartParser):
    """multipart/form-data whose file went to storage. The view discards what it does not keep.

    The view, if there is one, has UploadRules.
    """

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> DataAndFiles[Any, Any]:
        request = (parser_context or {})["request"]
        length = _content_length(request.META)
        expected = expected_digests(request.headers)
        require_room(length)
        rules: UploadRules | None = (parser_context or {}).get("view")
        if rules is not None:
            rules.require_room(length - ENVELOPE_BYTES)
        handler = PartUploadHandler(rules)
        request.upload_handlers = [handler]
        counted = _Counted(stream, hashed=bool(expected))
        try:
            parsed = super().parse(cast("IO[Any]", counted), media_type, parser_context)
            if handler.refusal is not None:
                raise handler.refusal
            if counted.count < length:
                raise BadRequest(
                    "The upload broke off before its end. Nothing was stored or charged; send it again.",
                    code="upload_interrupted",
                )
            if expected:
                require_match(expected, body=counted.digest(), file=handler.digest())
            refuse_null_characters(dict(parsed.data.lists()))
        except BaseException:
            handler.discard()
            raise
        return parsed


def too_large() -> TooLarge:
    return TooLarge(
        f"The file is larger than the {settings.MAX_UPLOAD_BYTES} bytes that are accepted.",
        limit=settings.MAX_UPLOAD_BYTES,
    )


def _content_length(meta: Mapping[str, Any]) -> int:
    text = str(meta.get("CONTENT_LENGTH") or "")
    length = int(text) if text.isdecimal() else 0
    if length > settings.MAX_UPLOAD_BYTES + ENVELOPE_BYTES:
        raise too_large()
    return length


class _Counted:
    """A stream that knows how much was read from it, and the SHA-256 of that if it is `hashed`."""

    def __init__(self, stream: IO[bytes], *, hashed: bool) -> None:
        self._stream = stream
        self._hash = hashlib.sha256() if hashed else None
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        if self._hash is not None:
            self._hash.update(data)
        return data

    def digest(self) -> bytes:
        return b"" if self._hash is None else self._hash.digest()
