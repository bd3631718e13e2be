"""The parser of uploads: one file, whole, of a size that is allowed, or nothing at all."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.http import UnreadablePostError
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from clipforge.common.api.uploads import ENVELOPE_BYTES, StreamedUploadParser, UploadedPart
from clipforge.common.errors import BadRequest, Invalid, StorageFull, TooLarge
from clipforge.devtools.testing.faults import no_file_larger_than
from clipforge.devtools.testing.state import stored_files

BOUNDARY = "boundary"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, content: bytes, *, filename: str | None = None, headers: str = "") -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n{headers}\r\n'
    return head.encode() + content + b"\r\n"


def body_of(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def parse(body: bytes, *, length: int | None = None, stream: Any = None) -> Any:
    """The `request.data` of a view; `length` is the announced Content-Length."""
    request: Any = APIRequestFactory().post("/", b"", content_type=TYPE)
    request.META["CONTENT_LENGTH"] = str(len(body) if length is None else length)
    request._stream = stream or io.BytesIO(body)
    return Request(request, parsers=[StreamedUploadParser()]).data


@contextmanager
def refused(kind: type[Exception], code: str | None = None) -> Iterator[None]:
    """The upload is refused like this, and leaves no file."""
    with pytest.raises(kind) as refusal:
        yield
    assert code is None or refusal.value.error_code == code  # type: ignore[attr-defined]
    assert stored_files() == []


def uploaded(data: Any, name: str = "file") -> UploadedPart:
    upload = data[name]
    assert isinstance(upload, UploadedPart)
    return upload


@pytest.mark.parametrize("size", [1, 1000, 64 * 1024, 64 * 1024 + 1, 300_000])
def test_a_file_is_on_disk_whole_with_its_size_and_digest(size):
    content = bytes(number % 251 for number in range(size))
    upload = uploaded(parse(body_of(part("file", content, filename="talk.mp4"))))
    assert (upload.name, upload.size, upload.writer.size) == ("talk.mp4", size, size)
    assert upload.writer.sha256 == hashlib.sha256(content).hexdigest()
    assert upload.writer.path.read_bytes() == content
    assert [path.parts[0] for path in stored_files()] == ["incoming"]


def test_nothing_of_a_file_is_kept_in_memory():
    upload = uploaded(parse(body_of(part("file", b"x" * 100_000, filename="talk.mp4"))))
    assert upload.file is not None
    assert upload.file.read() == b""


def test_fields_before_and_after_the_file_are_read():
    data = parse(
        body_of(
            part("title", "Überschrift".encode()),
            part("file", b"content", filename="talk.mp4"),
            part("after", b"1"),
        )
    )
    assert (data["title"], data["after"]) == ("Überschrift", "1")


def test_content_that_looks_like_a_boundary_is_content():
    content = f"\r\n--{BOUNDARY[:-1]}\r\n--\r\n{BOUNDARY}--".encode() * 100
    upload = uploaded(parse(body_of(part("file", content, filename="talk.mp4"))))
    assert upload.writer.path.read_bytes() == content


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\videos\\talk.mp4", "talk.mp4"),
        ("/absolute.mp4", "absolute.mp4"),
        ("a\0b.mp4", "ab.mp4"),
        ("&lt;script&gt;.mp4", "<script>.mp4"),
        ("é 😀.mp4", "é 😀.mp4"),
    ],
)
def test_a_name_is_only_a_name_and_never_a_path(given, name):
    upload = uploaded(parse(body_of(part("file", b"content", filename=given))))
    assert upload.name == name
    assert upload.writer.path.name.endswith(".part")
    assert len(stored_files()) == 1


def test_a_very_long_name_is_cut_and_the_file_kept():
    upload = uploaded(parse(body_of(part("file", b"content", filename="a" * 900 + ".mp4"))))
    assert len(upload.name or "") <= 255
    assert upload.size == 7


def test_an_empty_file_is_an_empty_file():
    upload = uploaded(parse(body_of(part("file", b"", filename="talk.mp4"))))
    assert (upload.size, upload.writer.path.read_bytes()) == (0, b"")


@pytest.mark.parametrize("filename", ["", None])
def test_a_file_without_a_name_is_no_file(filename):
    data = parse(body_of(part("file", b"content", filename=filename)))
    assert not isinstance(data.get("file"), UploadedPart)
    assert stored_files() == []


def test_a_second_file_is_refused_and_the_first_removed():
    file = part("file", b"content", filename="talk.mp4")
    with refused(Invalid, "too_many_files"):
        parse(body_of(file, file))


def test_a_file_of_the_limit_is_kept_and_one_byte_more_is_refused(settings):
    settings.MAX_UPLOAD_BYTES = 1000
    assert uploaded(parse(body_of(part("file", b"x" * 1000, filename="a")))).size == 1000


def test_a_file_over_the_limit_is_removed_while_it_comes(settings):
    settings.MAX_UPLOAD_BYTES = 1000
    with refused(TooLarge, "too_large"):
        parse(body_of(part("file", b"x" * 1001, filename="a")))


def test_the_rest_of_a_file_over_the_limit_is_not_read(settings):
    settings.MAX_UPLOAD_BYTES = 100_000
    body = body_of(part("file", b"x" * 150_000, filename="a"))
    stream = io.BytesIO(body)
    with refused(TooLarge):
        parse(body, stream=stream)
    assert stream.tell() < len(body)


def test_a_length_over_the_limit_is_refused_before_anything_is_read(settings):
    settings.MAX_UPLOAD_BYTES = 1000
    stream = io.BytesIO(b"")
    with refused(TooLarge, "too_large"):
        parse(b"", length=1000 + ENVELOPE_BYTES + 1, stream=stream)
    with refused(BadRequest, "upload_interrupted"):
        parse(b"", length=1000 + ENVELOPE_BYTES, stream=stream)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9, 0.9999])
def test_a_body_that_breaks_off_is_refused_and_leaves_nothing(share):
    body = body_of(
        part("title", b"t"), part("file", b"x" * 200_000, filename="a"), part("after", b"1")
    )
    cut = body[: int(len(body) * share)]
    with refused(BadRequest, "upload_interrupted"):
        parse(cut, length=len(body))


def test_a_body_that_breaks_off_exactly_where_the_file_ends_is_refused():
    body = body_of(part("file", b"x" * 1000, filename="a"))
    with refused(BadRequest, "upload_interrupted"):
        parse(body[:-2], length=len(body))


def test_a_connection_that_fails_leaves_nothing():
    body = body_of(part("file", b"x" * 500_000, filename="a"))

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            if self.tell() > 200_000:
                raise ConnectionResetError
            return data

    with refused(UnreadablePostError):
        parse(body, stream=Failing(body))


def test_a_full_disk_is_refused_and_leaves_nothing():
    body = body_of(part("file", b"x" * 500_000, filename="a"))
    with no_file_larger_than(100_000), refused(StorageFull, "storage_full"):
        parse(body)


def test_a_body_that_cannot_be_decoded_is_refused_and_leaves_nothing():
    encoding = "Content-Transfer-Encoding: base64\r\n"
    with refused(ParseError):
        parse(body_of(part("file", b"!" * 1001, filename="a", headers=encoding)))


@pytest.mark.parametrize("body", [b"nonsense", b"--boundary", b"--boundary--\r\n", b"\r\n" * 99])
def test_a_body_without_parts_has_no_file(body):
    assert dict(parse(body)) == {}
    assert stored_files() == []


def test_discarding_what_was_not_kept_can_be_repeated():
    upload = uploaded(parse(body_of(part("file", b"content", filename="a"))))
    upload.writer.discard()
    upload.writer.discard()
    assert stored_files() == []
