"""The API through a real gunicorn: what only a real connection can show."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import re
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, NamedTuple

import httpx
import pytest
import time_machine
from django.core import signing
from django.utils import timezone

from clipforge.devtools.testing.service import TLS, Service, eventually, running_service
from clipforge.media.sample import make_still
from exports.downloads import SALT

pytestmark = pytest.mark.slow

# For an answer, on however busy a machine. Seconds.
PATIENCE = 120
get = functools.partial(httpx.get, timeout=PATIENCE, verify=TLS)

MAX_UPLOAD_BYTES = 3_000_000
CONTENT = bytes(range(256)) * 400
BOUNDARY = "a-boundary"
UPLOAD_TYPE = f"multipart/form-data; boundary={BOUNDARY}"

PREPARE = """
import json
from clipforge.devtools.testing.factories import make_api_key, make_export, make_organization, make_project
org = make_organization(credits_=1000, tier="ENTERPRISE")
export = make_export(make_project(org), content=bytes(range(256)) * 400)
print(json.dumps({
    "key": make_api_key(org).secret, "export": str(export.pk), "file_key": export.file_key
}))
"""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> Any:
        """Of the problem document, which a refusal must be."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.headers["x-request-id"] == json.loads(self.body)["request_id"]
        return json.loads(self.body)["code"]


