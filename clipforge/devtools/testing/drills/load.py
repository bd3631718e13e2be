"""A service under load, and the clients that load it."""

from __future__ import annotations

import contextlib
import json
import random
import ssl
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

from clipforge.devtools.testing.drills.results import Row
from clipforge.devtools.testing.fault_injection import Injection
from clipforge.devtools.testing.redis_server import RedisServer, redis_server
from clipforge.devtools.testing.service import (
    TLS,
    Service,
    children_of,
    durable_service,
    eventually,
)
from clipforge.devtools.testing.stripe import SECRET_KEY, WEBHOOK_SECRET, running_stripe

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

CLIENTS = 6
# How long one waits for an answer, on however busy a machine. Seconds.
ANSWER_SECONDS = 60.0
# How long a client goes on asking before it gives up, and its request counts as lost. Seconds.
PATIENCE = 120.0


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

    def __init__(
        self,
        service: Service,
        cache: RedisServer,
        *,
        url: str | None = None,
        trust: ssl.SSLContext = TLS,
    ) -> None:
        """`url` is what clients ask instead of the web server itself; `trust` knows its certificate."""
        self.service = service
        self.cache = cache
        self.url = url or service.url
        self.trust = trust
        self.web = service.processes[0]
        prepared = json.loads(service.manage("shell", "-c", PREPARE).splitlines()[-1])
        self.headers = {"Authorization": f"Bearer {prepared['key']}"}
        self.ready: str = prepared["ready"]
        self._body = {"project": prepared["project"], "start": 0, "end": 10, "resolution": 480}
        self._urls = [self.url]
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
                verify=self.trust,
            )
        finally:
            with self._lock:
                self._asking[url] -= 1

    @contextlib.contextmanager
    def beside(self, injection: Injection) -> Iterator[Service]:
        """Another web server on the same data, which gets half of the requests meanwhile."""
        other = self.service.beside()
        try:
            other.start_web(injection)
            with self._lock:
                self._urls.append(other.url)
            try:
                yield other
            finally:
                with self._lock:
                    self._urls.remove(other.url)
            eventually("no request is open there", lambda: not self._asking[other.url])
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
        eventually("it says that it is ready", self.is_green)
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

    def is_green(self) -> bool:
        return status_of(f"{self.url}/health/ready", self.trust) == 200

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


@contextlib.contextmanager
def service_environment() -> Iterator[dict[str, str]]:
    """Payments come by webhooks, and workers ask a stand-in for those that they missed."""
    with running_stripe() as stripe:
        yield {
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "STRIPE_API_BASE": stripe.url,
            "LOG_FORMAT": "json",
        }


@contextlib.contextmanager
def stand(**environment: str) -> Iterator[Stand]:
    """A service of six threads with a Redis of its own."""
    with (
        redis_server() as cache,
        service_environment() as own,
        durable_service(**{**own, "REDIS_URL": cache.url, **environment}) as service,
    ):
        yield Stand(service, cache)


def status_of(url: str, trust: ssl.SSLContext = TLS) -> int:
    return httpx.get(url, timeout=ANSWER_SECONDS, verify=trust).status_code
