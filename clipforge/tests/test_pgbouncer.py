"""The service through a real PgBouncer in transaction mode, with fewer connections than threads."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from clipforge.client import Client
from clipforge.devtools.testing.service import ROOT, Service, eventually, running_service
from clipforge.devtools.testing.videos import still
from clipforge.stack import reserved_port

__all__ = ["still"]

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
PASSWORD = 'quoted " and spaced'

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PGBOUNCER is None, reason="no pgbouncer here: it is not tested"),
]


@pytest.fixture(scope="module")
def direct() -> Iterator[Service]:
    with running_service() as made:
        yield made


@pytest.fixture(scope="module")
def pooled(direct: Service) -> Iterator[Service]:
    """A web server whose eight threads share two connections."""
    url = conninfo_to_dict(direct.environment["DATABASE_URL"])
    with (
        reserved_port() as port,
        tempfile.TemporaryDirectory(prefix="pgb-") as folder,
        (Path(folder) / "log").open("wb") as log,
    ):
        nobody = pwd.getpwnam("nobody")  # it refuses root
        is_root = os.geteuid() == 0
        if is_root:
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        process = subprocess.Popen(
            ["bash", str(ROOT / "clipforge/deploy/pgbouncer.sh")],  # noqa: S607 - of this machine
            env={
                "PATH": f"/usr/sbin:{os.environ['PATH']}",
                "FOLDER": folder,
                "PGHOST": str(url["host"]),
                "PGUSER": str(url["user"]),
                "PGPASSWORD": PASSWORD,
                "PGDATABASE": str(url["dbname"]),
                "LISTEN_ADDRESS": "127.0.0.1",
                "LISTEN_PORT": str(port),
                "POOL_SIZE": "2",
            },
            cwd="/",
            user=nobody.pw_uid if is_root else None,
            stderr=log,
        )
        quoted = "quoted%20%22%20and%20spaced"
        address = f"postgresql://{url['user']}:{quoted}@127.0.0.1:{port}/{url['dbname']}"

        def answers() -> bool:
            assert process.poll() is None, (Path(folder) / "log").read_text()
            try:
                psycopg.connect(address).close()
            except psycopg.OperationalError:
                return False
            return True

        service = None
        try:
            eventually("pgbouncer answers", answers)
            service = Service(
                direct.data,
                MEDIA_ROOT=str(direct.media),
                DATABASE_URL=address,
                DATABASE_POOLER="true",
            )
            service.start_web()
            yield service
        finally:
            if service:
                service.stop()
            process.terminate()
            process.wait(30)


def test_timeouts_hold_for_every_connection_of_the_pool(pooled: Service):
    with psycopg.connect(pooled.environment["DATABASE_URL"]) as connection:
        for name, value in {
            "statement_timeout": "5s",
            "lock_timeout": "5s",
            "idle_in_transaction_session_timeout": "1min",
        }.items():
            assert connection.execute(f"SHOW {name}").fetchone() == (value,)


def test_a_customer_notices_nothing(direct: Service, pooled: Service, still: Path):
    key = direct.customer("Pooled", 20)._http.headers["Authorization"].removeprefix("Bearer ")
    client = Client(pooled.url, key, timeout=200)
    pooled.clients.append(client)
    with ThreadPoolExecutor(8) as pool:
        projects = list(pool.map(lambda number: client.upload(still, key=f"u{number}"), range(8)))
        balances = list(pool.map(lambda _: client.get("credits/balance"), range(40)))
    assert len({project["id"] for project in projects}) == 8
    assert {balance["held"] for balance in balances} == {8}
    # Streams that a cursor of the server would feed elsewhere.
    assert len(list(client.pages("projects"))) == 8
    assert list(client.pages("credits/transactions"))
    client.post(f"projects/{projects[0]['id']}/cancel")
    assert client.get("credits/balance")["held"] == 7

    worker = direct.start_worker()  # past the pooler: it listens
    found = client.wait(f"projects/{projects[1]['id']}", seconds=200)
    assert found["status"] in {"READY", "EMPTY"}
    worker.terminate()
    worker.wait(60)
    pooled.manage("reconcile_credits")
    log = pooled.log.read_text()
    assert "prepared statement" not in log
    assert "Traceback" not in log
