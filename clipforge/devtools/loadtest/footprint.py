"""The footprint of a service on its machine and its servers at one moment, and whether it keeps growing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from django.db import connection

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.redis import RedisError
from clipforge.devtools.loadtest import host

# How much more than after warm-up is no growth: percent, and besides so much of what is counted.
ALLOWED: Mapping[str, tuple[int, int]] = {
    "memory of web, MB": (15, 20),
    "memory of workers, MB": (15, 20),
    "descriptors of web": (10, 16),
    "descriptors of workers": (10, 16),
    "connections to PostgreSQL": (10, 4),
    "clients of Redis": (10, 8),
}
# These grow with what is done, which is what they are for; clipforge/docs/bounds.md has their bounds.
TABLES = 5


class Growth(NamedTuple):
    """One figure at the start, after warm-up and at the end. `is_flat` is None where it may grow."""

    what: str
    start: float
    warm: float
    end: float
    is_flat: bool | None


def footprint(*, web: int, worker: int) -> dict[str, float]:
    """The figures of now, by their names; those of tables last."""
    found: dict[str, float] = {}
    for name, pid in (("web", web), ("workers", worker)):
        found[f"memory of {name}, MB"] = round(host.memory_of_family(pid), 1)
        found[f"descriptors of {name}"] = descriptors_of_family(pid)
    return {**found, **_of_redis(), **_of_postgresql()}


def growths(
    start: Mapping[str, float], warm: Mapping[str, float], end: Mapping[str, float]
) -> list[Growth]:
    return [
        Growth(
            what,
            start.get(what, 0),
            warm.get(what, 0),
            last,
            is_flat(what, warm.get(what, 0), last),
        )
        for what, last in end.items()
    ]


def is_flat(what: str, warm: float, end: float) -> bool | None:
    """Whether a figure stayed where it was after warm-up; None for one that grows with use."""
    if what not in ALLOWED:
        return None
    percent, more = ALLOWED[what]
    return end <= warm * (100 + percent) / 100 + more


def descriptors_of_family(pid: int) -> int:
    """Open files and sockets of a process and its descendants."""
    return sum(_descriptors(member) for member in host.family(pid))


def _descriptors(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it has ended
        return 0


def _of_redis() -> dict[str, float]:
    try:
        redis = default_cache().redis
        info = redis.info()
        keys = int(redis.dbsize())
    except RedisError:
        return {}
    return {
        "clients of Redis": info["connected_clients"],
        "memory of Redis, MB": round(info["used_memory"] / 1e6, 1),
        "keys of Redis": keys,
    }


def _of_postgresql() -> dict[str, float]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name LIKE 'clipforge%%'"
            " AND pid <> pg_backend_pid()"
        )
        (connections,) = cursor.fetchone()
        cursor.execute(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = current_schema()::regnamespace ORDER BY 2 DESC, 1 LIMIT %s",
            [TABLES],
        )
        tables = {f"table {name}, MB": round(size / 1e6, 2) for name, size in cursor.fetchall()}
        cursor.execute("SELECT pg_database_size(current_database())")
        (size,) = cursor.fetchone()
    return {
        "connections to PostgreSQL": connections,
        "database, MB": round(size / 1e6, 1),
        **tables,
    }
