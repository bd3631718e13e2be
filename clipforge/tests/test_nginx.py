"""nginx in front, as docker-compose.yml starts it: TLS, buffering, and files that no thread of web carries."""

from __future__ import annotations

import http.client
import io
import json
import socket
import ssl
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.test import Client

from clipforge.common import storage
from clipforge.common.api.uploads import ENVELOPE_BYTES
from clipforge.devtools.testing.browser import chromium
from clipforge.devtools.testing.factories import make_export
from clipforge.devtools.testing.topology import NGINX, TEMPLATE, nginx
from clipforge.media.tests.samples import run_ffmpeg
from clipforge.stack import reserved_port
from exports import downloads
from exports.models import Export

ROOT = Path(__file__).resolve().parents[2]
CONTENT = bytes(range(256)) * 4096  # 1 MiB

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(NGINX is None, reason="no nginx here: the proxy is not tested"),
]

COMPARED = [
    "Content-Type",
    "Content-Length",
    "Content-Range",
    "Content-Disposition",
    "ETag",
    "Last-Modified",
    "Accept-Ranges",
    "Cache-Control",
    "X-Content-Type-Options",
    "Content-Security-Policy",
]

# What a client keeps beside a file that it has already.
KEPT = ["ETag", "Last-Modified", "Cache-Control"]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Proxy(NamedTuple):
    http_port: int
    https_port: int

    def get(
        self,
        path: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        tls: bool = True,
    ) -> Answer:
        connection: http.client.HTTPConnection
        if tls:
            trusting = ssl.create_default_context()
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.https_port, timeout=120, context=trusting
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=120)
        try:
            connection.request(method, path, headers={"Host": "localhost", **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()


@pytest.fixture
def proxy(live_server: Any, settings: Any, media_root: Path) -> Iterator[Proxy]:
    """nginx with the configuration of production, in front of a server of this process."""
    settings.ACCEL_REDIRECT_PREFIX = "/stored/"
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    with nginx(urlsplit(live_server.url).netloc, media_root) as front:
        yield Proxy(front.http_port, front.https_port)


@pytest.fixture
def export(proxy: Proxy) -> Export:
    return make_export(content=CONTENT)


def link_to(export: Export) -> str:
    return urlsplit(downloads.signed_url(export)).path


def of_web(path: str, method: str, settings: Any, headers: dict[str, str]) -> Answer:
    """The answer of web where it sends files itself."""
    settings.ACCEL_REDIRECT_PREFIX = ""
    response: Any = Client(headers=headers).generic(method, path, secure=True)
    settings.ACCEL_REDIRECT_PREFIX = "/stored/"
    body = b"".join(response.streaming_content) if response.streaming else response.content
    response.close()
    return Answer(response.status_code, dict(response.headers), body)


def test_files_come_from_nginx_as_they_come_from_web(proxy: Proxy, export: Export, settings: Any):
    link = link_to(export)
    whole = proxy.get(link)
    assert (whole.status, whole.body) == (200, CONTENT)
    etag, changed = whole.headers["ETag"], whole.headers["Last-Modified"]
    asked: list[dict[str, str]] = [
        {},
        {"Range": "bytes=0-0"},
        {"Range": "bytes=0-99"},
        {"Range": "bytes=1048575-"},
        {"Range": "bytes=-1"},
        {"Range": "bytes=-9999999"},
        {"Range": "bytes=500000-9999999"},
        {"Range": "bytes=0-1,5-6"},
        {"Range": "bytes=1048576-"},
        {"Range": "bytes=-0"},
        {"Range": "bytes=10-19", "If-Range": etag},
        {"Range": "bytes=10-19", "If-Range": changed},
        {"Range": "bytes=10-19", "If-Range": '"other"'},
        {"Range": "bytes=10-19", "If-Range": "Thu, 01 Jan 1970 00:00:01 GMT"},
        {"If-None-Match": etag},
        {"If-None-Match": '"other"'},
        {"If-Modified-Since": changed},
        {"If-Match": '"other"'},
        {"If-Match": etag, "Range": "bytes=1-2"},
    ]
    statuses = []
    for headers in asked:
        for method in ("GET", "HEAD"):
            ours = of_web(link, method, settings, headers)
            theirs = proxy.get(link, method, headers)
            assert theirs.status == ours.status, headers
            if ours.status in {200, 206, 304}:
                assert theirs.body == ours.body, headers
                for name in KEPT if ours.status == 304 else COMPARED:
                    assert theirs.headers.get(name) == ours.headers.get(name), (headers, name)
            assert "X-Accel-Redirect" not in theirs.headers
            assert theirs.headers["X-Request-ID"]
        statuses.append(theirs.status)
    assert statuses == [200, *[206] * 6, 200, 416, 416, 206, 206, 200, 200, 304, 200, 304, 412, 206]


def test_what_is_refused_is_refused_by_web(proxy: Proxy, export: Export):
    link = link_to(export)
    storage.delete(export.file_key)
    for path, status in ((link, 404), (link.replace("/files/", "/files/x"), 403)):
        answer = proxy.get(path)
        assert (answer.status, answer.headers["Content-Type"]) == (
            status,
            "application/problem+json",
        )


def test_nobody_gets_a_file_past_web(proxy: Proxy, export: Export):
    part = storage.new_part()
    part.write_bytes(b"half an upload")
    for path in (
        f"/stored/{export.file_key}",
        f"/stored/incoming/{part.name}",
        f"/files/../stored/{export.file_key}",
        f"/stored/../stored/{export.file_key}",
        f"/%73tored/{export.file_key}",
        f"//stored/{export.file_key}",
    ):
        assert proxy.get(path).status == 404, path


def check_through(origin: str) -> tuple[list[str], str]:
    """The lines and the failure of `storage check --through`."""
    out, failure = io.StringIO(), ""
    try:
        call_command("storage", "check", "--through", origin, stdout=out)
    except CommandError as error:
        failure = str(error)
    return out.getvalue().splitlines(), failure


def test_the_check_of_the_store_fetches_a_file_as_clients_do(
    proxy: Proxy, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(ssl.get_server_certificate(("127.0.0.1", proxy.https_port)))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    origin = f"https://127.0.0.1:{proxy.https_port}"
    lines, failure = check_through(f"{origin}/")
    assert [f"ok  fetch a range from {origin}", "ok  have no file sent past web"] == lines[3:5]
    assert failure == ""
    settings.ACCEL_REDIRECT_PREFIX = "/elsewhere/"  # which nginx does not know
    lines, failure = check_through(origin)
    assert lines[-1].startswith(f"no  fetch a range from {origin}: the answer is 404 with ")
    assert failure.startswith("The store does not do what it has to: fetch a range from ")


def test_only_an_upload_may_be_large_and_nginx_reads_no_more_than_web_accepts(
    proxy: Proxy, settings: Any
):
    def asked(path: str, length: int) -> int:
        """The status for a body that is announced, of which nothing is sent."""
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", proxy.https_port), 120) as plain,
            trusting.wrap_socket(plain) as connection,
        ):
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
            connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
            return int(connection.recv(4096).split(b" ", 2)[1])

    most = 10 * 1024**3 + ENVELOPE_BYTES
    assert asked("/api/v1/projects", most) == 100
    assert asked("/api/v1/projects", 2 * most) == 413
    assert asked("/api/v1/exports", 2 * 1024**2) == 100
    part = settings.UPLOAD_PART_BYTES
    assert asked("/api/v1/uploads/an-id", part) == 100
    assert asked("/api/v1/uploads/an-id", part + 1024**2 + 1) == 413
    for path in (
        "/api/v1/exports",
        "/api/v1/uploads",
        "/health",
        "/files/a/b",
        "/api/v1/projects/",
    ):
        assert asked(path, 2 * 1024**2 + 1) == 413, path
    refused = proxy.get("/health", "POST", {"Content-Length": str(most)})
    assert (refused.status, json.loads(refused.body)["code"]) == (413, "too_large")
    assert refused.headers["Content-Type"] == "application/problem+json"


def test_http_is_sent_to_https_and_a_client_cannot_say_who_it_is(proxy: Proxy, export: Export):
    answer = proxy.get("/files/a/b?c=1", tls=False)
    assert (answer.status, answer.headers["Location"]) == (308, "https://localhost/files/a/b?c=1")
    # Over TLS, whatever the client says: otherwise web would send it away.
    assert proxy.get(link_to(export), headers={"X-Forwarded-Proto": "http"}).status == 200


def test_while_no_web_server_answers_it_says_when_to_come_back(tmp_path: Path):
    with reserved_port() as nobody, nginx(f"127.0.0.1:{nobody}", tmp_path) as front:
        answer = Proxy(front.http_port, front.https_port).get("/api/v1/me", "POST")
    problem = json.loads(answer.body)
    assert (answer.status, problem["status"], problem["code"]) == (503, 503, "unavailable")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "5"
    assert answer.headers["X-Request-ID"] == problem["request_id"]


def test_the_compose_file_starts_nginx_with_every_variable_of_the_template():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    front, web = services["nginx"], services["web"]
    template = (
        "./clipforge/deploy/nginx.conf.template:/etc/nginx/templates/default.conf.template:ro"
    )
    assert template in front["volumes"]
    names = set(string.Template(TEMPLATE.read_text()).get_identifiers())
    ours = {name for name in names if name.isupper()}
    assert ours == set(front["environment"]) - {"NGINX_ENVSUBST_FILTER"}
    filtered = front["environment"]["NGINX_ENVSUBST_FILTER"]
    assert set(filtered.strip("^()$").split("|")) == ours
    assert web["environment"]["ACCEL_REDIRECT_PREFIX"] == "/stored/"
    assert "location /stored/ {" in TEMPLATE.read_text()
    assert front["environment"]["MEDIA_ROOT"] == web["environment"]["MEDIA_ROOT"]
    assert "ports" not in web
    assert front["user"].split(":")[0] == "10001"
    assert "--uid 10001" in (ROOT / "clipforge/deploy/Dockerfile").read_text()


# --- a player ------------------------------------------------------------------------

# A page of a customer with a clip in it: how far it got, of a jump to the end.
SEEK = """
async ([address, second]) => {
    const video = document.createElement('video');
    video.muted = true;
    video.preload = 'metadata';
    document.body.append(video);
    const heard = name => new Promise((found, failed) => {
        video.addEventListener(name, found, {once: true});
        video.addEventListener('error', () => failed(video.error.message), {once: true});
    });
    const ready = heard('loadedmetadata');
    video.src = address;
    await ready;
    const sought = heard('seeked');
    video.currentTime = second;
    await sought;
    return [Math.round(video.duration), video.currentTime, video.readyState >= 2];
}
"""


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Thirty seconds at 8 Mbit/s, of filler: a player that had to read all of it would not seek."""
    video = tmp_path_factory.mktemp("long") / "long.mp4"
    constant = "nal-hrd=cbr:force-cfr=1"
    source = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=5:duration=30"]
    rate = ["-b:v", "8M", "-maxrate", "8M", "-minrate", "8M", "-bufsize", "8M"]
    coded = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "5", "-x264-params", constant]
    run_ffmpeg(*source, *coded, *rate, "-movflags", "+faststart", str(video))
    return video.read_bytes()


@pytest.mark.browser
@pytest.mark.parametrize("sender", ["nginx", "web"])
def test_a_player_that_seeks_gets_parts(
    sender: str, proxy: Proxy, long_video: bytes, live_server: Any, settings: Any
):
    size = len(long_video)
    assert size > 20_000_000
    origin = f"https://127.0.0.1:{proxy.https_port}"
    if sender == "web":
        settings.ACCEL_REDIRECT_PREFIX = ""
        origin = live_server.url
    address = f"{origin}{link_to(make_export(content=long_video))}?inline=1"
    parts: list[tuple[int, str]] = []
    with chromium() as browser:
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.on(
            "response",
            lambda answer: parts.append((answer.status, answer.headers.get("content-range", ""))),
        )
        assert page.evaluate(SEEK, [address, 28]) == [30, 28, True]
    assert {status for status, _ in parts} == {206}
    assert parts[0][1].startswith("bytes 0-")
    # It jumped: the last part begins near the end.
    assert int(parts[-1][1].removeprefix("bytes ").split("-")[0]) > size * 0.8
