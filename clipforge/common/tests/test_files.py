"""Stored files over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import RequestFactory

from clipforge.common import storage
from clipforge.common.api.files import serve_file
from clipforge.common.errors import NotFound

KEY = "org/exports/id/1.mp4"
CONTENT = bytes(range(100))


@pytest.fixture(autouse=True)
def stored(media_root) -> None:
    path = storage.path_of(KEY)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)


def serve(method: str = "GET", *, key: str = KEY, name: str = "clip.mp4", **headers: str) -> Any:
    request = RequestFactory().generic(method, "/", headers=headers)
    return serve_file(request, key, download_name=name)


def content(response: Any) -> bytes:
    """The body. Closes the file only: closing a response looks after the database, too."""
    if not response.streaming:
        return bytes(response.content)
    body = response.getvalue()
    response.file_to_stream.close()
    return bytes(body)


def test_a_file_comes_whole_with_its_length_and_type():
    response = serve()
    assert (response.status_code, content(response)) == (200, CONTENT)
    assert response["Content-Length"] == "100"
    assert response["Content-Type"] == "video/mp4"
    assert response["Content-Disposition"] == 'attachment; filename="clip.mp4"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Cache-Control"] == "private, no-store"
    assert response["ETag"]
    assert response["Last-Modified"]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-9", 0, 9),
        ("bytes=10-19", 10, 19),
        ("bytes=0-0", 0, 0),
        ("bytes=0-1", 0, 1),
        ("bytes=99-", 99, 99),
        ("bytes=99-99", 99, 99),
        ("bytes=50-", 50, 99),
        ("bytes=0-", 0, 99),
        ("bytes=90-1000000", 90, 99),
        ("bytes=-1", 99, 99),
        ("bytes=-10", 90, 99),
        ("bytes=-1000", 0, 99),
    ],
)
def test_a_range_comes_alone(asked, first, last):
    response = serve(Range=asked)
    assert (response.status_code, content(response)) == (206, CONTENT[first : last + 1])
    assert response["Content-Range"] == f"bytes {first}-{last}/100"
    assert response["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=1000-", "bytes=-0"])
def test_a_range_outside_the_file_is_416_and_says_how_long_it_is(asked):
    response = serve(Range=asked)
    assert (response.status_code, response["Content-Type"]) == (416, "application/problem+json")
    assert json.loads(content(response))["code"] == "range_not_satisfiable"
    assert response["Content-Range"] == "bytes */100"


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=", "bytes=-", "bytes=a-b", "bytes", "lines=0-1", "nonsense"]
)
def test_several_ranges_or_what_is_no_range_get_the_whole_file(asked):
    response = serve(Range=asked)
    assert (response.status_code, content(response)) == (200, CONTENT)


@pytest.mark.parametrize(
    ("asked", "status", "length"), [(None, 200, "100"), ("bytes=0-9", 206, "10")]
)
def test_head_has_the_headers_and_no_body(asked, status, length):
    response = serve("HEAD", **({"Range": asked} if asked else {}))
    assert (response.status_code, content(response)) == (status, b"")
    assert (response["Content-Length"], response["Content-Type"]) == (length, "video/mp4")


def test_a_client_that_has_the_file_is_told_so():
    first = serve()
    assert content(first) == CONTENT
    for headers in (
        {"If-None-Match": first["ETag"]},
        {"If-Modified-Since": first["Last-Modified"]},
        {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    ):
        response = serve(**headers)
        assert (response.status_code, content(response)) == (304, b"")
        assert response["ETag"] == first["ETag"]


@pytest.mark.parametrize(
    "headers",
    [
        {"If-None-Match": '"other"'},
        {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If-Modified-Since": "nonsense"},
        {"If-None-Match": '"other"', "If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    ],
)
def test_a_client_that_has_an_older_file_gets_this_one(headers):
    response = serve(**headers)
    assert (response.status_code, content(response)) == (200, CONTENT)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_a_file_can_only_be_read(method):
    response = serve(method)
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ('a"b.mp4', 'attachment; filename="a\\"b.mp4"'),
        ("a\\b.mp4", 'attachment; filename="a\\\\b.mp4"'),
        ("a\r\nSet-Cookie: x=1.mp4", 'attachment; filename="aSet-Cookie: x=1.mp4"'),
        ("a\0b\x1fc\x7f.mp4", 'attachment; filename="abc.mp4"'),
        ("é 😀.mp4", "attachment; filename*=utf-8''%C3%A9%20%F0%9F%98%80.mp4"),
        ("é\n.mp4", "attachment; filename*=utf-8''%C3%A9.mp4"),
        ("\n", "attachment"),
        ("", "attachment"),
    ],
)
def test_a_nasty_name_stays_inside_its_header(name, header):
    response = serve(name=name)
    assert response["Content-Disposition"] == header
    assert content(response) == CONTENT


@pytest.mark.parametrize(
    "key", ["../secret", "org/../../secret", "/etc/passwd", "..", "", "a/../b"]
)
def test_a_key_that_leaves_the_folder_is_refused(key, media_root):
    (media_root.parent / "secret").write_bytes(b"secret")
    with pytest.raises(ValueError, match="not a storage key"):
        serve(key=key)


@pytest.mark.parametrize("key", ["org/exports/id/2.mp4", "org/exports/id", "a" * 300])
def test_a_file_that_is_gone_is_not_found(key):
    with pytest.raises(NotFound, match="The file is gone"):
        serve(key=key)


def test_a_file_that_is_deleted_while_it_is_sent_comes_whole():
    response = serve()
    storage.delete(KEY)
    assert content(response) == CONTENT


def test_an_empty_file_comes_empty_and_has_no_ranges():
    storage.path_of(KEY).write_bytes(b"")
    response = serve()
    assert (response.status_code, response["Content-Length"], content(response)) == (200, "0", b"")
    assert serve(Range="bytes=0-").status_code == 416
