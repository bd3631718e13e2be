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
    return serve_file(request, key, download_name=name, seconds_left=60)


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
    assert response["Cache-Control"] == "private, max-age=31536000, immutable"
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


# --- resumed downloads ------------------------------------------------------------------


def test_a_part_comes_where_if_range_names_this_file():
    first = serve("HEAD")
    for validator in (first["ETag"], first["Last-Modified"]):
        response = serve(**{"Range": "bytes=10-19", "If-Range": validator})
        assert (response.status_code, content(response)) == (206, CONTENT[10:20])


@pytest.mark.parametrize(
    "validator",
    [
        '"other"',
        'W/"{etag}"',
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 01 Jan 2100 00:00:00 GMT",
        "x",
        "",
    ],
)
def test_a_resumed_download_of_another_file_begins_again(validator):
    """Otherwise the client would have two files in one."""
    etag = serve("HEAD")["ETag"].strip('"')
    response = serve(**{"Range": "bytes=10-19", "If-Range": validator.format(etag=etag)})
    assert (response.status_code, content(response)) == (200, CONTENT)
    assert "Content-Range" not in response


def test_a_file_that_was_written_anew_has_another_etag():
    before = serve("HEAD")["ETag"]
    storage.path_of(KEY).write_bytes(CONTENT + b"1")
    assert serve("HEAD")["ETag"] != before


@pytest.mark.parametrize(
    "headers",
    [{"If-Match": '"other"'}, {"If-Unmodified-Since": "Fri, 02 Jan 1970 00:00:00 GMT"}],
)
def test_a_condition_that_does_not_hold_is_412(headers):
    response = serve(**headers)
    assert (response.status_code, response["Content-Type"]) == (412, "application/problem+json")
    assert json.loads(content(response))["code"] == "precondition_failed"
    assert response["ETag"] == serve("HEAD")["ETag"]


def test_a_client_that_has_the_file_is_told_so_whatever_part_it_asks_for():
    etag = serve("HEAD")["ETag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        response = serve(**{"Range": "bytes=0-9", "If-None-Match": known})
        assert (response.status_code, content(response)) == (304, b"")
        assert {"ETag", "Last-Modified", "Cache-Control"} <= set(response.headers)
        assert "Content-Length" not in response


@pytest.mark.parametrize("digits", ["9" * 19, "9" * 5000])
def test_a_range_of_more_digits_than_a_file_has_is_outside_of_it(digits):
    assert serve(Range=f"bytes={digits}-").status_code == 416
    response = serve(Range=f"bytes=90-{digits}")
    assert (response.status_code, content(response)) == (206, CONTENT[90:])


# --- the name, and playing it -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("gpm.\u202e4pm.exe", 'attachment; filename="gpm.4pm.exe"'),
        ("\u2066\u05e9\u05dc\u2069.mp4", "attachment; filename*=utf-8''%D7%A9%D7%9C.mp4"),
        ("\ud800a.mp4", 'attachment; filename="a.mp4"'),
        ("日本語.mp4", "attachment; filename*=utf-8''%E6%97%A5%E6%9C%AC%E8%AA%9E.mp4"),
    ],
)
def test_a_name_in_any_script_reads_as_it_is(name, header):
    response = serve("HEAD", name=name)
    assert response["Content-Disposition"] == header


@pytest.mark.parametrize(
    ("name", "header"),
    [("clip.mp4", 'inline; filename="clip.mp4"'), ("", "inline")],
)
def test_inline_is_for_playing(name, header):
    request = RequestFactory().head("/")
    response: Any = serve_file(request, KEY, download_name=name, inline=True, seconds_left=60)
    assert response["Content-Disposition"] == header
    assert (response["Content-Type"], response["X-Content-Type-Options"]) == (
        "video/mp4",
        "nosniff",
    )


# --- behind an nginx that sends them ----------------------------------------------------


def test_an_nginx_in_front_is_told_where_the_file_is_and_decides_nothing(settings):
    settings.ACCEL_REDIRECT_PREFIX = "/stored/"
    etag = serve("HEAD")["ETag"]
    response = serve(Range="bytes=0-9")
    assert (response.status_code, content(response)) == (200, b"")
    assert response["X-Accel-Redirect"] == f"/stored/{KEY}"
    assert response["Content-Type"] == "video/mp4"
    for headers, status in (
        ({"If-None-Match": etag}, 304),
        ({"If-Match": '"other"'}, 412),
        ({"Range": "bytes=100-"}, 416),
    ):
        response = serve(**headers)
        assert (response.status_code, "X-Accel-Redirect" in response) == (status, False)
    with pytest.raises(NotFound):
        serve(key="org/exports/id/2.mp4")
