"""The health check of a worker's container fails when no worker runs in it, and when it is frozen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from clipforge.devtools.testing.faults import environment
from clipforge.devtools.testing.service import eventually
from clipforge.stack import worker_command

ROOT = Path(__file__).resolve().parents[3]


def health_of(alive: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "clipforge/deploy/healthcheck.py", "alive"],
        cwd=ROOT,
        env={"ALIVE_FILE": str(alive)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr.strip()


@pytest.mark.django_db(transaction=True)
def test_a_worker_is_well_while_it_runs_and_not_before_nor_after(tmp_path: Path, capsys):
    alive = tmp_path / "alive"
    assert health_of(alive) == (1, f"nothing runs here: there is no {alive}")
    with pytest.raises(CommandError, match=r"^No worker lives; one was last seen: never\.$"):
        call_command("worker", check=True)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            worker_command(1),
            cwd=ROOT,
            env={**environment(), "ALIVE_FILE": str(alive)},
            stdout=log,
            stderr=log,
        )
    try:
        eventually("the worker says that it lives", alive.exists)
        assert health_of(alive) == (0, "")

        def is_known() -> bool:
            with connection.cursor() as cursor:
                cursor.execute("SELECT COUNT(*) FROM procrastinate_workers")
                return bool(cursor.fetchone() == (4,))

        eventually("its four parts are known to the database", is_known)
        call_command("worker", check=True)
        assert capsys.readouterr().out == "Workers alive: 1.\n"
    finally:
        process.terminate()
        assert process.wait(60) == 0
    assert health_of(alive)[0] == 1
    with pytest.raises(CommandError, match="No worker lives"):
        call_command("worker", check=True)


@pytest.mark.parametrize(("silent", "well"), [(25, True), (35, False)])
def test_a_frozen_worker_is_not_well(tmp_path: Path, silent: int, well: bool):
    alive = tmp_path / "alive"
    alive.touch()
    then = alive.stat().st_mtime - silent
    os.utime(alive, (then, then))
    code, said = health_of(alive)
    assert (code == 0) is well
    assert said == "" if well else said.startswith("it has given no sign of life for ")
