"""An upgrade under load, and the way back: the last release's web and workers beside those of this tree.

nginx shares the requests among the web servers that run, as in front of several containers, and asks
the next one where one does not take a connection. So what is counted as failed is what a customer sees.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from clipforge import embedded
from clipforge.devtools.testing.service import ROOT, TLS, Service, children_of, eventually
from clipforge.media.sample import make_still
from clipforge.stack import reserved_port

# The last commit of release 2026.11.25, the newest section of the changelog that has a date.
LAST_RELEASE = "16a2949"

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream web {{ {servers} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://web;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_read_timeout 120s;
        }}
    }}
}}
"""
CLIENTS = 4
ANSWER_SECONDS = 100.0
# gunicorn and workers stop within their grace of thirty, on however busy a machine. Seconds.
STOPPING_SECONDS = 100


class Outcome(NamedTuple):
    """`failed` are answers that are no success, or none; `lost` jobs that were accepted and not done."""

    requests: int
    failed: list[str]
    jobs: int
    lost: list[str]


class Drill:
    """The service of the last release, on its own schema, under load until `outcome`."""

    def __init__(self, old: Service, new: Service, url: str, still: Path) -> None:
        self.old, self.new = old, new
        self._url = url
        self._still = still
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._failed: list[str] = []
        self._jobs: list[str] = []
        self.requests = 0
        self._headers: dict[str, str] = {}
        self._threads = [threading.Thread(target=self._work) for _ in range(CLIENTS)]

    def start_load(self, key: str) -> None:
        self._headers = {"Authorization": f"Bearer {key}"}
        for thread in self._threads:
            thread.start()

    def until_served(self, more: int = 12) -> None:
        wanted = self.requests + more
        eventually(f"{more} more requests", lambda: self.requests >= wanted)

    def outcome(self) -> Outcome:
        """End the load, and wait until every job that was accepted has ended."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        lost = [job for job in self._jobs if not self._ends(job)]
        return Outcome(self.requests, self._failed, len(self._jobs), lost)

    def _ends(self, project: str) -> bool:
        def ended() -> str:
            status = str(self._get(f"projects/{project}").json()["status"])
            return "" if status in {"QUEUED", "ANALYZING"} else status

        return eventually(f"{project} ends", ended, seconds=200) in {"READY", "EMPTY"}

    def _work(self) -> None:
        """Act as a customer: look at the balance and a list, now and then upload."""
        with contextlib.suppress(AssertionError):
            while not self._stop.is_set():
                self._ask("GET", "credits/balance")
                self._ask("GET", "projects")
                if len(self._jobs) < 3 * CLIENTS:
                    self._upload()

    def _upload(self) -> None:
        with self._still.open("rb") as file:
            answer = self._ask(
                "POST",
                "projects",
                files={"file": ("v.mp4", file)},
                headers={"Idempotency-Key": str(uuid.uuid4())},
            )
        if answer is not None and answer.status_code == 201:
            with self._lock:
                self._jobs.append(answer.json()["id"])

    def _get(self, path: str) -> httpx.Response:
        return httpx.get(
            f"{self._url}/api/v1/{path}", headers=self._headers, timeout=ANSWER_SECONDS, verify=TLS
        )

    def _ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response | None:
        said, answer = "", None
        try:
            answer = httpx.request(
                method,
                f"{self._url}/api/v1/{path}",
                headers={**self._headers, **(headers or {})},
                timeout=ANSWER_SECONDS,
                verify=TLS,
                **more,
            )
            if not answer.is_success:
                said = f"{method} {path}: {answer.status_code} {answer.text[:200]}"
        except httpx.TransportError as error:
            said = f"{method} {path}: {type(error).__name__}"
        with self._lock:
            self.requests += 1
            if said:
                self._failed.append(said)
        return answer


@contextlib.contextmanager
def upgrade(tree: Path) -> Iterator[Drill]:
    """The service of `tree`, migrated by its own code, with a web server and a worker, behind nginx."""
    with tempfile.TemporaryDirectory(prefix="cf-") as folder:
        data = Path(folder, "data")
        data.mkdir()
        still = Path(folder, "still.mp4")
        make_still(still, 2)
        with embedded.hold(data, durable=True):
            old = Service(data, ANONYMOUS_REQUESTS_PER_MINUTE="1000000", WORK_LEASE_SECONDS="10")
            old.root = tree
            old.manage("migrate", "--verbosity", "0")
            new = old.beside()
            new.root = ROOT
            try:
                with _nginx(Path(folder), [old, new]) as url:
                    yield Drill(old, new, url, still)
            finally:
                old.stop()
                new.stop()
        embedded.wait_stopped(data)


@contextlib.contextmanager
def _nginx(folder: Path, services: list[Service]) -> Iterator[str]:
    with reserved_port() as port:
        servers = " ".join(f"server 127.0.0.1:{each.port} max_fails=0;" for each in services)
        path = folder / "nginx.conf"
        path.write_text(CONFIGURATION.format(folder=folder, servers=servers, port=port))
        process = subprocess.Popen(
            [str(NGINX), "-p", str(folder), "-c", str(path), "-e", str(folder / "error.log")]
        )
        url = f"http://127.0.0.1:{port}"

        def listens() -> bool:
            assert process.poll() is None, (folder / "error.log").read_text()
            try:
                return httpx.get(url, timeout=ANSWER_SECONDS, verify=TLS).status_code > 0
            except httpx.TransportError:
                return False

        try:
            eventually("nginx listens", listens)
            yield url
        finally:
            process.terminate()
            process.wait(60)


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, as whoever restarts it sends it; it ends by itself and says that all is well."""
    process.terminate()
    assert process.wait(STOPPING_SECONDS) == 0, "it did not stop properly"


def reload(web: subprocess.Popen[bytes]) -> None:
    """SIGHUP: gunicorn's processes are replaced under load."""
    before = set(children_of(web.pid))
    web.send_signal(signal.SIGHUP)
    eventually("other processes serve", lambda: _replaced(web, before))


def _replaced(web: subprocess.Popen[bytes], before: set[int]) -> bool:
    now = set(children_of(web.pid))
    return bool(now) and not now & before
