"""The faults that break a service under load, each in the middle of it."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import redis

from clipforge.devtools.testing import fault_injection
from clipforge.devtools.testing.drills.load import ANSWER_SECONDS, Load, Stand, status_of
from clipforge.devtools.testing.service import TLS, Service, eventually
from clipforge.devtools.testing.stripe import WEBHOOK_SECRET, Stripe
from clipforge.media.sample import make_still

# The path of a link to the finished export, made now.
SIGN = """
from exports.downloads import signed_url
from exports.models import Export
print(signed_url(Export.objects.get(status="READY")))
"""
# How long such a link lives. Seconds.
LINK_SECONDS = 900

# Every connection of the service, whatever it is doing.
END_ALL = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name LIKE 'clipforge%' AND pid <> pg_backend_pid()
"""

# gunicorn and the workers stop within their grace of thirty, or not at all. Seconds.
STOPPING_SECONDS = 100


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

    def a_request_was_hit() -> bool:
        connection.execute(END_ALL)
        load.until_served(3)
        return load.counts.errors > errors

    with stand.service.sql() as connection:
        for _ in range(5):
            eventually("a request was in a transaction", a_request_was_hit)
            errors = load.counts.errors


def connections_exhausted(stand: Stand, load: Load) -> None:
    """Another client takes every connection that there is, and the service loses its own.

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
        eventually("a request is refused", lambda: load.counts.errors > errors)


def is_red(service: Service) -> bool:
    answer = httpx.get(f"{service.url}/health/ready", timeout=ANSWER_SECONDS, verify=TLS)
    if answer.status_code == 200:  # by a thread that still has a connection
        return False
    assert (answer.status_code, answer.json()["status"]) == (503, "down"), answer.text
    return int(answer.headers["Retry-After"]) > 0


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
        assert [status_of(f"{each.url}{link}") for each in servers] == [200, 200]
    long_ago = fault_injection.clock_off_by(-(LINK_SECONDS + abs(seconds) + 60))
    link = stand.service.manage("shell", "-v", "0", "-c", SIGN, injection=long_ago).strip()
    assert [status_of(f"{each.url}{link}") for each in servers] == [403, 403]


def _events_count_once(stand: Stand, other: Service, seconds: float) -> None:
    """An event signed now is refused by the wrong clock and sent again; one signed by that clock counts once."""
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
