"""Fault drills: a throw-away service under load, one thing that breaks, and a row that says what came of it.

While the load runs, each client sends the same request under the same key until it is answered: what
a careful customer does. Afterwards every request has one effect (none lost, none double), whatever
broke meanwhile, and the ledger adds up. `manage.py faultdrill` runs them for an operator, and those of
`clipforge.devtools.testing.worker_drills`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import psycopg
import redis

from clipforge.devtools.testing import fault_injection
from clipforge.devtools.testing.fault_injection import Handicap, NotPermitted
from clipforge.devtools.testing.redis_server import RedisServer, redis_server
from clipforge.devtools.testing.service import (
    TLS,
    Service,
    children_of,
    durable_service,
    eventually,
)
from clipforge.devtools.testing.stripe import SECRET_KEY, WEBHOOK_SECRET, Stripe
from clipforge.media.sample import make_still

PREPARE = """
import json
from clipforge.orgs.models import Organization
from clipforge.devtools.testing.factories import *
org = make_organization(credits_=100000, tier="ENTERPRISE")
Organization.objects.update(rate_limit_override=1_000_000)
project, ready = make_project(org), make_export(make_project(org), status="READY")
ids = {"project": str(project.pk), "ready": str(ready.pk)}
print(json.dumps({"key": make_api_key(org).secret, **ids}))
"""

# The path of a link to the finished export, made now.
SIGN = """
from exports.downloads import signed_url
from exports.models import Export
print(signed_url(Export.objects.get(status="READY")))
"""
# How long such a link lives. Seconds.
LINK_SECONDS = 900

# What half a charge would leave: who has one part of an export without the others.
HALVES = {
    "holds without an export": """
        SELECT id::text FROM credits_credithold AS hold WHERE reference_type = 'export'
           AND NOT EXISTS (SELECT FROM exports_export WHERE hold_id = hold.id)
    """,
    "exports without a hold": """
        SELECT id::text FROM exports_export AS export WHERE status = 'QUEUED'
           AND NOT EXISTS (SELECT FROM credits_credithold
                            WHERE id = export.hold_id AND status = 'HELD')
    """,
    "exports without a job": """
        SELECT id::text FROM exports_export AS export WHERE status = 'QUEUED'
           AND NOT EXISTS (SELECT FROM procrastinate_jobs WHERE args->>'export_id' = export.id::text)
    """,
}

# Every connection of the service, whatever it is doing.
END_ALL = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = 'clipforge' AND pid <> pg_backend_pid()
"""

CLIENTS = 6
# How long one waits for an answer, on however busy a machine. Seconds.
ANSWER_SECONDS = 60.0
# How long a client goes on asking before it gives up, and its request counts as lost. Seconds.
PATIENCE = 120.0
# gunicorn and the workers stop within their grace of thirty, or not at all. Seconds.
STOPPING_SECONDS = 100
# How soon after a fault is over the service must have recovered. Seconds; an operator's limit, not a test's.
RECOVERY_SECONDS = 5.0


class Row(NamedTuple):
    """`errors` are answers of 5xx, `broken` requests without an answer.

    `recovery` is how long after the end of the fault something still went wrong, or nothing went
    right yet. Seconds; None where the fault had no end, or nobody looked for its consequences.
    """

    fault: str
    requests: int = 0
    errors: int = 0
    broken: int = 0
    lost: int = 0
    double: int = 0
    recovery: float | None = None
    # An answer that is neither the effect nor a 503 with Retry-After, or no answer in the end; what
    # ended the drill before its end.
    unexplained: str = ""
    # Why this machine could not do it.
    skipped: str = ""
    # How soon the service must have recovered.
    within: float = RECOVERY_SECONDS


@dataclass
class Counts:
    requests: int = 0
    errors: int = 0
    broken: int = 0
    unexplained: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    last_trouble: float = 0.0
    served_at: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def recovery(self, over: float) -> float:
        """Seconds from the end of the fault until its last consequence."""
        first = min(moment for moment in self.served_at if moment >= over)
        return round(max(first, self.last_trouble) - over, 2)


