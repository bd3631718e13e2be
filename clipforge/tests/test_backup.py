"""The drill of a backup: load, backup, more load, a crash, a restore; then everything is proven."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from clipforge import embedded
from clipforge.devtools.testing.service import ROOT, Service, durable_service
from clipforge.devtools.testing.videos import still

__all__ = ["still"]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with durable_service(WORK_LEASE_SECONDS="2") as made:
        yield made


@contextlib.contextmanager
def restored_into(folder: Path, of: Service) -> Iterator[Service]:
    """Other servers, empty, with the files of the first: as on the machine that takes its place."""
    with embedded.hold(folder):
        made = Service(folder, MEDIA_ROOT=str(of.media), WORK_LEASE_SECONDS="2")
        try:
            yield made
        finally:
            made.stop()


def refusal(service: Service, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=service.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.slow
@pytest.mark.faults
def test_after_a_crash_a_backup_restores_money_jobs_and_files(
    service: Service, still: Path, tmp_path: Path
):
    client = service.customer("Before", 100)
    waiting, running = (client.upload(still)["id"] for _ in range(2))
    with service.sql() as sql:  # a worker had taken one when it all ended
        sql.execute(
            "UPDATE projects_project SET status = 'ANALYZING', fence = 1, attempts = 1,"
            " lease_expires_at = now() WHERE id = %s",
            [running],
        )
        sql.execute("UPDATE credits_credithold SET fence = 1 WHERE reference_id = %s", [running])
    backups = tmp_path / "backups"
    made = service.manage_json("backup", str(backups))
    assert [path.suffix for path in sorted(backups.iterdir())] == [".dump", ".json"]
    assert {path.stat().st_mode & 0o077 for path in [backups, *backups.iterdir()]} == {0}

    # What comes later is lost, but for its file.
    client.upload(still)
    service.crash_database()
    (dump,) = backups.glob("*.dump")

    with restored_into(tmp_path / "other", service) as other:
        printed = other.manage("restore", str(dump))
        assert "Breaches of the ledger: 0. Jobs that workers will take up: 2." in printed
        assert "missing" not in printed
        assert re.match(r"Restored in [\d.]+ s \(RTO\), as of [\d-]+ [\d:]+ UTC \(RPO\)\.", printed)

        other.start_web()
        other.start_worker()
        again = type(client)(other.url, _key_of(client), timeout=200)
        other.clients.append(again)
        for project in (waiting, running):
            found = again.wait(f"projects/{project}", seconds=200)
            assert found["status"] in {"READY", "EMPTY"}
        charged = sum(
            again.get(f"projects/{project}")["credits"]["charged"] for project in (waiting, running)
        )
        assert again.get("credits/balance")["posted"] == 100 - charged
        assert [each["id"] for each in again.pages("projects")] == [running, waiting]
        other.manage("reconcile_credits")
    assert json.loads(dump.with_suffix(".json").read_text())["at"] == made["at"].replace(" ", "T")


def test_what_is_not_whole_is_not_restored_and_only_the_newest_are_kept(
    service: Service, tmp_path: Path
):
    folder = tmp_path / "kept"
    for _ in range(3):
        service.manage("backup", str(folder), "--keep", "2")
    dumps = sorted(folder.glob("*.dump"))
    assert (len(dumps), len(list(folder.iterdir()))) == (2, 4)
    with dumps[0].open("ab") as file:
        file.write(b"x")
    assert "its digest is another" in refusal(service, "restore", str(dumps[0]))
    dumps[1].with_suffix(".json").unlink()
    assert "is no backup" in refusal(service, "restore", str(dumps[1]))


def test_the_script_of_the_compose_file_writes_what_restore_takes(service: Service, tmp_path: Path):
    programs = embedded.postgres_programs()
    assert programs is not None
    url = conninfo_to_dict(service.environment["DATABASE_URL"])
    for _ in range(2):
        subprocess.run(
            ["bash", str(ROOT / "clipforge/deploy/backup.sh"), "--once"],  # noqa: S607 - of this machine
            env={
                "PATH": f"{programs}:{os.environ['PATH']}",
                "PGHOST": str(url["host"]),
                "PGUSER": str(url["user"]),
                "PGDATABASE": str(url["dbname"]),
                "BACKUPS": str(tmp_path),
            },
            check=True,
        )
    first, second = sorted(tmp_path.glob("*.dump"))
    assert len(list(tmp_path.iterdir())) == 4
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
    # Whole, so that it is only the database that is not empty.
    for dump in (first, second):
        assert "This database is not empty" in refusal(service, "restore", str(dump))


def test_a_dump_that_fails_or_is_killed_leaves_nothing_that_would_fill_the_disk(tmp_path: Path):
    programs, backups = tmp_path / "bin", tmp_path / "backups"
    programs.mkdir()
    backups.mkdir()

    def dump(pg_dump: str) -> int:
        # They write as PostgreSQL's do until the disk is full, or the machine goes.
        for name, does in (("psql", "date -u +%FT%T.%6N"), ("pg_dump", pg_dump)):
            program = programs / name
            program.write_text(f"#!/bin/bash\nfor each; do file=${{each#--file=}}; done\n{does}\n")
            program.chmod(0o755)
        done = subprocess.run(
            ["bash", str(ROOT / "clipforge/deploy/backup.sh"), "--once"],  # noqa: S607 - of this machine
            env={"PATH": f"{programs}:{os.environ['PATH']}", "BACKUPS": str(backups)},
            capture_output=True,
        )
        return done.returncode

    assert dump('echo half >"$file"; exit 1') == 1
    assert list(backups.iterdir()) == []
    assert dump('echo half >"$file"; kill -KILL $PPID') == -9
    (left,) = backups.glob("*.part")
    os.utime(left, (0, 0))
    assert dump(f'[ ! -e "{left}" ] && echo whole >"$file"') == 0
    assert sorted(path.suffix for path in backups.iterdir()) == [".dump", ".json"]


def _key_of(client: object) -> str:
    http = client._http  # type: ignore[attr-defined]
    return str(http.headers["Authorization"]).removeprefix("Bearer ")
