"""Metrics for Prometheus, of this process. Off, and not even imported, unless METRICS_BIND is set.

`recorder` is None while it is off: whoever has something to record asks that first. What the service
counts for its own pages (`clipforge.common.cache.metrics`) is recorded along with it, once a second.

Processes of gunicorn keep their figures in files of one folder, which one exporter adds up
(`clipforge.common.exporter`). A file belongs to a *slot*, the number of a process among those that
live: one that takes the place of another counts on in its file, so that there are never more files
than processes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

# Where gunicorn keeps the figures of its processes; the name is prometheus-client's.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Seconds: a cached answer takes one millisecond, the target of the API is 95 % below 100, an upload
# takes as long as its client.
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
STATEMENT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)
JOB_BUCKETS = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

SQL_SHORTEST, SQL_STEP = 0.00005, 1.25


class Recorder:
    """The figures of this process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        from prometheus_client import REGISTRY, Counter, Histogram

        where: dict[str, Any] = {"registry": registry or REGISTRY}
        self._requests = Histogram(
            "clipforge_http_request_seconds",
            "Requests by the name of their route: how many, how long, with which status.",
            ["method", "route", "status"],
            buckets=REQUEST_BUCKETS,
            **where,
        )
        self._observers: dict[tuple[str | None, str | None, int], Any] = {}
        self._cache = Counter(
            "clipforge_cache_operations",
            "Operations of the cache by family of keys and result: hit, miss, error.",
            ["family", "result"],
            **where,
        )
        self._limits = Counter(
            "clipforge_limited_requests",
            "Requests of organizations that their limit let pass (passed) or refused (limited).",
            ["tier", "outcome"],
            **where,
        )
        self._statements = Histogram(
            "clipforge_sql_statement_seconds",
            "SQL statements as their callers waited for them.",
            buckets=STATEMENT_BUCKETS,
            **where,
        )
        self._breaker = Counter(
            "clipforge_redis_failures",
            "Calls after which the breaker left Redis alone for a second.",
            **where,
        )
        self._jobs = Histogram(
            "clipforge_job_seconds",
            "Jobs that this worker ended: how many, how long they ran, in which status.",
            ["kind", "status"],
            buckets=JOB_BUCKETS,
            **where,
        )

    def request(self, method: str | None, route: str | None, status: int, seconds: float) -> None:
        key = (method, route, status)
        observe = self._observers.get(key)
        if observe is None:
            # A client may invent a method, of which there would be no end.
            known = method if method in METHODS else "other"
            observe = self._requests.labels(known, route or "none", str(status)).observe
            if known != "other":
                self._observers[key] = observe
        observe(seconds)

    def job(self, kind: str, status: str, seconds: float) -> None:
        self._jobs.labels(kind, status).observe(seconds)

    def redis_failed(self) -> None:
        self._breaker.inc()

    def counted(self, counts: Mapping[str, int]) -> None:
        """Add the counts of `Metrics` since the last time, by its names."""
        for name, amount in counts.items():
            match name.split("|"):
                case ["cache", family, result]:
                    self._cache.labels(family, result).inc(amount)
                case ["requests", tier, outcome]:
                    self._limits.labels(tier, outcome).inc(amount)
                case ["sql", step]:
                    # The end of a step is at most a quarter more than what was measured.
                    seconds = SQL_SHORTEST * math.pow(SQL_STEP, int(step))
                    for _ in range(amount):
                        self._statements.observe(seconds)


recorder: Recorder | None = None


def start_serving(bind: str) -> None:
    """Record from here on in the memory of this process, and serve it at `bind` from a thread."""
    global recorder
    from prometheus_client import start_http_server

    recorder = Recorder()
    host, port = address_of(bind)
    start_http_server(port, host)


def start_in_slot(folder: Path, slot: int) -> None:
    """Record from here on in the files of the slot."""
    global recorder
    os.environ[FOLDER] = str(folder)
    from prometheus_client import values

    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
    recorder = Recorder()


def address_of(text: str) -> tuple[str, int]:
    """The host and the port of `127.0.0.1:9464`. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f'"{text}" is not like 127.0.0.1:9464.')
    return host.strip("[]"), int(port)
