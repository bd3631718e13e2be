"""The interface of the package: leases on running servers."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from clipforge.embedded import locks
from clipforge.embedded.paths import (
    NAME,
    EmbeddedError,
    ServerUrls,
    Site,
    log_tails,
    require_own_directory,
    urls,
)

START_SECONDS = 120.0  # a second when idle, but initdb on a busy machine takes its time
STOP_SECONDS = 60.0


class Lease:
    """The servers run until this is released, or until the process ends in whatever way.

    A forked child has no part in it: the lease ends with the process that took it.
    """

    def __init__(self, users: int, where: ServerUrls) -> None:
        self.urls = where
        self._users: int | None = users
        _leases.add(self)

    def release(self) -> None:
        """Return at once; the servers stop a moment later if this was the last lease."""
        if self._users is not None:
            locks.unlock(self._users)
        self._close()

    def _close(self) -> None:
        _leases.discard(self)
        if self._users is not None:
            os.close(self._users)
        self._users = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


_leases: set[Lease] = set()


def _disown_leases() -> None:
    # Closing leaves the parent's lock alone; unlocking would take it away.
    for lease in list(_leases):
        lease._close()


os.register_at_fork(after_in_child=_disown_leases)


def hold(data: Path, *, durable: bool = True) -> Lease:
    """Make sure that both servers run and answer, with a database, and keep them for this lease.

    Waits for a start or a stop under way; takes two minutes at most. Raises EmbeddedError.

    `durable=False` is for data that may be lost: what is written survives a crash of the servers,
    not one of the machine. It counts for the process that starts the servers. A later `durable=False` shares
    durable ones; a later `durable=True` refuses throw-away ones.
    """
    site = Site.of(data)
    deadline = time.monotonic() + START_SECONDS
    busy = f"Other processes have been starting or stopping the servers of {site.data} too long."
    try:
        site.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        site.logs.mkdir(exist_ok=True)
        transition = locks.acquire(site.run / "transition.lock", locks.EXCLUSIVE, deadline, busy)
        try:
            users = locks.acquire(site.run / "users.lock", locks.SHARED, deadline, busy)
            try:
                _ensure_running(site, durable, deadline)
            except BaseException:
                os.close(users)
                raise
        finally:
            os.close(transition)
    except OSError as error:
        raise EmbeddedError(
            f"Cannot use the data directory {site.data}: {error}."
            " Use the account that owns it, or set CLIPFORGE_DATA to a folder of your own."
        ) from error
    return Lease(users, urls(data))


@contextlib.contextmanager
def alone(data: Path, name: str, *, seconds: float, complaint: str) -> Iterator[None]:
    """Keep other commands of this data directory out of a block of that name, while the servers run.

    Raises EmbeddedError(complaint) when another is in it for longer. The end of the process ends it, too.
    """
    path = Site.of(data).run / f"{name}.lock"
    lock = locks.acquire(path, locks.EXCLUSIVE, time.monotonic() + seconds, complaint)
    try:
        yield
    finally:
        os.close(lock)


def keeper_pid(data: Path) -> int | None:
    """None without a keeper, 0 while one prepares, its pid once any server that answers is its."""
    lock = Site.of(data).run / "keeper.lock"
    return int(lock.read_text() or 0) if locks.is_held(lock) else None


def wait_stopped(data: Path, seconds: float = STOP_SECONDS) -> bool:
    """Wait until neither the keeper nor a process of a server is left; False if some outlive it."""
    site = Site.of(data)
    deadline = time.monotonic() + seconds
    while locks.is_held(site.run / "keeper.lock") or locks.is_held(site.tmp / "servers.lock"):
        if time.monotonic() > deadline:
            return False
        time.sleep(locks.POLL_SECONDS)
    return True


def stop(data: Path) -> bool:
    """Stop the servers even if others use them; False if there was nothing to stop."""
    pid = keeper_pid(data)
    if not pid:
        return False
    os.kill(pid, signal.SIGTERM)
    return wait_stopped(data)


def _ensure_running(site: Site, durable: bool, deadline: float) -> None:
    launched = False
    while True:
        if os.path.lexists(site.tmp):
            require_own_directory(site.tmp)
        keeper = keeper_pid(site.data)
        if keeper and _answer(site, durable):
            return
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"The servers of {site.data} do not answer in {site.sockets} (keeper: {keeper})."
                " If they run in another container, give each container a data directory."
                + log_tails(site)
            )
        if keeper is None and launched:
            raise EmbeddedError(f"The servers of {site.data} did not start.{log_tails(site)}")
        if keeper is None:
            _launch_keeper(site, durable, deadline)
            launched = True
        else:
            time.sleep(locks.POLL_SECONDS)


def _launch_keeper(site: Site, durable: bool, deadline: float) -> None:
    """Return once the keeper goes on to start the servers, and all before that went well."""
    root = str(Path(__file__).resolve().parents[2])
    python_path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "clipforge.embedded", "keep", str(site.data)]
    try:
        done = subprocess.run(
            command if durable else [*command, "--throw-away"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": python_path},
            start_new_session=True,  # Ctrl-C in a terminal means the command, not the servers
            timeout=max(1.0, deadline - time.monotonic()),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EmbeddedError(f"Preparing the servers of {site.data} took too long.") from error
    if done.returncode:
        raise EmbeddedError(done.stderr.strip() or f"The keeper of {site.data} was killed.")


def _answer(site: Site, durable: bool) -> bool:
    """Ask both servers a real question, and make the database if it is missing."""
    import psycopg  # here and not above, because settings read `urls` and the keeper runs for long
    import redis

    where = urls(site.data)
    try:
        with psycopg.connect(
            where.database, dbname="postgres", autocommit=True, connect_timeout=5
        ) as connection:
            fsync = connection.execute("SELECT current_setting('fsync')").fetchone()
            known = "SELECT 1 FROM pg_database WHERE datname = %s"
            if not connection.execute(known, [NAME]).fetchone():
                connection.execute(f"CREATE DATABASE {NAME}".encode())
        with redis.Redis.from_url(where.redis, socket_timeout=5) as client:
            client.ping()
    except (psycopg.OperationalError, redis.RedisError):
        return False
    if durable and fsync == ("off",):
        raise EmbeddedError(
            f"The servers of {site.data} run for throw-away data, which is no place for real data."
            " Stop what uses them, or use another data directory."
        )
    return True
