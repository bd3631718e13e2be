"""A whole ClipForge of real processes for one test: its own servers, web, workers and files.

Tests act on it as its users do: commands for operators, HTTP for clients, signals for what
goes wrong.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psycopg
from psycopg.sql import SQL, Identifier

from clipforge import embedded
from clipforge.client import Client
from clipforge.devtools.testing import fault_injection, leaks
from clipforge.devtools.testing.fault_injection import Injection
from clipforge.embedded.clusters import find_cluster
from clipforge.embedded.paths import Site
from clipforge.stack import reserved_port, web_command, worker_command

ROOT = Path(__file__).resolve().parents[3]
T = TypeVar("T")

# For `verify` of a single request of httpx, which makes another one for each that is not told of one:
# 25 ms of a core, taken from the service that is asked.
TLS = ssl.create_default_context()


def eventually(what: str, probe: Callable[[], T | None], *, seconds: float = 120) -> T:
    """Ask until the answer is truthy. Fails the test with `what` after `seconds`: far more than it
    takes, on a machine that is slow and busy with other tests."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := probe():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds:g} s")


class Service:
    """Processes are started by name and ended by the test, or when the fixture is done."""

    def __init__(self, data: Path, **environment: str) -> None:
        self.data = data
        # Whose code it runs: this tree's, or that of another release.
        self.root = ROOT
        self.media = data / "media"
        self.log = data / "service.log"
        urls = embedded.urls(data)
        # Until it is stopped: its port, and leases on servers that were started again.
        self._held = contextlib.ExitStack()
        self.port = self._held.enter_context(reserved_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "CLIPFORGE_DATA": str(data),
            "DATABASE_URL": urls.database,
            "REDIS_URL": urls.redis,
            "SECRET_KEY": "test-" * 10,
            "API_KEY_PEPPER": "test-" * 10,
            "HTTPS": "false",
            "WEB_BIND": f"127.0.0.1:{self.port}",
            **environment,
        }
        self.clients: list[Client] = []
        self.processes: list[subprocess.Popen[bytes]] = []

    def beside(self) -> Service:
        """Another one on the same servers and files; its web server has a port of its own."""
        shared = {name: value for name, value in self.environment.items() if name != "WEB_BIND"}
        return Service(self.data, **shared)

    def manage(self, *arguments: str, injection: Injection = fault_injection.none) -> str:
        """Run a command to its end and return what it printed. Fails the test unless it exits 0."""
        done = subprocess.run(
            injection([sys.executable, "manage.py", *arguments]),
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, f"manage.py {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def manage_json(self, *arguments: str, injection: Injection = fault_injection.none) -> Any:
        return json.loads(self.manage(*arguments, "--json", injection=injection).splitlines()[-1])

    def customer(self, name: str = "Customer", amount: int = 100) -> Client:
        """A client of a new organization with so many credits."""
        self.manage("create_org", name, "--tier", "ENTERPRISE", "--credits", str(amount))
        key = self.manage_json("create_api_key", name)["key"]
        client = Client(self.url, key, timeout=200)  # twenty uploads at once, on a busy machine
        self.clients.append(client)
        return client

    def start_web(self, injection: Injection = fault_injection.none) -> subprocess.Popen[bytes]:
        web = self._start(injection(web_command()))

        def is_ready() -> bool:
            assert web.poll() is None, self.log.read_text()
            try:
                return httpx.get(f"{self.url}/health/ready", timeout=20, verify=TLS).is_success
            except httpx.TransportError:
                return False

        eventually("the web server is ready", is_ready)
        return web

    def start_worker(
        self, concurrency: int = 1, injection: Injection = fault_injection.none
    ) -> subprocess.Popen[bytes]:
        return self._start(injection(worker_command(concurrency)))

    def files(self, pattern: str) -> list[Path]:
        """Stored files, relative to MEDIA_ROOT."""
        found = self.media.rglob(pattern)
        return sorted(path.relative_to(self.media) for path in found if path.is_file())

    def media_children(self) -> list[int]:
        """Processes that work on our files: probes, analyses, ffmpeg."""
        marker = str(self.data).encode()
        ours = {process.pid for process in self.processes}
        ours |= {child for pid in ours for child in children_of(pid)}  # those of gunicorn
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit()
            and (line := _command_line(entry))
            and (_parent_of(line) in ours or (marker in line and b"ffmpeg" in line))
        ]

    def sql(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.environment["DATABASE_URL"], autocommit=True)

    def restart_database(self) -> None:
        """As `pg_ctl restart -m fast` does it. Redis, of the same keeper, restarts too."""
        keeper = embedded.keeper_pid(self.data)
        assert keeper is not None
        os.kill(keeper, signal.SIGTERM)
        self.database_comes_back()

    def crash_database(self) -> None:
        """As `pg_ctl stop -m immediate` does it: it recovers from its log when it starts."""
        with self.sql() as connection:
            (folder,) = connection.execute("SHOW data_directory").fetchone() or ("",)
        postmaster = int(Path(folder, "postmaster.pid").read_text().splitlines()[0])
        os.kill(postmaster, signal.SIGQUIT)
        self.database_comes_back()

    def database_comes_back(self) -> None:
        """Start the servers again; the lease that we had was of those that ended."""
        embedded.wait_stopped(self.data)
        self._held.enter_context(embedded.hold(self.data, durable=True))

    def stop(self) -> None:
        self._held.close()
        for client in self.clients:
            client.close()
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(30)

    def _start(self, argv: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                argv,
                cwd=self.root,
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self.processes.append(process)
        return process


@contextmanager
def running_service(**environment: str) -> Iterator[Service]:
    """A migrated service with its web server up and no worker yet.

    Without limits, which a test that is not about them must not meet.
    """
    with _service(durable=False, limited=False, environment=environment) as service:
        yield service


@contextmanager
def limited_service(**environment: str) -> Iterator[Service]:
    """One whose tiers have their limits."""
    with _service(durable=False, limited=True, environment=environment) as service:
        yield service


@contextmanager
def durable_service(**environment: str) -> Iterator[Service]:
    """One in which what was committed outlives a crash of the database. It is slower."""
    with _service(durable=True, limited=False, environment=environment) as service:
        yield service


@contextmanager
def _service(*, durable: bool, limited: bool, environment: dict[str, str]) -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="cf-") as folder:
        data = Path(folder)
        shutil.copytree(_migrated_cluster(), data / "postgres", symlinks=True)
        with embedded.hold(data, durable=durable):
            anonymous = {} if limited else {"ANONYMOUS_REQUESTS_PER_MINUTE": "1000000"}
            service = Service(data, **{**anonymous, **environment})
            if not limited:
                _lift_limits(service)
            try:
                service.start_web()
                yield service
                # Whatever the test did to the processes: the ledger adds up, and no log tells a secret.
                assert service.manage_json("reconcile_credits")["ok"]
                assert secrets_in_logs(data, service.environment) == []
            finally:
                service.stop()
        embedded.wait_stopped(data)


