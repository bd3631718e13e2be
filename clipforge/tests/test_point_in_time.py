"""Recovery to a moment between two transactions, from a base and the log as it was received."""

from __future__ import annotations

import datetime
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from clipforge import embedded
from clipforge.devtools.testing.service import ROOT, Service, durable_service, eventually
from clipforge.devtools.testing.videos import still
from clipforge.embedded.clusters import find_cluster
from clipforge.embedded.paths import Site

__all__ = ["still"]

pytestmark = [pytest.mark.faults, pytest.mark.long, pytest.mark.timeout(900)]

# The log is with the archive, whatever happens to the server from now on.
RECEIVED = """
SELECT bool_or(flush_lsn >= pg_current_wal_flush_lsn()) FROM pg_stat_replication
 WHERE application_name = 'pg_receivewal'
"""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with durable_service() as made:
        yield made


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that the account of PostgreSQL can reach."""
    with tempfile.TemporaryDirectory(prefix="cf-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def environment(service: Service, archive: Path) -> dict[str, str]:
    url = conninfo_to_dict(service.environment["DATABASE_URL"])
    return {
        "PATH": f"{embedded.postgres_programs()}:{os.environ['PATH']}",
        "PGHOST": str(url["host"]),
        "PGUSER": str(url["user"]),
        "PGDATABASE": str(url["dbname"]),
        "ARCHIVE": str(archive),
    }


def pitr(service: Service, archive: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "clipforge/deploy/pitr.sh"), *arguments],  # noqa: S607 - of this machine
        env=environment(service, archive),
        capture_output=True,
        text=True,
        check=False,
    )


def succeeds(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_database_comes_back_as_of_a_moment_between_two_transactions(
    service: Service, place: Path, still: Path
):
    archive = place / "archive"
    receiving = subprocess.Popen(
        ["bash", str(ROOT / "clipforge/deploy/pitr.sh"), "receive"],  # noqa: S607 - of this machine
        env=environment(service, archive),
    )
    try:
        client = service.customer("Acme", 100)
        succeeds(pitr(service, archive, "base"))
        project = client.upload(still)["id"]
        with service.sql() as sql:
            row = sql.execute("SELECT clock_timestamp()").fetchone()
            assert row is not None
            (moment,) = row
            client.upload(still)
            committed = time.monotonic()
            eventually("the archive has it", lambda: sql.execute(RECEIVED).fetchone() == (True,))
            rpo = time.monotonic() - committed
        service.crash_database()  # what was not received by now may be lost
    finally:
        receiving.terminate()
        receiving.wait(60)

    other = place / "other"
    other.mkdir(mode=0o755)
    begun = time.monotonic()
    said = succeeds(
        pitr(
            service,
            archive,
            "restore",
            f"{moment.astimezone(datetime.UTC):%F %T.%f} UTC",
            str(other / "postgres"),
        )
    )
    assert "from the base 20" in said
    give(other / "postgres", find_cluster(Site.of(service.data)))
    for folder, _, names in os.walk(archive):  # PostgreSQL reads it under an account of its own
        Path(folder).chmod(0o755)
        for name in names:
            Path(folder, name).chmod(0o644)
    with embedded.hold(other):
        recovered = Service(other, MEDIA_ROOT=str(service.media))
        try:
            with recovered.sql() as sql:
                eventually("it is recovered", lambda: is_done(sql))
            said = recovered.manage("restore", "--recovered")
            rto = time.monotonic() - begun
            assert said.startswith("Proved in ")
            assert "Breaches of the ledger: 0. Jobs that workers will take up: 1." in said
            assert "missing" not in said
            with recovered.sql() as sql:
                # What the first upload reserved is held, and the second never was.
                found = sql.execute("SELECT posted, held FROM credits_creditaccount").fetchone()
                kept = sql.execute("SELECT id::text FROM projects_project").fetchall()
            assert (found, kept) == ((100, 1), [(project,)])
        finally:
            recovered.stop()
    embedded.wait_stopped(other)
    print(f"RPO {rpo:.2f} s, RTO {rto:.1f} s")  # noqa: T201 - what the drill is for


def give(cluster: Path, to_owner_of: Path) -> None:
    """PostgreSQL refuses root, and files of others."""
    owner = to_owner_of.stat()
    for path in [cluster, *cluster.rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid)


def is_done(sql: Any) -> bool:
    return bool(sql.execute("SELECT NOT pg_is_in_recovery()").fetchone() == (True,))


def test_only_as_much_of_the_log_is_kept_as_the_bases_need(service: Service, place: Path):
    archive = place / "kept"
    for _ in range(3):
        succeeds(pitr(service, archive, "base"))
    assert len(list((archive / "bases").iterdir())) == 2
    assert {path.stat().st_mode & 0o077 for path in archive.iterdir()} == {0}


def test_what_cannot_be_restored_is_said_in_a_sentence(service: Service, place: Path):
    archive, target = place / "early", place / "target"
    refused = pitr(service, archive, "restore", "2026-11-01 00:00 UTC", str(target))
    assert refused.stderr == "There is no base from before 2026-11-01 00:00 UTC.\n"
    succeeds(pitr(service, archive, "base"))
    target.mkdir()
    refused = pitr(service, archive, "restore", "latest", str(target))
    assert refused.stderr == f"{target} is there already: name a folder that is not.\n"
    usage = pitr(service, archive)
    assert (usage.returncode, usage.stderr.splitlines()[0]) == (
        2,
        "Recovery of the database to any moment: its log, received as it is written, and bases to begin from.",
    )
