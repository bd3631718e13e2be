"""The service as docker-compose.yml puts it together: nginx, web, a real PgBouncer in transaction mode with
fewer connections than web has threads, and a worker beside, which listens to PostgreSQL itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest

from clipforge.client import Client
from clipforge.devtools.testing import drills
from clipforge.devtools.testing.drills import topology
from clipforge.devtools.testing.drills.load import ANSWER_SECONDS
from clipforge.devtools.testing.drills.topology import Topology
from clipforge.devtools.testing.videos import still
from clipforge.media import probe
from clipforge.media.sample import make_sample

__all__ = ["still"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.skipif(topology.MISSING != "", reason=f"not tested here: {topology.MISSING}"),
]

# The usual run sees the worst of each kind; the long run sees them all.
SHORT = [
    *("pooler killed and started", "proxy killed and started"),
    *("proxy and pooler killed and started", "web behind the proxy stopped and started"),
]


@pytest.fixture(scope="module")
def stand() -> Iterator[Topology]:
    with topology.stand() as made:
        yield made


@pytest.fixture
def client(stand: Topology, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A customer with twenty credits, who trusts the certificate of nginx as those of all others."""
    monkeypatch.setenv("SSL_CERT_FILE", str(stand.front.certificate))
    stand.service.manage("create_org", "Pooled", "--tier", "ENTERPRISE", "--credits", "20")
    key = stand.service.manage_json("create_api_key", "Pooled")["key"]
    with Client(stand.url, key, timeout=200) as made:
        yield made


def test_timeouts_hold_for_every_connection_of_the_pool(stand: Topology):
    with psycopg.connect(stand.pool.address) as connection:
        for name, value in {
            "statement_timeout": "5s",
            "lock_timeout": "5s",
            "idle_in_transaction_session_timeout": "1min",
        }.items():
            assert connection.execute(f"SHOW {name}").fetchone() == (value,)


def test_a_customer_gets_clips_and_notices_nothing(
    stand: Topology, client: Client, still: Path, tmp_path: Path
):
    before = len(stand.service.log.read_text())  # what breaks on purpose is told there too
    with ThreadPoolExecutor(8) as pool:
        projects = list(pool.map(lambda number: client.upload(still, key=f"u{number}"), range(8)))
        balances = list(pool.map(lambda _: client.get("credits/balance"), range(40)))
    assert len({project["id"] for project in projects}) == 8
    assert {balance["held"] for balance in balances} == {8}
    # Streams that a cursor of the server would feed elsewhere.
    assert len(list(client.pages("projects"))) == 8
    assert list(client.pages("credits/transactions"))
    for project in projects:
        client.post(f"projects/{project['id']}/cancel")
    assert client.get("credits/balance")["held"] == 0

    make_sample(tmp_path / "sample.mp4", seconds=30)
    uploaded = client.upload(tmp_path / "sample.mp4")
    worker = stand.service.start_worker()
    project = client.wait(f"projects/{uploaded['id']}", seconds=200)
    assert (project["status"], project["credits"]) == ("READY", {"reserved": 0, "charged": 1})
    cut = {"project": project["id"], "start": 0, "end": 3, "resolution": 480}
    export = client.wait(f"exports/{client.post('exports', cut)['id']}", seconds=200)
    worker.terminate()
    worker.wait(60)
    client.download(export["id"], tmp_path / "clip.mp4")
    clip = probe(tmp_path / "clip.mp4")
    assert clip.size == export["size"]
    assert clip.duration == pytest.approx(3, abs=1 / 20)
    assert client.get("credits/balance") == {"available": 18, "held": 0, "posted": 18, "debt": 0}
    stand.pooled.manage("reconcile_credits")
    log = stand.service.log.read_text()[before:]
    assert "prepared statement" not in log
    at = log.find("Traceback")
    assert "Traceback" not in log, log[max(0, at - 500) : at + 5000]


def assert_nothing_happened(stand: Topology, name: str) -> None:
    row = drills.attempt(stand, name, topology.FAULTS[name])
    assert drills.breaches(row) == [], row


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_or_double_while_something_around_web_breaks(stand: Topology, name: str):
    assert_nothing_happened(stand, name)


@pytest.mark.long
def test_nothing_is_lost_or_double_whatever_breaks_around_web(stand: Topology):
    for name in topology.FAULTS:
        assert_nothing_happened(stand, name)


def test_without_a_pooler_web_says_when_to_come_back_and_lives(stand: Topology):
    """Where the database is not needed it answers all the same."""

    def get(path: str) -> httpx.Response:
        return httpx.get(
            f"{stand.url}{path}", headers=stand.headers, timeout=ANSWER_SECONDS, verify=stand.trust
        )

    assert get("/api/v1/me").status_code == 200  # so that the key is known
    stand.pool.kill()
    try:
        refused, ready, alive = (
            get(path)
            for path in (f"/api/v1/projects/{uuid.uuid4()}", "/health/ready", "/health/live")
        )
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert (ready.status_code, alive.status_code) == (503, 200)
        assert {refused.headers["Retry-After"], ready.headers["Retry-After"]} == {"5"}
    finally:
        stand.pool.start()
    assert get("/health/ready").status_code == 200