@functools.cache
def _migrated() -> tempfile.TemporaryDirectory[str]:
    """A data directory that was migrated and stopped, for as long as this process runs.

    A service begins with a copy of its cluster: to migrate takes ten times as long.
    """
    folder = tempfile.TemporaryDirectory(prefix="cf-migrated-")
    data = Path(folder.name)
    with embedded.hold(data, durable=False):
        service = Service(data)
        service.manage("migrate", "--verbosity", "0")
        service.stop()
    assert embedded.wait_stopped(data)
    return folder


def _migrated_cluster() -> Path:
    return find_cluster(Site.of(Path(_migrated().name)))


def _lift_limits(service: Service) -> None:
    """Before anything has read them, so that no cache has to hear of it."""
    lifted = ["requests_per_minute", "uploads_per_minute", "exports_per_minute"]
    lifted += ["concurrent_jobs", "queued_jobs"]
    with service.sql() as connection:
        columns = SQL(", ").join(SQL("{} = 1000000").format(Identifier(name)) for name in lifted)
        connection.execute(SQL("UPDATE orgs_tierlimits SET {}").format(columns))


def secrets_in_logs(data: Path, environment: dict[str, str]) -> list[str]:
    """Every line in a log of the service, PostgreSQL's and Redis's included, that has a secret."""
    return leaks.in_files(data, leaks.of_settings(lambda name: environment.get(name, "")))


def children_of(pid: int) -> list[int]:
    """Of a process, or of none if it ended."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in children.split()]


def _parent_of(command_line: bytes) -> int | None:
    """Who started this child that decodes: it is told, so that it ends with its parent."""
    told = re.search(rb"\0clipforge\.media\0(\d+)\0", command_line)
    return int(told[1]) if told else None


def _command_line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:  # it ended while we looked
        return b""