class Load:
    """Clients that start exports, all the time, until told to stop."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client) for _ in range(CLIENTS)]
        self.counts = Counts()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def until_served(self, more: int = 20) -> None:
        """Return once so many more requests had their effect."""
        wanted = len(self.counts.kept) + more
        eventually(f"{more} more exports", lambda: len(self.counts.kept) >= wanted)

    def _client(self) -> None:
        while not self._stop.is_set():
            self._one(str(uuid.uuid4()))

    def _one(self, key: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            made = self._ask(key)
            if made:
                with self.counts.lock:
                    self.counts.kept[key] = made
                    self.counts.served_at.append(time.monotonic())
                return
            self._stop.wait(0.05)
        self.counts.unexplained.append(f"no answer to {key}")

    def _ask(self, key: str) -> str | None:
        counts = self.counts
        try:
            answer = self._stand.export(key)
        except httpx.TransportError:
            with counts.lock:
                counts.requests, counts.broken = counts.requests + 1, counts.broken + 1
                counts.last_trouble = time.monotonic()
            return None
        with counts.lock:
            counts.requests += 1
            if answer.status_code >= 500:
                counts.errors += 1
                counts.last_trouble = time.monotonic()
            if not is_explained(answer):
                counts.unexplained.append(f"{answer.status_code}: {answer.text[:200]}")
        return str(answer.json()["id"]) if answer.status_code == 201 else None


def is_explained(answer: httpx.Response) -> bool:
    """The effect, or word that it is under way, or when to come again."""
    match answer.status_code:
        case 201:
            return True
        case 409:
            return bool(answer.json()["code"] == "request_in_progress")
        case 503:
            return "Retry-After" in answer.headers
    return False


class Stand:
    """One customer of one service, whose Redis is a process of its own so that it can be hurt."""

    def __init__(self, service: Service, cache: RedisServer) -> None:
        self.service = service
        self.cache = cache
        self.web = service.processes[0]
        prepared = json.loads(service.manage("shell", "-c", PREPARE).splitlines()[-1])
        self.headers = {"Authorization": f"Bearer {prepared['key']}"}
        self.ready: str = prepared["ready"]
        self._body = {"project": prepared["project"], "start": 0, "end": 10, "resolution": 480}
        self._urls = [service.url]
        self._asking: Counter[str] = Counter()
        self._lock = threading.Lock()

    def export(self, key: str) -> httpx.Response:
        """Ask any of the web servers for one."""
        with self._lock:
            url = random.choice(self._urls)  # noqa: S311 - no secret
            self._asking[url] += 1
        try:
            return httpx.post(
                f"{url}/api/v1/exports",
                json=self._body,
                headers={**self.headers, "Idempotency-Key": key},
                timeout=ANSWER_SECONDS,
                verify=TLS,
            )
        finally:
            with self._lock:
                self._asking[url] -= 1

    @contextlib.contextmanager
    def beside(self, handicap: Handicap) -> Iterator[Service]:
        """Another web server on the same data, which gets half of the requests meanwhile."""
        other = self.service.beside()
        try:
            other.start_web(handicap)
            with self._lock:
                self._urls.append(other.url)
            try:
                yield other
            finally:
                with self._lock:
                    self._urls.remove(other.url)
            eventually("nobody asks it any more", lambda: not self._asking[other.url])
        finally:
            other.stop()

    def run(self, name: str, fault: Callable[[Stand, Load], None]) -> Row:
        """Load, the fault in the middle of it, load again; then look."""
        before, halves = self._exports(), self._halves()
        with Load(self) as load:
            load.until_served()
            fault(self, load)
            over = time.monotonic()
            load.until_served()
        eventually("it says that it is ready", lambda: is_green(self.service))
        counts = load.counts
        made = self._exports() - before
        kept = set(counts.kept.values())
        half = Counter(what for what, _ in self._halves() - halves)
        assert self.service.manage_json("reconcile_credits")["ok"], "the ledger does not add up"
        return Row(
            name,
            counts.requests,
            counts.errors,
            counts.broken,
            lost=len(kept - made),
            double=len(made - kept),
            recovery=counts.recovery(over),
            unexplained="; ".join(
                [*counts.unexplained, *(f"{count} {what}" for what, count in half.items())]
            ),
        )

    def _exports(self) -> set[str]:
        with self.service.sql() as connection:
            return {str(pk) for (pk,) in connection.execute("SELECT id FROM exports_export")}

    def _halves(self) -> set[tuple[str, str]]:
        with self.service.sql() as connection:
            return {
                (what, pk) for what, query in HALVES.items() for (pk,) in connection.execute(query)
            }

    def web_processes(self) -> list[int]:
        return children_of(self.web.pid)


STRIPE = {"STRIPE_SECRET_KEY": SECRET_KEY, "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}


@contextlib.contextmanager
def stand(**environment: str) -> Iterator[Stand]:
    """A service of six threads with a Redis of its own."""
    with (
        redis_server() as cache,
        durable_service(
            **{**STRIPE, "REDIS_URL": cache.url, "LOG_FORMAT": "json", **environment}
        ) as service,
    ):
        yield Stand(service, cache)


# --- the faults -----------------------------------------------------------------------


def nothing(_: Stand, load: Load) -> None:
    load.until_served()


def web_process_killed(stand: Stand, load: Load) -> None:
    for _ in range(3):
        os.kill(random.choice(stand.web_processes()), signal.SIGKILL)  # noqa: S311 - no secret
        load.until_served(10)


def web_reloaded(stand: Stand, load: Load) -> None:
    old = set(stand.web_processes())
    stand.web.send_signal(signal.SIGHUP)
    eventually("other processes serve", lambda: not old & set(stand.web_processes()))
    load.until_served(10)


def web_stopped_and_started(stand: Stand, _: Load) -> None:
    stand.web.terminate()
    assert stand.web.wait(STOPPING_SECONDS) == 0, "it did not stop properly"
    stand.web = stand.service.start_web()


def database_restarted(stand: Stand, _: Load) -> None:
    stand.service.restart_database()


def database_crashed(stand: Stand, _: Load) -> None:
    stand.service.crash_database()


def backends_terminated(stand: Stand, load: Load) -> None:
    """In the middle of their transactions, until they were found there."""
    errors = load.counts.errors

    def somebody_was_hit() -> bool:
        connection.execute(END_ALL)
        load.until_served(3)
        return load.counts.errors > errors

    with stand.service.sql() as connection:
        for _ in range(5):
            eventually("somebody was in a transaction", somebody_was_hit)
            errors = load.counts.errors


def connections_exhausted(stand: Stand, load: Load) -> None:
    """Somebody else takes every connection that there is, and the service loses its own.

    Its readiness says so, that no more requests are sent to it.
    """
    with stand.service.sql() as connection, contextlib.ExitStack() as taken:
        (limit,) = connection.execute("SHOW max_connections").fetchone() or (0,)
        url = stand.service.environment["DATABASE_URL"]
        errors = load.counts.errors

        def too_few_are_left() -> bool:
            """The service may be faster, but not each time."""
            connection.execute(END_ALL)
            for _ in range(int(limit)):
                with contextlib.suppress(psycopg.OperationalError):
                    taken.enter_context(psycopg.connect(url))
            return is_red(stand.service)

        eventually("it says that it is not ready", too_few_are_left)
        eventually("somebody is refused", lambda: load.counts.errors > errors)


def is_red(service: Service) -> bool:
    answer = httpx.get(f"{service.url}/health/ready", timeout=ANSWER_SECONDS, verify=TLS)
    if answer.status_code == 200:  # by a thread that still has a connection
        return False
    assert (answer.status_code, answer.json()["status"]) == (503, "down"), answer.text
    return int(answer.headers["Retry-After"]) > 0


def is_green(service: Service) -> bool:
    return _status(f"{service.url}/health/ready") == 200


def is_degraded(service: Service) -> bool:
    answer = httpx.get(f"{service.url}/health", timeout=ANSWER_SECONDS, verify=TLS)
    return (answer.status_code, answer.json()["status"]) == (200, "degraded")


def cache_killed(stand: Stand, load: Load) -> None:
    stand.cache.kill()
    load.until_served(60)
    eventually("it says that it is degraded", lambda: is_degraded(stand.service))
    stand.cache.start()


def cache_frozen(stand: Stand, load: Load) -> None:
    stand.cache.freeze()
    load.until_served(60)
    eventually("it says that it is degraded", lambda: is_degraded(stand.service))
    stand.cache.thaw()


def cache_flushed(stand: Stand, load: Load) -> None:
    with redis.Redis.from_url(stand.service.environment["REDIS_URL"]) as client:
        for _ in range(5):
            client.flushall()
            load.until_served(10)


def disk_full(stand: Stand, load: Load) -> None:
    """No file of the web processes can grow any more. What is uploaded is 507 and leaves nothing."""
    video = stand.service.data / "disk-full.mp4"
    make_still(video, 2)
    pids = stand.web_processes()
    old = resource.prlimit(pids[0], resource.RLIMIT_FSIZE)
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (100, old[1]))
    with video.open("rb") as file:
        answer = httpx.post(
            f"{stand.service.url}/api/v1/projects",
            files={"file": file},
            headers=stand.headers,
            timeout=ANSWER_SECONDS,
            verify=TLS,
        )
    assert answer.status_code == 507, answer.text
    assert stand.service.files("*.part") == []
    load.until_served(10)
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, old)


def small_disk(stand: Stand, load: Load) -> None:
    """One web server has no room for uploads, as when a disk of their own is full."""
    (folder := stand.service.media / "incoming").mkdir(exist_ok=True)
    video = stand.service.data / "small-disk.mp4"
    video.write_bytes(bytes(1 << 20))
    with stand.beside(fault_injection.disk_of(64 << 10, folder)) as other, video.open("rb") as file:
        load.until_served(20)
        answer = httpx.post(
            f"{other.url}/api/v1/projects",
            files={"file": file},
            headers=stand.headers,
            timeout=ANSWER_SECONDS,
            verify=TLS,
        )
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full"), answer.text
        # Its disk, as only it sees it.
        seen = Path(f"/proc/{other.processes[0].pid}/root{folder}")
        assert os.path.ismount(seen)
        assert list(seen.iterdir()) == []
        load.until_served(10)


def log_full(stand: Stand, load: Load) -> None:
    """A web server cannot write a single line of its log."""
    with stand.beside(fault_injection.log_full):
        load.until_served(40)


def clock_off_by(seconds: float) -> Callable[[Stand, Load], None]:
    """The clock of one web server is wrong: one effect a key all the same, links and events as they are."""

    def fault(stand: Stand, load: Load) -> None:
        with stand.beside(fault_injection.clock_off_by(seconds)) as other:
            load.until_served(40)
            for key, made in list(load.counts.kept.items())[-10:]:
                assert stand.export(key).json()["id"] == made, "the other server made another one"
            _links_hold(stand, other, seconds)
            _events_count_once(stand, other, seconds)

    return fault


def _links_hold(stand: Stand, other: Service, seconds: float) -> None:
    """A link of either server opens at both; one that ended opens at neither, though one is behind."""
    servers = (stand.service, other)
    for signer in servers:
        url = f"{signer.url}/api/v1/exports/{stand.ready}/download"
        answer = httpx.get(url, headers=stand.headers, timeout=ANSWER_SECONDS, verify=TLS)
        link = urlsplit(answer.headers["Location"]).path
        assert [_status(f"{each.url}{link}") for each in servers] == [200, 200]
    long_ago = fault_injection.clock_off_by(-(LINK_SECONDS + abs(seconds) + 60))
    link = stand.service.manage("shell", "-v", "0", "-c", SIGN, handicap=long_ago).strip()
    assert [_status(f"{each.url}{link}") for each in servers] == [403, 403]


def _status(url: str) -> int:
    return httpx.get(url, timeout=ANSWER_SECONDS, verify=TLS).status_code


def _events_count_once(stand: Stand, other: Service, seconds: float) -> None:
    """What is signed now is not of now to the wrong clock, and is sent again; what it takes for new counts once."""
    kind = {"type": "drill", "livemode": False, "created": 1, "data": {"object": {}}}
    event = {"id": f"evt_{uuid.uuid4().hex}", **kind}

    def deliver(service: Service, at: float) -> int:
        body, signature = Stripe(secret=WEBHOOK_SECRET).signed(event, at=at)
        headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
        url = f"{service.url}/webhooks/stripe"
        answer = httpx.post(url, content=body, headers=headers, timeout=ANSWER_SECONDS, verify=TLS)
        return answer.status_code

    def times_stored() -> int:
        with stand.service.sql() as connection:
            where = "SELECT count(*) FROM billing_stripeevent WHERE id = %s"
            (count,) = connection.execute(where, [event["id"]]).fetchone() or (0,)
        return int(count)

    now = time.time()
    assert (deliver(other, now), times_stored()) == (400, 0), "it took what is not of now"
    assert (deliver(stand.service, now), times_stored()) == (200, 1)
    assert (deliver(other, now + seconds), times_stored()) == (200, 1)


FAULTS: dict[str, Callable[[Stand, Load], None]] = {
    "nothing": nothing,
    "web process killed": web_process_killed,
    "web reloaded (HUP)": web_reloaded,
    "web stopped (TERM) and started": web_stopped_and_started,
    "database backends terminated": backends_terminated,
    "database connections exhausted": connections_exhausted,
    "database restarted": database_restarted,
    "database crashed": database_crashed,
    "disk full (upload)": disk_full,
    "disk full (upload, in the middle)": small_disk,
    "disk full (log)": log_full,
    "clock ten minutes ahead": clock_off_by(600),
    "clock ten minutes behind": clock_off_by(-600),
    "cache flushed": cache_flushed,
    "cache frozen": cache_frozen,
    "cache killed": cache_killed,
}

# With these nobody may see an error: what broke is not what requests depend on.
UNSEEN = {
    *("nothing", "disk full (upload)", "disk full (upload, in the middle)", "disk full (log)"),
    *("clock ten minutes ahead", "clock ten minutes behind"),
    *("cache flushed", "cache frozen", "cache killed"),
}

# With these somebody must see one: else the fault was none.
SEEN = {
    *("web stopped (TERM) and started", "database restarted", "database crashed"),
    *("database backends terminated", "database connections exhausted"),
}


def attempt(place: Any, name: str, fault: Any) -> Row:
    """The row of a drill on a stand or a bench; it says so where this machine cannot do it."""
    try:
        row: Row = place.run(name, fault)
    except NotPermitted as reason:
        return Row(name, skipped=str(reason))
    return row


def breaches(row: Row) -> list[str]:
    """What is not as it must be in a row."""
    wrong = [f"{row.fault}: {row.lost} lost"] if row.lost else []
    wrong += [f"{row.fault}: {row.double} double"] if row.double else []
    wrong += [f"{row.fault}: {row.unexplained}"] if row.unexplained else []
    if row.fault in UNSEEN and row.errors + row.broken:
        wrong.append(f"{row.fault}: {row.errors} errors and {row.broken} broken requests")
    if row.fault in SEEN and not row.skipped + row.unexplained and not row.errors + row.broken:
        wrong.append(f"{row.fault}: nobody noticed it, so nothing broke")
    return wrong


def too_slow(row: Row) -> list[str]:
    """For an operator, on a machine that has nothing else to do."""
    if row.recovery is None or row.recovery <= row.within:
        return []
    return [f"{row.fault}: recovered only after {row.recovery:g} s"]
