"""Backups of the database: a dump of one moment, its restore into an empty database, and what is proven then.

PostgreSQL's own programs do the work: those of the wheel, or else those of this machine. Media is
referenced, not copied; the store has backups of its own. A dump is written aside and gets its name
once it is whole.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from psycopg.conninfo import make_conninfo

from clipforge import embedded
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.redis import RedisError
from clipforge.common.errors import Conflict, Invalid, Unavailable
from clipforge.jobs import store_audit
from credits import reconciling

SUFFIX = ".dump"
# When anything was written last, by what is written all the time; each has an index.
NEWEST_ROW = """
SELECT greatest(
    (SELECT MAX(created_at) FROM credits_credittransaction),
    (SELECT MAX(created_at) FROM projects_project),
    (SELECT MAX(created_at) FROM exports_export)
)
"""
ACTOR = "system:restore"


class Backup(NamedTuple):
    """A dump. What was committed before `at` is in it; what came later is not."""

    path: Path
    at: datetime.datetime
    bytes: int


class Proof(NamedTuple):
    """The state of a restored database: how long that took, what is wrong, what is waited for."""

    at: datetime.datetime
    seconds: float
    breaches: int
    rows_without_file: list[str]
    open_jobs: int
    cache_emptied: bool


def back_up(folder: Path, *, keep: int | None) -> Backup:
    """Dump the database into the folder; of older dumps `keep` in all stay. Raises Unavailable."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    at = _now()
    path = folder / f"clipforge-{at:%Y%m%dT%H%M%S.%f}Z{SUFFIX}"
    aside = path.with_suffix(".part")
    aside.touch(mode=0o600)
    try:
        _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={aside}")
        found = {
            "at": at.isoformat(),
            "sha256": _digest(aside),
            "release": settings.RELEASE,
        }
        _write(path.with_suffix(".json"), json.dumps(found))
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)
    if keep is not None:
        for old in backups_in(folder)[:-keep]:
            old.unlink()
            old.with_suffix(".json").unlink(missing_ok=True)
    return Backup(path, at, path.stat().st_size)


def backups_in(folder: Path) -> list[Path]:
    """Whole dumps, the oldest first."""
    return sorted(folder.glob(f"clipforge-*{SUFFIX}"))


def restore(path: Path) -> Proof:
    """Restore a dump into the database of the settings, which has to be empty, and prove the result.

    All of it or nothing. Raises Conflict where there are tables, Invalid for a dump that is not
    whole, Unavailable.
    """
    started = time.monotonic()
    at = _require_whole(path)
    if connection.introspection.table_names():
        raise Conflict(
            "This database is not empty, and a restore would mix two of them. Restore into a new one: "
            "another CLIPFORGE_DATA, or DATABASE_URL of a database just created."
        )
    connection.close()
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    _run("pg_restore", *options, str(path))
    call_command("migrate", interactive=False, verbosity=0)
    return _proof(at, started)


def prove() -> Proof:
    """The state of the database as PostgreSQL itself recovered it: of when it is, and what is wrong.

    Empties the cache too, which is of later rows. Raises Conflict while the recovery goes on.
    """
    started = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        (is_recovering,) = cursor.fetchone()
        if is_recovering:
            raise Conflict(
                "PostgreSQL is still recovering. Wait until its log says that it is done."
            )
        cursor.execute(NEWEST_ROW)
        (at,) = cursor.fetchone()
    return _proof(at or _now(), started)


def _proof(at: datetime.datetime, started: float) -> Proof:
    emptied = _empty_cache()
    _, breaches = reconciling.check_ledger(actor=ACTOR)
    missing = [
        finding.subject
        for finding in store_audit.findings(now=time.time())
        if finding.problem == store_audit.ROW_WITHOUT_FILE
    ]
    seconds = time.monotonic() - started
    return Proof(at, seconds, len(breaches), missing, _open_jobs(), emptied)


def _require_whole(path: Path) -> datetime.datetime:
    """When the dump is of. Raises Invalid."""
    try:
        found = json.loads(path.with_suffix(".json").read_text())
        is_whole = _digest(path) == found["sha256"]
        at = datetime.datetime.fromisoformat(found["at"])
    except (OSError, ValueError, KeyError) as error:
        raise Invalid(f"{path} is no backup, or its .json is not beside it: {error}") from error
    if not is_whole:
        raise Invalid(f"{path} is not what was written: its digest is another.")
    return at


def _empty_cache() -> bool:
    """Of rows that are newer than the restored ones Redis would answer what is no more. False: it is away."""
    try:
        default_cache().redis.flushdb()
    except RedisError:
        return False
    return True


def _open_jobs() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM jobs_jobplace")
        (count,) = cursor.fetchone()
    return int(count)


def _now() -> datetime.datetime:
    """The clock of the database, by which rows are dated."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    found: datetime.datetime = now
    return timezone.localtime(found, datetime.UTC)


def _run(program: str, *arguments: str) -> None:
    params: dict[str, Any] = connection.get_connection_params()
    password = params.get("password") or ""
    wanted = ("host", "port", "dbname", "user", "sslmode", "sslrootcert", "sslcert", "sslkey")
    address = make_conninfo(**{name: params[name] for name in wanted if params.get(name)})
    done = subprocess.run(
        [str(_program(program)), f"--dbname={address}", *arguments],
        # A password on the command line is for everybody on the machine to read.
        env={**os.environ, "PGPASSWORD": str(password)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"{program} failed: {done.stderr.strip()[-500:]}")


def _program(name: str) -> Path:
    """The client of PostgreSQL of this name. Raises Unavailable."""
    folder = embedded.postgres_programs()
    if folder is not None and (folder / name).is_file():
        return folder / name
    found = shutil.which(name)
    if found is None:
        raise Unavailable(
            f"There is no {name} here. Install the client of PostgreSQL 18 (postgresql-client-18), or run "
            "this where it is."
        )
    return Path(found)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