class Live(NamedTuple):
    service: Service
    key: str
    export: str
    file_key: str

    def http(self, **headers: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}", **headers}
        return httpx.Client(
            base_url=self.service.url, headers=headers, timeout=PATIENCE, verify=TLS
        )

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self.http() as client:
            return client.request(method, path, **options)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.service.port), timeout=PATIENCE)

    def head(self, method: str, path: str, **headers: str | int | None) -> bytes:
        """The first lines of a request, as they go over the wire."""
        fields = {"Host": "localhost", "Authorization": f"Bearer {self.key}"}
        fields |= {name.replace("_", "-"): str(value) for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
        return "\r\n".join(lines).encode()

    def titles(self) -> list[str]:
        projects = self.request("GET", "/api/v1/projects", params={"page_size": 100}).json()
        return [project["title"] for project in projects["results"]]


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    limits = {"MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES), "WEB_THREADS": "8"}
    # All that can be logged is, and searched for secrets.
    with running_service(LOG_FORMAT="json", LOG_LEVEL="DEBUG", **limits) as service:
        prepared = json.loads(service.manage("shell", "-c", PREPARE).splitlines()[-1])
        yield Live(service, **prepared)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Five seconds, with a box at the end that says nothing: longer than any buffer on the way."""
    path = tmp_path_factory.mktemp("videos") / "still.mp4"
    make_still(path, seconds=5)
    filler = 1_000_000
    return path.read_bytes() + filler.to_bytes(4, "big") + b"free" + bytes(filler - 8)


@pytest.fixture(autouse=True)
def nothing_is_left(live: Live) -> Iterator[None]:
    """After every test: no unfinished file, and no exception in the log but for refused hosts."""
    before = len(live.service.log.read_text())
    yield
    eventually("unfinished files are gone", lambda: not live.service.files("*.part"))
    lines = live.service.log.read_text()[before:].splitlines()
    assert [line for line in lines if "Traceback" in line and "DisallowedHost" not in line] == []


def read_answer(connection: socket.socket) -> Answer:
    response = http.client.HTTPResponse(connection)
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def upload_body(content: bytes, title: str) -> bytes:
    return (
        (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="title"\r\n\r\n{title}\r\n'
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="v.mp4"\r\n\r\n'
        ).encode()
        + content
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )


# --- uploads ---------------------------------------------------------------------------


def test_an_upload_becomes_a_project_and_one_file(live, video):
    with live.connect() as connection:
        body = upload_body(video, "whole")
        connection.sendall(
            live.head(
                "POST", "/api/v1/projects", Content_Type=UPLOAD_TYPE, Content_Length=len(body)
            )
        )
        for start in range(0, len(body), 1000):
            connection.sendall(body[start : start + 1000])
        answer = read_answer(connection)
    assert answer.status == 201
    project = json.loads(answer.body)
    assert (project["status"], project["size"], project["credits"]["reserved"]) == (
        "QUEUED",
        len(video),
        1,
    )
    assert answer.headers["location"] == f"/api/v1/projects/{project['id']}"
    assert live.request("GET", answer.headers["location"]).json()["title"] == "whole"
    (stored,) = live.service.files(f"{project['id']}/source")
    assert (live.service.media / stored).read_bytes() == video


def test_a_client_that_hangs_up_in_the_middle_leaves_no_file_and_no_project(live, video):
    body = upload_body(video, "hung up")
    with live.connect() as connection:
        connection.sendall(
            live.head(
                "POST", "/api/v1/projects", Content_Type=UPLOAD_TYPE, Content_Length=len(body)
            )
            + body[: len(body) // 2]
        )
        eventually("the file is being written", lambda: live.service.files("*.part"))
    eventually("the file is gone", lambda: not live.service.files("*.part"))
    assert "hung up" not in live.titles()


def test_a_client_that_is_cut_off_leaves_no_file_and_no_project(live, video):
    body = upload_body(video, "cut off")
    connection = live.connect()
    connection.sendall(
        live.head("POST", "/api/v1/projects", Content_Type=UPLOAD_TYPE, Content_Length=len(body))
        + body[: len(body) // 2]
    )
    eventually("the file is being written", lambda: live.service.files("*.part"))
    # No good-bye: the server sees a reset connection.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    eventually("the file is gone", lambda: not live.service.files("*.part"))
    assert "cut off" not in live.titles()


def test_a_body_that_is_shorter_than_announced_is_refused(live, video):
    body = upload_body(video, "too short")
    with live.connect() as connection:
        connection.sendall(
            live.head(
                "POST", "/api/v1/projects", Content_Type=UPLOAD_TYPE, Content_Length=len(body) + 1
            )
            + body
        )
        connection.shutdown(socket.SHUT_WR)
        answer = read_answer(connection)
    assert (answer.status, answer.code) == (400, "upload_interrupted")
    assert "too short" not in live.titles()


@pytest.mark.parametrize("expect", [{}, {"Expect": "100-continue"}], ids=["plain", "expect"])
def test_an_upload_that_is_too_large_is_refused_before_its_body_is_sent(live, expect):
    with live.connect() as connection:
        connection.sendall(
            live.head(
                "POST",
                "/api/v1/projects",
                Content_Type=UPLOAD_TYPE,
                Content_Length=MAX_UPLOAD_BYTES + 100_000,
                **expect,
            )
        )
        answer = read_answer(connection)
        assert (answer.status, answer.code) == (413, "too_large")
    assert json.loads(answer.body)["limit"] == MAX_UPLOAD_BYTES


def test_an_upload_without_a_good_key_is_refused_before_its_body_is_sent(live):
    with live.connect() as connection:
        connection.sendall(
            live.head(
                "POST",
                "/api/v1/projects",
                Authorization=f"Bearer {live.key[:-1]}",
                Content_Type=UPLOAD_TYPE,
                Content_Length=1_000_000,
            )
        )
        answer = read_answer(connection)
    assert (answer.status, answer.code) == (401, "invalid_api_key")


def test_a_client_that_sends_far_too_much_is_told_so_while_it_sends(live):
    files = {"file": ("video.mp4", bytes(20 * 1024**2), "video/mp4")}
    answer = live.request("POST", "/api/v1/projects", files=files)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_file_that_grows_beyond_the_limit_is_refused_and_removed(live):
    # Its beginning is a video's: what is none is refused before it has grown.
    body = upload_body(b"\0\0\0\x18ftyp".ljust(MAX_UPLOAD_BYTES + 1, b"x"), "grown")
    answer = live.request(
        "POST", "/api/v1/projects", content=body, headers={"Content-Type": UPLOAD_TYPE}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "grown" not in live.titles()


@pytest.mark.parametrize(
    ("path", "content_type"),
    [("/api/v1/projects", UPLOAD_TYPE), ("/api/v1/quotes", "application/json")],
)
def test_a_chunked_body_is_refused(live, path, content_type):
    def chunks() -> Iterator[bytes]:
        yield b'{"export_seconds": 60}'

    answer = live.request("POST", path, content=chunks(), headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")


def test_what_is_no_video_is_refused_and_removed(live):
    files = {"file": ("video.mp4", b"no video at all" * 1000, "video/mp4")}
    answer = live.request("POST", "/api/v1/projects", files=files, data={"title": "no video"})
    assert (answer.status_code, answer.json()["code"]) == (415, "not_a_video")
    assert "no video" not in live.titles()


def test_twenty_identical_uploads_at_once_under_one_key_are_one_project(live, video):
    before = live.request("GET", "/api/v1/credits/balance").json()
    together = Barrier(20)

    def upload(_: int) -> httpx.Response:
        files = {"file": ("video.mp4", video, "video/mp4")}
        with live.http(**{"Idempotency-Key": "twenty at once"}) as client:
            together.wait(PATIENCE)
            data = {"title": "only one"}
            answer: httpx.Response = client.post("/api/v1/projects", files=files, data=data)
            return answer

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(upload, range(20)))
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 409}
    assert statuses[201] >= 1
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    replayed = [answer.headers.get("Idempotent-Replayed") for answer in answers]
    assert replayed.count("true") == statuses[201] - 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "request_in_progress"
            assert answer.headers["Retry-After"] == "1"
    assert live.titles().count("only one") == 1
    after = live.request("GET", "/api/v1/credits/balance").json()
    assert after["held"] == before["held"] + 1


# --- downloads -------------------------------------------------------------------------


@pytest.fixture
def link(live) -> str:
    answer = live.request("GET", f"/api/v1/exports/{live.export}/download")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (302, "no-store")
    location: str = answer.headers["Location"]
    assert location.startswith(f"{live.service.url}/files/")
    return location


def test_a_link_alone_fetches_the_file(link):
    answer = get(link)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["Content-Length"] == "102400"
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=1000-70000", 1000, 70000), ("bytes=-10", 102390, 102399)],
)
def test_a_link_fetches_a_part_of_the_file(link, asked, first, last):
    answer = get(link, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, CONTENT[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/102400"


def test_a_download_that_broke_off_can_be_resumed(link):
    with httpx.stream("GET", link, timeout=PATIENCE) as answer:
        start = next(answer.iter_raw(5000))
    rest = get(link, headers={"Range": f"bytes={len(start)}-"})
    assert start + rest.content == CONTENT


def test_the_head_of_a_link_has_no_body_and_a_range_beyond_the_end_is_416(link):
    head = httpx.head(link, timeout=PATIENCE)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "102400", b"")
    beyond = get(link, headers={"Range": "bytes=102400-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */102400")


def test_a_link_with_any_part_changed_is_refused(live, link):
    token = link.split("/files/")[1].split("/")[0]
    payload, stamp, signature = token.split(":")
    other = signing.dumps("another", key="another key").split(":")[0]
    for forged in (
        f"{payload}:{stamp}:{signature[:-1]}",
        f"{payload}:{stamp}:",
        f"{other}:{stamp}:{signature}",
        f"{payload}:{stamp[:-1]}{'a' if stamp[-1] == 'z' else 'z'}:{signature}",
        "nonsense",
    ):
        answer = get(f"{live.service.url}/files/{forged}/clip.mp4")
        assert (answer.status_code, answer.json()["code"]) == (403, "link_invalid")


def test_a_link_is_good_for_900_seconds(live, settings):
    settings.SECRET_KEY = live.service.environment["SECRET_KEY"]
    now = timezone.now().timestamp()
    for age, status in [(800, 200), (901, 403)]:
        with time_machine.travel(now - age, tick=False):
            token = signing.dumps(live.file_key, salt=SALT)
        answer = get(f"{live.service.url}/files/{token}/clip.mp4")
        assert answer.status_code == status
    assert answer.json()["code"] == "link_expired"


def test_a_name_in_a_link_cannot_write_headers(link):
    folder = link.rpartition("/")[0]
    for name in ("a%0D%0ASet-Cookie:%20x=1.mp4", "a%00b.mp4", "%22.mp4", "%C3%A9.mp4"):
        answer = get(f"{folder}/{name}")
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers


# --- the connection itself -------------------------------------------------------------


def test_a_host_that_is_not_ours_is_refused(live):
    answer = live.request("GET", "/api/v1/me", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


@pytest.mark.parametrize("method", ["POST", "DELETE", "TRACE", "BREW"])
def test_a_method_that_a_route_has_not_is_refused(live, method):
    answer = live.request(method, "/api/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("size", [1000, 50_000, 2 * 1024**2])
def test_the_body_of_a_refused_request_is_never_taken_for_the_next_request(live, size):
    # Past 64 KiB the server stops reading and closes: the answer may be lost with the connection.
    received = b""
    hidden = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    body = hidden * (size // len(hidden))
    head = live.head(
        "POST",
        "/api/v1/quotes",
        Authorization="Bearer nonsense",
        Content_Type="application/json",
        Content_Length=len(body),
    )
    with live.connect() as connection:
        # OSError: of a connection that is closed already, also the shutdown fails. What came before that
        # can be read all the same.
        with contextlib.suppress(OSError):
            connection.sendall(head + body)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while part := connection.recv(65536):
                received += part
    assert received.count(b"HTTP/1.1 ") == (1 if received or size <= 50_000 else 0)
    assert received[:13] in {b"HTTP/1.1 401 ", b""}


def test_a_json_body_over_a_mebibyte_is_refused(live):
    body = b'{"export_seconds": 60}'.ljust(1024**2 + 1)
    headers = {"Content-Type": "application/json"}
    answer = live.request("POST", "/api/v1/quotes", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    answer = live.request("POST", "/api/v1/quotes", content=body[:-1], headers=headers)
    assert (answer.status_code, answer.json()["credits"]) == (200, 1)


def test_a_hundred_requests_on_one_connection_are_answered_in_order(live):
    with live.http() as client:
        for number in range(100):
            wanted = f"request-{number:04}"
            answer = client.get("/api/v1/me", headers={"X-Request-ID": wanted})
            assert (answer.status_code, answer.headers["X-Request-ID"]) == (200, wanted)


def test_the_docs_and_all_they_load_come_from_here_without_a_key(live):
    page = get(f"{live.service.url}/api/v1/docs")
    assert page.status_code == 200
    addresses = set(re.findall(r'(?:src|href)="([^"]+)"', page.text))
    assert len(addresses) >= 3
    for address in addresses:
        answer = get(f"{live.service.url}{address}")
        assert (answer.status_code, len(answer.content) > 0) == (200, True), address
        assert answer.headers["X-Request-ID"]
    assert get(f"{live.service.url}/api/v1/schema").text.startswith("openapi: 3.1")


def test_the_admin_and_its_style_load(live):
    page = get(f"{live.service.url}/admin/login/")
    assert page.status_code == 200
    for address in re.findall(r'href="(/static/[^"]+)"', page.text):
        assert get(f"{live.service.url}{address}").status_code == 200


def test_a_log_line_of_the_server_is_json_without_the_key_or_the_token(live, link):
    before = len(live.service.log.read_text())
    live.request("GET", "/api/v1/me", headers={"X-Request-ID": "find-me-again"})
    get(link)
    lines = live.service.log.read_text()[before:].splitlines(keepends=True)
    # A line without its end is being written.
    found = [json.loads(line) for line in lines if line[0] == "{" and line[-1] == "\n"]
    assert '"level": "DEBUG"' in live.service.log.read_text()  # the most that there can be
    (me,) = [
        line for line in found if line["request_id"] == "find-me-again" and line["level"] == "INFO"
    ]
    assert (me["message"], me["route"], me["status"]) == ("GET 200", "me", 200)
    text = "".join(lines)
    assert live.key[17:] not in text
    assert link.split("/files/")[1].split("/")[0] not in text


def test_a_server_that_is_told_to_stop_finishes_the_request_in_flight(live, video):
    web = live.service.processes[-1]
    body = upload_body(video, "in flight")
    half = len(body) // 2
    try:
        with live.connect() as connection:
            connection.sendall(
                live.head(
                    "POST", "/api/v1/projects", Content_Type=UPLOAD_TYPE, Content_Length=len(body)
                )
                + body[:half]
            )
            eventually("the file is being written", lambda: live.service.files("*.part"))
            before = len(live.service.log.read_text())
            web.send_signal(signal.SIGTERM)
            eventually(
                "the server heard the signal",
                lambda: "Handling signal: term" in live.service.log.read_text()[before:],
            )
            assert web.poll() is None
            connection.sendall(body[half:])
            answer = read_answer(connection)
        assert (answer.status, json.loads(answer.body)["title"]) == (201, "in flight")
        assert web.wait(PATIENCE) == 0
    finally:
        live.service.start_web()
    assert live.titles().count("in flight") == 1


def test_files_of_the_service_are_readable_only_by_their_keys(live, link):
    base = link.split("/files/")[0]
    for path in ("/files/", "/media/", f"/{live.file_key}", f"/static/../{live.file_key}"):
        assert get(f"{base}{path}").status_code == 404
    assert Path(live.service.media / live.file_key).is_file()
