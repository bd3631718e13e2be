"""`manage.py loadtest` end to end: seeds, brings the service up, loads it, judges, cleans up."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psycopg
import pytest
from django.core.management import CommandError, call_command

from clipforge import embedded
from clipforge.devtools.loadtest.pages import PAGES, load_times
from clipforge.devtools.testing.service import ROOT, Service
from clipforge.orgs.models import User

pytestmark = pytest.mark.slow


@pytest.fixture
def data() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cf-") as folder:
        yield Path(folder)
        embedded.wait_stopped(Path(folder))


def manage(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    names = ("DATABASE_URL", "REDIS_URL")
    rest = {name: value for name, value in os.environ.items() if name not in names}
    return run({**rest, "CLIPFORGE_DATA": str(data)}, *arguments)


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.django_db(transaction=True)
def test_pages_for_people_are_timed_also_where_staff_need_a_second_factor(live_server, settings):
    settings.STAFF_SECOND_FACTOR = True
    assert set(load_times(live_server.url)) == set(PAGES)
    assert not User.objects.exists()


@pytest.fixture(scope="module")
def seeded() -> Iterator[Path]:
    """The data of running servers, with customers that have clips."""
    with tempfile.TemporaryDirectory(prefix="cf-") as folder:
        data = Path(folder)
        with embedded.hold(data):
            for command in (["migrate", "--verbosity", "0"], ["seed_load", *SIZES]):
                done = manage(data, *command)
                assert done.returncode == 0, done.stderr
            yield data
        embedded.wait_stopped(data)


def test_a_small_run_is_judged_reported_and_leaves_no_key(seeded: Path, tmp_path: Path):
    # The speed of this machine is not under test: hence --keep-going.
    out = tmp_path / "report"
    asked = ("--users", "4,8", "--stage", "4s", "--out", str(out), "--json", "--keep-going")
    done = manage(seeded, "loadtest", *asked)
    assert done.returncode == 0, done.stderr

    result = json.loads(done.stdout.splitlines()[-1])
    assert [stage["users"] for stage in result["stages"]] == [4, 8]
    assert all(stage["requests"] > 0 for stage in result["stages"])
    assert [stage["failures"] for stage in result["stages"]] == [{}, {}]
    verdicts = {target["what"]: target["passed"] for target in result["targets"]}
    assert verdicts["breaches of the ledger's invariants"] is True
    assert verdicts["users at once"] is None
    assert result["open_loop"]["failed"] == 0
    # Of which endpoints depends on how many were asked for; test_load_thresholds.py says that of many.
    endpoints = result["open_loop"]["endpoints"].values()
    assert sum(each["count"] for each in endpoints) == result["open_loop"]["count"] > 0
    assert result["cache"]["orgs:key"]["hits"] > 0
    assert "What was throttled has rows of its own" in (out / "report.html").read_text()
    assert (out / "locust.html").exists()

    keys = manage(seeded, "shell", "--verbosity", "0", "--command", COUNT_USABLE_KEYS)
    assert keys.stdout.strip() == "0"


def test_under_chaos_redis_dies_in_the_middle_and_no_answer_is_5xx(seeded: Path, tmp_path: Path):
    out = tmp_path / "report"
    asked = ("--users", "4", "--stage", "8s", "--out", str(out), "--chaos", "--keep-going")
    done = manage(seeded, "loadtest", *asked)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("Redis ")]
    assert told == ["Redis was killed.", "Redis is back, and empty."]
    result = json.loads((out / "result.json").read_text())
    assert result["stages"][0]["requests"] > 0
    measured = {target["what"]: target["measured"] for target in result["targets"]}
    assert measured["5xx while Redis was dead and after"] == "none"
    # The service counts in the Redis that died. The one here lived on and counted no request.
    assert "credits:balance" not in result["cache"]


def test_a_service_that_runs_already_is_loaded_and_a_missed_target_is_exit_1(
    seeded: Path, tmp_path: Path
):
    out = tmp_path / "report"
    asked = ("--users", "4", "--stage", "2s", "--out", str(out), "--json")
    service = Service(seeded)
    try:
        service.start_web()
        with one_credit_too_many(service):
            done = run(service.environment, "loadtest", "--host", f"{service.url}/", *asked)
        assert httpx.get(f"{service.url}/health/ready", timeout=60).is_success
    finally:
        service.stop()
    assert done.returncode == 1
    assert "Missed: " in done.stderr
    assert "breaches of the ledger's invariants" in done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["ok"] is False
    (stage,) = result["stages"]
    assert 0 < stage["requests"] < service.log.read_text().count("clipforge.access")
    assert result["machine"]["web CPU, ms a request"] is None
    assert not (out / "service.log").exists()


@contextlib.contextmanager
def one_credit_too_many(service: Service) -> Iterator[None]:
    """An account has one more than its ledger says."""
    with psycopg.connect(service.environment["DATABASE_URL"], autocommit=True) as database:
        database.execute(MOVE_POSTED, (1,))
        try:
            yield
        finally:
            database.execute(MOVE_POSTED, (-1,))


MOVE_POSTED = """
UPDATE credits_creditaccount SET posted = posted + %s
 WHERE org_id = (SELECT org_id FROM credits_creditaccount ORDER BY org_id LIMIT 1)
"""


@contextlib.contextmanager
def refusing(status: int, code: str) -> Iterator[str]:
    """The URL of a service that refuses every request alike."""
    body = json.dumps({"code": code}).encode()

    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/problem+json")
            self.send_header("Retry-After", "1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Not to the output of the tests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("status", "code", "breach"),
    [
        (503, "unavailable", "failed ("),
        # No failure, locust would say.
        (429, "concurrent_jobs", "requests outside the crowd were answered."),
    ],
)
def test_locust_alone_exits_1_when_a_threshold_is_broken(
    tmp_path: Path, status: int, code: str, breach: str
):
    keys, result = tmp_path / "keys.jsonl", tmp_path / "result.json"
    keys.write_text("".join(f'{{"org": "{n}", "tier": "FREE", "key": "k"}}\n' for n in range(9)))
    about = {"LOAD_KEYS": str(keys), "LOAD_RESULT": str(result), "LOAD_STAGES": "30:2"}
    command = [sys.executable, "-m", "locust", "-f", "locustfiles/front_end.py", "--headless"]
    with refusing(status, code) as url:
        done = subprocess.run(
            [*command, "--host", url],
            cwd=ROOT,
            env={**os.environ, **about},
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert done.returncode == 1, done.stderr
    assert any(breach in line for line in json.loads(result.read_text())["breaches"])


def test_chaos_is_not_for_a_service_that_others_may_need():
    with pytest.raises(CommandError, match="--chaos kills the Redis of a service that it starts"):
        call_command("loadtest", "--host", "http://127.0.0.1:1", "--chaos")


SIZES = [
    *("--orgs", "30", "--projects", "300", "--moments", "2000"),
    *("--transactions", "3000", "--exports", "500"),
]

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
