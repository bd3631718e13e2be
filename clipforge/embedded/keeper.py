"""The keeper: prepares, starts, watches and stops both servers of one data directory."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from clipforge.embedded import locks, processes
from clipforge.embedded.clusters import find_cluster, make_cluster, place_cluster
from clipforge.embedded.paths import LOGS, NAME, EmbeddedError, Site, make_own_directory
from clipforge.embedded.programs import find_programs, pick_account, prune_relocated, run_as

STOP_SECONDS = 25.0
# For servers that lost their keeper: how long they get to notice, to end cleanly, to end at all.
ORPHAN_NOTICE, ORPHAN_CLEAN, ORPHAN_END = 1.0, 15.0, 30.0

POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": NAME,
}
# Statistics change only when a test says so, and with them what the planner does.
THROW_AWAY_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}
REDIS_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",
    "appendonly": "no",
    "maxmemory": "256mb",
    # Everything ends by itself. A full Redis takes nothing new into the cache until something has,
    # rather than forget who is at a limit.
    "maxmemory-policy": "noeviction",
}


class Server(NamedTuple):
    process: subprocess.Popen[bytes]
    end: signal.Signals  # asks for a quick and clean end
    force: signal.Signals


class _Stop(Exception):
    """Raised by signal handlers, to end a wait; says why the servers are to stop."""


def keep(data: Path, *, durable: bool) -> None:
    """Prepare in the foreground, then go on as a daemon: who calls gets an exit code and a message."""
    site = Site.of(data)
    path, complaint = site.run / "keeper.lock", f"{site.data} has a keeper already."
    lock = locks.acquire(path, locks.EXCLUSIVE, time.monotonic() + 5, complaint)
    os.ftruncate(lock, 0)
    keeper = Keeper(site, durable=durable)
    if os.fork():
        os._exit(0)  # the child has the locks
    _detach(site.logs / "keeper.log")
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    keeper.run()


def _detach(log: Path) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for signum in (signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)


class Keeper:
    """Making one does all that can fail with a message to the user, and all that may take long."""

    def __init__(self, site: Site, *, durable: bool) -> None:
        self.site = site
        self.durable = durable
        self.servers: list[Server] = []
        self.users_lock = locks.open_lock(site.run / "users.lock")
        if os.geteuid() == 0:
            prune_relocated()
        self.account = pick_account(find_cluster(site))
        self.programs = find_programs(site, self.account, durable=durable)
        self.cluster = place_cluster(site, self.account, durable=durable)
        self.servers_lock = _take_over(site, self.cluster)
        make_cluster(
            self.cluster,
            self.programs.postgres,
            self.account,
            durable=durable,
            servers_lock=self.servers_lock,
        )
        self._clear_sockets()
        self._rotate_logs()

    def run(self) -> None:
        """Return when both servers have ended."""
        try:
            self._start()
            self._wait_for_last_user()
            _say("no process uses the servers any more")
        except _Stop as reason:
            _say(str(reason))
        finally:
            self._stop()

    def _clear_sockets(self) -> None:
        make_own_directory(self.site.tmp, traversable=self.account is not None)
        if self.site.sockets.exists():
            shutil.rmtree(self.site.sockets)
        self.site.sockets.mkdir(mode=0o700)
        if self.account:
            os.chown(self.site.sockets, *self.account)

    def _rotate_logs(self) -> None:
        for log in (self.site.logs / f"{name}.log" for name in LOGS):
            with suppress(FileNotFoundError):
                log.replace(f"{log}.1")

    def _start(self) -> None:
        self._spawn(self._postgres_command(), "postgresql", signal.SIGINT, signal.SIGQUIT)
        self._spawn(self._redis_command(), "redis", signal.SIGTERM, signal.SIGKILL)
        processes.note_pids(self.servers_lock, [each.process.pid for each in self.servers])
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGCHLD, self._check)
        # A signal that comes just before flock() would go unnoticed, so look every second as well.
        signal.signal(signal.SIGALRM, self._check)
        signal.setitimer(signal.ITIMER_REAL, 0.1, 1.0)

    def _postgres_command(self) -> list[str]:
        settings = POSTGRES_SETTINGS | ({} if self.durable else THROW_AWAY_SETTINGS)
        flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        program = str(self.programs.postgres / "bin/postgres")
        return [program, "-D", str(self.cluster), "-k", str(self.site.sockets), *flags]

    def _redis_command(self) -> list[str]:
        flags = [word for name, value in REDIS_SETTINGS.items() for word in (f"--{name}", value)]
        return [str(self.programs.redis), "--unixsocket", str(self.site.redis_socket), *flags]

    def _spawn(
        self, command: list[str], log: str, end: signal.Signals, force: signal.Signals
    ) -> None:
        with (self.site.logs / f"{log}.log").open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.site.sockets,  # Redis would load a dump.rdb that it finds where it starts
                env=processes.server_environment(),
                pass_fds=[self.servers_lock],
                preexec_fn=processes.die_with_parent(end),
                **run_as(self.account),
            )
        self.servers.append(Server(process, end, force))

    def _wait_for_last_user(self) -> None:
        """Return holding both locks, so that no process counts on servers that are about to stop."""
        transition = locks.open_lock(self.site.run / "transition.lock")
        while True:
            locks.wait_for_lock(self.users_lock, locks.EXCLUSIVE)
            # No user left, perhaps for this moment only. A newcomer has the transition lock when it
            # asks for this one, so give this up before asking for the other.
            locks.unlock(self.users_lock)
            locks.wait_for_lock(transition, locks.EXCLUSIVE)
            if locks.try_lock(self.users_lock, locks.EXCLUSIVE):
                return
            locks.unlock(transition)

    def _on_term(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        raise _Stop("told to stop")

    def _check(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        for server in self.servers:
            if server.process.poll() is not None:
                raise _Stop(f"ended by itself: {server.process}")
        if not locks.is_at(self.users_lock, self.site.run / "users.lock"):
            raise _Stop("the data directory was deleted")

    def _stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for server in self.servers:
            server.process.send_signal(server.end)
        for server in self.servers:
            try:
                server.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                _say(f"had to be forced: {server.process}")
                server.process.send_signal(server.force)
                server.process.wait()
        shutil.rmtree(self.site.tmp, ignore_errors=True)
        _say("stopped")


def _take_over(site: Site, cluster: Path) -> int:
    """Hold servers.lock, which is free once no process of earlier servers is left; end those."""
    path, begun = site.tmp / "servers.lock", time.monotonic()
    while True:
        make_own_directory(site.tmp, traversable=True)  # a keeper that ends removes it
        fd = locks.open_lock(path)
        if locks.try_lock(fd, locks.EXCLUSIVE) and locks.is_at(fd, path):
            break
        os.close(fd)
        _end_orphans(site, cluster, time.monotonic() - begun)
        time.sleep(locks.POLL_SECONDS)
    while processes.running_servers(site, cluster):  # started by hand, without our lock
        _end_orphans(site, cluster, time.monotonic() - begun)
        time.sleep(locks.POLL_SECONDS)
    # Its pid may be another process by now, which would keep PostgreSQL from starting.
    (cluster / "postmaster.pid").unlink(missing_ok=True)
    return fd


def _end_orphans(site: Site, cluster: Path, waited: float) -> None:
    """To be called again and again: patient, then firm, then EmbeddedError.

    A repeated SIGINT changes nothing for PostgreSQL, and Redis has nothing to save.
    """
    pids = processes.running_servers(site, cluster)
    if waited > ORPHAN_END:
        raise EmbeddedError(f"Earlier servers of {site.data} do not end: {pids or site.tmp}.")
    if waited > ORPHAN_NOTICE:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT if waited < ORPHAN_CLEAN else signal.SIGQUIT)


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
    sys.stderr.flush()
