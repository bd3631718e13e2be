"""Faults of what stands around web: nginx before it, PgBouncer behind it, web itself between both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from clipforge.devtools.testing.drills.faults import END_ALL, STOPPING_SECONDS
from clipforge.devtools.testing.drills.load import Load, Stand, service_environment
from clipforge.devtools.testing.redis_server import RedisServer, redis_server
from clipforge.devtools.testing.service import Service, eventually, running_service
from clipforge.devtools.testing.topology import NGINX, PGBOUNCER, Nginx, Pooler, nginx, pooler

MISSING = "" if NGINX and PGBOUNCER else "it needs nginx and pgbouncer"
# Eight threads of web share so many connections.
POOL_SIZE = 2


class Topology(Stand):
    """A customer before nginx; web reaches PostgreSQL through PgBouncer, `service` past both."""

    def __init__(
        self, service: Service, cache: RedisServer, *, web: Service, front: Nginx, pool: Pooler
    ) -> None:
        super().__init__(service, cache, url=front.url, trust=front.trust)
        self.pooled = web
        self.front = front
        self.pool = pool
        self.web = web.processes[0]


@contextlib.contextmanager
def stand() -> Iterator[Topology]:
    with (
        redis_server() as cache,
        service_environment() as own,
        running_service(**own, REDIS_URL=cache.url) as service,
        pooler(service.environment["DATABASE_URL"], pool_size=POOL_SIZE) as pool,
    ):
        web = service.beside()
        web.environment |= {
            "MEDIA_ROOT": str(service.media),
            "DATABASE_URL": pool.address,
            "DATABASE_POOLER": "true",
            "HTTPS": "true",
            "ACCEL_REDIRECT_PREFIX": "/stored/",
        }
        try:
            web.start_web()
            with nginx(f"127.0.0.1:{web.port}", service.media) as front:
                yield Topology(service, cache, web=web, front=front, pool=pool)
        finally:
            web.stop()


def pooler_killed(stand: Topology, load: Load) -> None:
    errors = load.counts.errors
    stand.pool.kill()
    eventually("a request is refused", lambda: load.counts.errors > errors)
    stand.pool.start()


def proxy_killed(stand: Topology, load: Load) -> None:
    broken = load.counts.broken
    stand.front.kill()
    eventually("a request is broken off", lambda: load.counts.broken > broken)
    stand.front.start()


def both_killed(stand: Topology, load: Load) -> None:
    """The pooler first, and back last: requests come through again that find no database."""
    counts = load.counts
    errors, broken = counts.errors, counts.broken
    stand.pool.kill()
    eventually("a request is refused", lambda: counts.errors > errors)
    stand.front.kill()
    eventually("a request is broken off", lambda: counts.broken > broken)
    stand.front.start()
    errors = counts.errors
    eventually("a request is refused again", lambda: counts.errors > errors)
    stand.pool.start()


def backends_terminated(stand: Topology, load: Load) -> None:
    """Those that the pooler shares, in the middle of transactions or not."""
    with stand.service.sql() as connection:
        for _ in range(10):
            connection.execute(END_ALL)
            load.until_served(5)


def web_stopped(stand: Topology, load: Load) -> None:
    """nginx says for it that it comes back."""
    errors = load.counts.errors
    stand.web.terminate()
    assert stand.web.wait(STOPPING_SECONDS) == 0, "it did not stop properly"
    eventually("a request is refused", lambda: load.counts.errors > errors)
    stand.web = stand.pooled.start_web()


def proxy_reloaded(stand: Topology, load: Load) -> None:
    for _ in range(3):
        stand.front.reload()
        load.until_served(10)


FAULTS: dict[str, Callable[[Topology, Load], None]] = {
    "pooler killed and started": pooler_killed,
    "proxy killed and started": proxy_killed,
    "proxy and pooler killed and started": both_killed,
    "web behind the proxy stopped and started": web_stopped,
    "database backends behind the pooler terminated": backends_terminated,
    "proxy reloaded (HUP)": proxy_reloaded,
}
