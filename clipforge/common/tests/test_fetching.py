"""A file from an address that a customer chose: bounded, resumed, and never of two files."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from clipforge.common.errors import UnsupportedMedia
from clipforge.common.fetching import CODES, MAX_REDIRECTS, MAX_URL, Bounds, Fetch
from clipforge.common.outbound import Outbound, Unanswered
from clipforge.devtools.testing.file_servers import Served
from clipforge.devtools.testing.receivers import Receiver, receiving, status

FILM = b"\x00\x00\x00\x18ftypisom" + bytes(range(256)) * 1024
QUICK = Bounds(seconds=60, idle_seconds=30, pause=0.0)


@pytest.fixture(autouse=True)
def loopback(settings: Any) -> None:
    settings.OUTBOUND_LOOPBACK = True


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def fetch(url: str, path: Path, *, allowed: int = 1 << 30, **options: Any) -> Fetch:
    """Fetch it to its end, whatever that is; what was there before is its beginning."""
    with path.open("a+b") as file:
        done = Fetch(url, file, **{"at_most": 1 << 20, "bounds": QUICK, **options})
        done.start()
        done.allow(allowed)
        while not done.wait(30):
            assert done.received < 1 << 30
        done.stop()
    return done


def code(url: str, path: Path, **options: Any) -> str:
    error = fetch(url, path, **options).error
    assert isinstance(error, Unanswered)
    assert error.code in CODES
    assert error.message.endswith(".")
    return error.code


def serve(server: Receiver, **options: Any) -> Served:
    served = Served(FILM, **options)
    server.replies["/film"] = served
    return served


# --- a whole file -------------------------------------------------------------------------


def test_a_file_is_fetched_and_its_digest_and_length_are_known(server: Receiver, tmp_path: Path):
    serve(server)
    done = fetch(server.url("/film"), tmp_path / "part")
    assert (done.error, done.received, done.total) == (None, len(FILM), len(FILM))
    assert (tmp_path / "part").read_bytes() == FILM
    assert done.sha256 == hashlib.sha256(FILM).hexdigest()
    sent = server.received[0].headers
    assert (sent["Accept-Encoding"], sent["User-Agent"]) == ("identity", "ClipForge-Import/1")
    assert "Range" not in sent


def test_a_file_whose_length_is_not_said_ends_with_its_connection(server: Receiver, tmp_path: Path):
    serve(server, says=None)
    assert fetch(server.url("/film"), tmp_path / "part").error is None
    assert (tmp_path / "part").read_bytes() == FILM


def test_it_waits_for_room_and_says_how_much_it_wants(server: Receiver, tmp_path: Path):
    serve(server)
    with (tmp_path / "part").open("a+b") as file:
        waiting = Fetch(server.url("/film"), file, at_most=1 << 20, bounds=QUICK)
        waiting.start()
        while not waiting.wanted:
            assert not waiting.wait(30)
        assert (waiting.received, waiting.total) == (0, len(FILM))
        waiting.allow(len(FILM))
        while not waiting.wait(30):
            pass
    assert (waiting.error, waiting.received) == (None, len(FILM))


def test_one_that_is_stopped_writes_nothing_any_more(server: Receiver, tmp_path: Path):
    serve(server)
    with (tmp_path / "part").open("a+b") as file:
        waiting = Fetch(server.url("/film"), file, at_most=1 << 20, bounds=QUICK)
        waiting.start()
        while not waiting.wanted:
            assert not waiting.wait(30)
        waiting.stop()
    assert (tmp_path / "part").read_bytes() == b""
    assert isinstance(waiting.error, Unanswered)


# --- one that breaks off ------------------------------------------------------------------


def test_what_broke_off_goes_on_from_there(server: Receiver, tmp_path: Path):
    served = serve(server, breaks=[70_000, 70_000, 200_000])
    done = fetch(server.url("/film"), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == FILM
    assert done.sha256 == hashlib.sha256(FILM).hexdigest()
    assert served.asked == [
        (None, None),
        ("bytes=70000-", '"v1"'),
        ("bytes=70000-", '"v1"'),
        ("bytes=200000-", '"v1"'),
    ]


def test_another_process_goes_on_with_what_the_first_left(server: Receiver, tmp_path: Path):
    served = serve(server)
    (tmp_path / "part").write_bytes(FILM[:100_000])
    done = fetch(server.url("/film"), tmp_path / "part", validator='"v1"')
    assert (tmp_path / "part").read_bytes() == FILM
    assert done.sha256 == hashlib.sha256(FILM).hexdigest()
    assert served.asked == [("bytes=100000-", '"v1"')]


@pytest.mark.parametrize("validator", ["", '"v0"'])
def test_a_file_that_is_another_one_by_now_is_fetched_from_its_beginning(
    server: Receiver, tmp_path: Path, validator: str
):
    served = serve(server)
    (tmp_path / "part").write_bytes(b"of another file" * 1000)
    fetch(server.url("/film"), tmp_path / "part", validator=validator)
    assert (tmp_path / "part").read_bytes() == FILM
    assert served.asked == [("bytes=15000-", '"v0"') if validator else (None, None)]


def test_a_server_that_sends_a_part_of_another_file_is_asked_for_the_whole(
    server: Receiver, tmp_path: Path
):
    """It does not know If-Range, and its ETag gives it away."""
    other = Served(FILM[::-1], etag='"v2"')

    def careless(handler: BaseHTTPRequestHandler) -> None:
        del handler.headers["If-Range"]
        other(handler)

    server.replies["/film"] = careless
    (tmp_path / "part").write_bytes(FILM[:100_000])
    fetch(server.url("/film"), tmp_path / "part", validator='"v1"')
    assert (tmp_path / "part").read_bytes() == FILM[::-1]
    assert [asked for asked, _ in other.asked] == ["bytes=100000-", None]


@pytest.mark.parametrize("etag", ['W/"v1"', "", "v1", '"\xe9"', '"' + "v" * 199 + '"'])
def test_without_a_strong_validator_nothing_is_joined(server: Receiver, tmp_path: Path, etag: str):
    served = serve(server, etag=etag, breaks=[70_000])
    fetch(server.url("/film"), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == FILM
    assert served.asked == [(None, None)] * 2


@pytest.mark.parametrize(("seconds", "is_strong"), [(59, False), (60, True)])
def test_a_date_is_a_validator_a_minute_later(
    server: Receiver, tmp_path: Path, seconds: int, is_strong: bool
):
    changed = "Mon, 30 Nov 2026 10:00:00 GMT"
    sent = f"Mon, 30 Nov 2026 10:0{seconds // 60}:{seconds % 60:02} GMT"

    def dated(handler: Any) -> None:
        handler.date_time_string = lambda *_: sent
        served(handler)

    served = Served(FILM, etag="", headers={"Last-Modified": changed}, breaks=[70_000])
    server.replies["/film"] = dated
    done = fetch(server.url("/film"), tmp_path / "part")
    assert done.validator == (changed if is_strong else "")
    assert served.asked[1] == (("bytes=70000-", changed) if is_strong else (None, None))


def test_a_date_that_no_header_can_be_made_of_is_no_validator(server: Receiver, tmp_path: Path):
    changed = "Mon, 30 Nov 2020 10:00:00 GMT \xe9"
    served = serve(server, etag="", headers={"Last-Modified": changed}, breaks=[70_000])
    fetch(server.url("/film"), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == FILM
    assert served.asked == [(None, None)] * 2


def test_one_that_breaks_off_five_times_without_a_byte_more_is_given_up(
    server: Receiver, tmp_path: Path
):
    served = serve(server, breaks=[70_000] * 9)
    assert code(server.url("/film"), tmp_path / "part") == "source_incomplete"
    assert len(served.asked) == 5


# --- lies and delays ----------------------------------------------------------------------


def test_one_that_says_more_than_it_has_is_incomplete(server: Receiver, tmp_path: Path):
    serve(server, says=len(FILM) + 1, etag="")
    assert code(server.url("/film"), tmp_path / "part") == "source_incomplete"


def test_a_rest_that_is_longer_than_it_is_said_to_be_is_not_waited_for(
    server: Receiver, tmp_path: Path
):
    def endless(handler: BaseHTTPRequestHandler) -> None:
        begins = 100_000 if handler.headers["Range"] else 0
        handler.send_response(206 if begins else 503)
        handler.send_header("ETag", '"v1"')
        handler.send_header("Content-Range", "bytes 100000-100000/100001")
        handler.end_headers()
        handler.wfile.write(FILM[begins:])
        handler.close_connection = True

    server.replies["/film"] = endless
    part = tmp_path / "part"
    part.write_bytes(FILM[:100_000])
    wanted = code(server.url("/film"), part, validator='"v1"', allowed=100_001)
    assert (wanted, part.stat().st_size) == ("source_unavailable", 0)


def test_the_largest_file_is_taken_and_one_byte_more_is_not(server: Receiver, tmp_path: Path):
    for says in (-1, None):
        serve(server, says=says)
        assert fetch(server.url("/film"), tmp_path / "a", at_most=len(FILM)).error is None
        assert code(server.url("/film"), tmp_path / "b", at_most=len(FILM) - 1) == "too_large"


def test_an_endless_file_ends_where_it_is_too_large(server: Receiver, tmp_path: Path):
    broke = threading.Event()

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            broke.set()

    server.replies["/film"] = endless
    assert code(server.url("/film"), tmp_path / "part") == "too_large"
    assert broke.wait(60)
    assert (tmp_path / "part").stat().st_size <= 1 << 20


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(idle_seconds=0.2, tries=2, pause=0),
        Bounds(window_seconds=0.2, least_rate=1 << 20),
        Bounds(seconds=0.4),
    ],
    ids=["silent", "below the least rate", "too long in all"],
)
def test_one_that_drips_is_too_slow(server: Receiver, tmp_path: Path, bounds: Bounds):
    over = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        try:
            while not over.wait(0.02):
                if bounds.idle_seconds > 1:
                    handler.wfile.write(b"x")
        except OSError:
            pass

    server.replies["/film"] = drip
    try:
        assert code(server.url("/film"), tmp_path / "part", bounds=bounds) == "source_too_slow"
    finally:
        over.set()


# --- what is no file ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        *["text/html; charset=utf-8", "TEXT/HTML", "application/json", "application/xhtml+xml"],
        *["application/vnd.apple.mpegurl", "application/x-mpegURL", "audio/mpegurl"],
        *["application/dash+xml", "multipart/byteranges; boundary=x"],
    ],
)
def test_a_page_or_a_playlist_is_no_file(server: Receiver, tmp_path: Path, kind: str):
    serve(server, type=kind)
    assert code(server.url("/film"), tmp_path / "part") == "not_a_file"
    assert (tmp_path / "part").read_bytes() == b""


def test_a_playlist_by_its_name_and_what_is_compressed_are_no_files(
    server: Receiver, tmp_path: Path
):
    server.replies["/list.M3U8"] = Served(FILM, type="application/octet-stream")
    assert code(server.url("/list.M3U8"), tmp_path / "part") == "not_a_file"
    serve(server, headers={"Content-Encoding": "gzip"})
    assert code(server.url("/film"), tmp_path / "part") == "not_a_file"


def test_what_is_no_video_ends_after_its_first_bytes(server: Receiver, tmp_path: Path):
    heads: list[int] = []

    def refuse(head: bytes) -> None:
        heads.append(len(head))
        raise UnsupportedMedia("No video.")

    serve(server)
    options: dict[str, Any] = {"head_bytes": 1000, "require_fit": refuse}
    assert isinstance(fetch(server.url("/film"), tmp_path / "a", **options).error, UnsupportedMedia)
    server.replies["/film"] = Served(b"short")
    assert isinstance(fetch(server.url("/film"), tmp_path / "b", **options).error, UnsupportedMedia)
    assert heads == [1000, 5]
    server.replies["/film"] = Served(b"")
    assert code(server.url("/film"), tmp_path / "c", **options) == "empty_file"


@pytest.mark.parametrize(
    ("answer", "refusal", "requests"),
    [
        (401, "source_forbidden", 1),
        (403, "source_forbidden", 1),
        (404, "source_not_found", 1),
        (410, "source_not_found", 1),
        (204, "source_unavailable", 1),
        (400, "source_unavailable", 1),
        (429, "source_unavailable", 5),
        (503, "source_unavailable", 5),
    ],
)
def test_a_status_says_why_there_is_no_file(
    server: Receiver, tmp_path: Path, answer: int, refusal: str, requests: int
):
    server.replies["/film"] = status(answer, b"")
    assert code(server.url("/film"), tmp_path / "part") == refusal
    assert len(server.received) == requests


# --- where it may come from ---------------------------------------------------------------


def test_redirects_are_followed_five_times(server: Receiver, tmp_path: Path):
    serve(server)
    for step in range(MAX_REDIRECTS + 1):
        onward = "/film" if step == MAX_REDIRECTS else f"{step + 1}"
        server.replies[f"/{step}"] = status(302, b"", Location=onward)
    assert fetch(server.url("/1"), tmp_path / "part").error is None
    assert (tmp_path / "part").read_bytes() == FILM
    assert code(server.url("/0"), tmp_path / "part") == "too_many_redirects"


@pytest.mark.parametrize(
    "elsewhere",
    [
        *["https://169.254.169.254/latest/meta-data", "https://10.0.0.1/", "https://[::1]/"],
        *["https://[::ffff:127.0.0.1]/", "http://example.com/", "ftp://example.com/film"],
        *["file:///etc/passwd", "https://user:pass@example.com/", "https://[bad", "//2130706433:1"],
    ],
)
def test_a_redirect_is_judged_as_the_first_address_was(
    server: Receiver, tmp_path: Path, settings: Any, elsewhere: str
):
    async def public(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    def leave(handler: BaseHTTPRequestHandler) -> None:
        settings.OUTBOUND_LOOPBACK = False  # the first address was judged, and reached
        status(302, b"", Location=elsewhere)(handler)

    server.replies["/film"] = leave
    client = Outbound(resolve=public)
    url = server.url("/film", host="public.test")
    assert code(url, tmp_path / "part", client=client) == "address_refused"
    assert len(server.received) == 1


def test_a_name_is_looked_up_anew_for_each_connection_and_judged_each_time(
    server: Receiver, tmp_path: Path
):
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def rebinding(host: str, port: int) -> list[str]:
        return answers.pop(0)

    serve(server, breaks=[70_000])
    url = server.url("/film", host="rebinding.test")
    assert code(url, tmp_path / "part", client=Outbound(resolve=rebinding)) == "address_refused"
    assert len(server.received) == 1


def test_a_name_that_is_none_and_a_port_that_nobody_listens_at(tmp_path: Path):
    async def nothing(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    client = Outbound(resolve=nothing)
    assert code("https://name.test/film", tmp_path / "part", client=client) == "unknown_host"
    with receiving() as gone:
        url = gone.url()
    assert code(url, tmp_path / "part") == "unreachable"
    assert code("https://example.com/" + "x" * MAX_URL, tmp_path / "part") == "address_refused"


def test_tls_is_verified_against_the_name(tmp_path: Path):
    both, cert = tmp_path / "both.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            *["-nodes", "-days", "2", "-subj", "/CN=files.test", "-addext"],
            *["subjectAltName=DNS:files.test", "-keyout", str(both), "-out", str(cert)],
        ],
        check=True,
        capture_output=True,
    )
    both.write_bytes(both.read_bytes() + cert.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    trusting = ssl.create_default_context(cafile=str(cert))

    async def here(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    client = Outbound(resolve=here, authorities=lambda: trusting)
    with receiving(context) as server:
        serve(server)
        url = server.url("/film", host="files.test")
        assert fetch(url, tmp_path / "part", client=client).error is None
        assert (tmp_path / "part").read_bytes() == FILM
        other = server.url("/film", host="other.test")
        assert code(other, tmp_path / "part", client=client) == "tls_failed"
        assert code(url, tmp_path / "part", client=Outbound(resolve=here)) == "tls_failed"


def test_bounds_are_half_a_minute_of_silence_and_64_kib_a_second():
    bounds = Bounds()
    assert (bounds.idle_seconds, bounds.window_seconds, bounds.least_rate) == (30, 60, 65536)
