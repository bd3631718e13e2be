"""Counters of the service and the machine during the load."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.metrics import metrics
from clipforge.common.cache.redis import RedisError
from clipforge.devtools.loadtest import host


@dataclass(frozen=True)
class Sample:
    at: float
    counted: Counter[str]
    host: host.CpuReading
    cpu: dict[str, float]  # seconds, by who used them


class LoadMonitor:
    """`web` and `generator` are pids; None for a service that was there already."""

    def __init__(self, *, web: int | None, generator: int) -> None:
        self._web = web
        self._generator = generator
        self._first = self._sample()
        self._last = self._first

    def stop(self) -> None:
        """Call before the generator ends: then its CPU time is known no more."""
        self._last = self._sample()

    @property
    def counted(self) -> Counter[str]:
        """The counts of the service since the first snapshot."""
        return self._last.counted - self._first.counted

    def figures(self, requests: int) -> dict[str, Any]:
        """For the report. Times are CPU seconds as a share of what all cores could give."""
        elapsed = self._last.at - self._first.at
        used = {name: self._last.cpu[name] - self._first.cpu[name] for name in self._first.cpu}
        all_in_all = self._last.host.since(self._first.host)
        used["other processes"] = max(0.0, all_in_all.busy - sum(used.values()))
        used |= {"busy": all_in_all.busy, "stolen by the host": all_in_all.stolen}
        web = used.get("web")
        return {
            "web CPU, ms a request": None
            if web is None
            else round(web * 1000 / max(requests, 1), 2),
            "seconds": round(elapsed, 1),
            **{
                f"CPU: {name}": f"{share:.1%}" for name, share in host.shares(used, elapsed).items()
            },
            "a process waited for a core": f"{all_in_all.waited / elapsed:.1%}",
            "git": revision(),
            **host.describe(),
        }

    def _sample(self) -> Sample:
        cpu = {"locust": host.cpu_of_family(self._generator)}
        if self._web is not None:
            cpu["web"] = host.cpu_of_family(self._web)
        cpu |= {"PostgreSQL": _cpu_of_postgresql(), "Redis": _cpu_of_redis()}
        return Sample(time.monotonic(), _totals(), host.read(), cpu)


def revision() -> str:
    """The commit of this checkout, and whether it was changed."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],  # noqa: S607 - whichever is there
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "no checkout"


def _totals() -> Counter[str]:
    try:
        return metrics.totals()
    except RedisError:
        return Counter()


def _cpu_of_postgresql() -> float:
    """Of the backends that are there; those of another machine count as nothing."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity")
        return host.cpu_of(pid for (pid,) in cursor.fetchall())


def _cpu_of_redis() -> float:
    try:
        info = default_cache().redis.info("cpu")
    except RedisError:
        return 0.0
    return float(info["used_cpu_user"] + info["used_cpu_sys"])
