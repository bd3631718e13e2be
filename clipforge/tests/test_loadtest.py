"""`manage.py loadtest` end to end: seeds, brings the service up, loads it, judges, cleans up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipforge import embedded
from clipforge.testing.service import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def data() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cf-") as folder:
        yield Path(folder)
        embedded.wait_stopped(Path(folder))


def manage(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    names = ("DATABASE_URL", "REDIS_URL")
    rest = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**rest, "CLIPFORGE_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_a_small_run_is_judged_reported_and_leaves_no_key(data: Path, tmp_path: Path):
    with embedded.hold(data):
        assert manage(data, "migrate", "--verbosity", "0").returncode == 0
        sizes = ("--projects", "300", "--moments", "2000", "--transactions", "3000")
        seeded = manage(data, "seed_load", "--orgs", "30", *sizes, "--exports", "500")
        assert seeded.returncode == 0, seeded.stderr

        # How fast this machine is today is not what is tested: hence --keep-going.
        out = tmp_path / "report"
        asked = ("--users", "4,8", "--stage", "4s", "--out", str(out), "--json", "--keep-going")
        done = manage(data, "loadtest", *asked)
        assert done.returncode == 0, done.stderr

        result = json.loads(done.stdout.splitlines()[-1])
        assert [stage["users"] for stage in result["stages"]] == [4, 8]
        assert all(stage["requests"] > 0 for stage in result["stages"])
        assert [stage["failures"] for stage in result["stages"]] == [{}, {}]
        verdicts = {target["what"]: target["passed"] for target in result["targets"]}
        assert verdicts["breaches of the ledger's invariants"] is True
        assert verdicts["users at once"] is None
        assert result["open_loop"]["failed"] == 0
        assert result["cache"]["orgs:key"]["hits"] > 0
        assert "What was throttled has rows of its own" in (out / "report.html").read_text()
        assert (out / "locust.html").exists()

        keys = manage(data, "shell", "--verbosity", "0", "--command", COUNT_USABLE_KEYS)
        assert keys.stdout.strip() == "0"


COUNT_USABLE_KEYS = """
from clipforge.orgs.models import APIKey
print(APIKey.objects.filter(name="load test", revoked_at=None).count())
"""


def test_a_database_without_clips_is_not_loaded(data: Path):
    with embedded.hold(data):
        assert manage(data, "migrate", "--verbosity", "0").returncode == 0
        assert (
            manage(data, "create_org", "Alone", "--tier", "PRO", "--credits", "1").returncode == 0
        )
        done = manage(data, "loadtest", "--users", "1", "--stage", "1s")
        assert done.returncode == 1
        assert "Only 0 organizations have clips to look at." in done.stderr
