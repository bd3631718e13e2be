"""Any command as the first one on a machine, and on one where it cannot run: one sentence, no trace."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from clipforge import embedded
from clipforge.devtools.testing.service import ROOT

pytestmark = pytest.mark.slow

# For a command to end, on however busy a machine. Seconds.
PATIENCE = 200


@contextlib.contextmanager
def new_folder() -> Iterator[Path]:
    """A data directory with a short path, as sockets need."""
    with tempfile.TemporaryDirectory(prefix="cf-") as folder:
        yield Path(folder)
        embedded.wait_stopped(Path(folder))  # else they write while it is emptied


@pytest.fixture
def new_data() -> Iterator[Path]:
    with new_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """One that is prepared; used by one test after another, in any order."""
    with new_folder() as folder:
        assert ended(start(folder, "reconcile_credits"))[0] == 0
        yield folder


@pytest.fixture(scope="module")
def servers(data: Path) -> Iterator[embedded.ServerUrls]:
    with embedded.hold(data):
        yield embedded.urls(data)


def start(
    data: Path,
    *arguments: str,
    stdout: int = subprocess.PIPE,
    environment: dict[str, str] | None = None,
) -> subprocess.Popen[str]:
    # Python sets SIG_IGN aside for none that was started with it, as what a shell has in the background is.
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "CLIPFORGE_DATA": str(data), **(environment or {})},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, what it printed, and what it complained about."""
    out, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, out, errors


def complaint(process: subprocess.Popen[str]) -> str:
    """Of a command that failed: the whole of its errors, which must be no trace."""
    status, _, errors = ended(process)
    assert status == 1
    assert "Traceback" not in errors
    return errors


def test_the_first_commands_prepare_the_database_once_also_at_the_same_moment(new_data: Path):
    commands = [
        ["create_org", "One"],
        ["create_org", "Other"],
        ["reconcile_credits"],
        ["storage", "audit"],
    ]
    results = [ended(each) for each in [start(new_data, *command) for command in commands]]
    assert [status for status, _, _ in results] == [0] * 4, results
    assert sum(errors.count("Preparing the database in") for _, _, errors in results) == 1
    status, _, errors = ended(start(new_data, "reconcile_credits"))
    assert (status, errors) == (0, "")


def test_a_database_of_ones_own_is_left_alone_and_what_to_do_is_said(
    data: Path, servers: embedded.ServerUrls
):
    with psycopg.connect(servers.database, autocommit=True) as connection:
        connection.execute("CREATE DATABASE theirs")
    secrets = {"SECRET_KEY": "s" * 50, "API_KEY_PEPPER": "p" * 50}
    theirs = servers.database.removesuffix("clipforge") + "theirs"
    own = {"DATABASE_URL": theirs, "REDIS_URL": servers.redis, **secrets}
    for command in (["create_org", "Three"], ["reconcile_credits"], ["check_indexes"], ["worker"]):
        said = complaint(start(data, *command, environment=own))
        assert said.endswith(
            "he database lacks tables of this release. Run manage.py migrate first.\n"
        )
    with psycopg.connect(theirs) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert tables.fetchone() == (0,)


def test_a_full_disk_is_one_sentence(data: Path, servers: embedded.ServerUrls):
    with Path("/dev/full").open("w") as full:
        said = complaint(start(data, "export_feedback", stdout=full.fileno()))
    assert said == "manage.py export_feedback: [Errno 28] No space left on device\n"


def test_who_reads_no_further_sees_no_trace(data: Path, servers: embedded.ServerUrls):
    read, write = os.pipe()
    os.close(read)
    process = start(data, "reconcile_credits", stdout=write)
    os.close(write)
    assert complaint(process) == ""


@pytest.mark.parametrize("command", ["create_org", "migrate"])
def test_a_folder_that_cannot_be_made_is_one_sentence(command: str):
    said = complaint(
        start(Path("/proc/none"), command, "--help" if command == "migrate" else "One")
    )
    assert said.startswith(f"manage.py {command}: Cannot use the data directory /proc/none: ")
    assert said.endswith("or set CLIPFORGE_DATA to a folder of your own.\n")


def test_ctrl_c_ends_a_command_without_a_trace(data: Path, servers: embedded.ServerUrls):
    program = "import time; print('began', flush=True); time.sleep(1000)"
    process = start(data, "shell", "--no-imports", "-c", program)
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    process.send_signal(signal.SIGINT)
    status, _, errors = ended(process)
    assert (status, errors) == (130, "\nmanage.py shell: interrupted.\n")
