"""The pytest plugin of this project: real servers for the whole run, fixtures for every test.

Loaded by `.pytest.ini` before Django is set up, so nothing of Django is imported at the top.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django.test import Client
    from rest_framework.test import APIClient

    from clipforge.devtools.testing.buckets import Bucket
    from clipforge.devtools.testing.leaks import Leaks
    from clipforge.orgs.models import Organization

# A run of its own servers in a directory of its own: no fsync, nothing of a developer's data to harm,
# and two runs at once do not meet.
if "DATABASE_URL" not in os.environ:
    os.environ["CLIPFORGE_DATA"] = tempfile.mkdtemp(prefix="cf-tests-")
os.environ.setdefault("LOG_FORMAT", "text")
# On by itself where a test has servers of its own. Those that are about it turn it on.
os.environ.setdefault("STAFF_SECOND_FACTOR", "false")

LEAKS: pytest.StashKey[Leaks] = pytest.StashKey()
LEAKED: pytest.StashKey[list[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "breaks_ledger: leaves the ledger wrong on purpose; not reconciled afterwards"
    )
    if "DATABASE_URL" not in os.environ:
        _hold_servers(config, Path(os.environ["CLIPFORGE_DATA"]))


def _hold_servers(config: pytest.Config, data: Path) -> None:
    from clipforge import embedded

    lease = embedded.hold(data, durable=False)

    def clean_up() -> None:
        lease.release()
        embedded.wait_stopped(data)
        shutil.rmtree(data, ignore_errors=True)

    config.add_cleanup(clean_up)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Search the logs of PostgreSQL and Redis for secrets, after all tests."""
    found: list[str] = []
    leaks = session.config.stash.get(LEAKS, None)
    if leaks is not None and "CLIPFORGE_DATA" in os.environ:
        from clipforge.devtools.testing.leaks import in_files

        found = in_files(Path(os.environ["CLIPFORGE_DATA"]), leaks.secrets())
    output = getattr(session.config, "workeroutput", None)
    if output is not None:  # one of several processes: the one that started it says so
        output["leaked"] = found
    elif found := [*found, *session.config.stash.get(LEAKED, [])]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        sys.stderr.write("\n".join(["", "Secrets in the logs of the servers:", *found, ""]))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: no process of `-n` is at work alone in the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the findings of a process of `-n` in the logs of its servers."""
    found = getattr(node, "workeroutput", {}).get("leaked", [])
    node.config.stash.setdefault(LEAKED, []).extend(found)


@pytest.fixture(scope="session")
def leaks(pytestconfig: pytest.Config) -> Leaks:
    """Knows the secrets of this run, and hears all that is logged in this process."""
    from clipforge.devtools.testing.leaks import Leaks

    made = Leaks()
    made.learn()
    pytestconfig.stash[LEAKS] = made
    return made


@pytest.fixture(scope="session", autouse=True)
def patient_database() -> None:
    """On a busy machine, the last of twenty who want the same row may wait for longer than we let a
    request wait. Tests that are about that say how long."""
    from clipforge.devtools.testing.state import let_the_database_take_long

    let_the_database_take_long()


@pytest.fixture(autouse=True)
def nothing_secret_is_logged(leaks: Leaks) -> Iterator[None]:
    """Fail a test during which a secret key, password or setting was logged."""
    leaks.listen()
    yield
    assert leaks.take() == []


@pytest.fixture(autouse=True)
def media_root(settings: Any, tmp_path: Path) -> Path:
    """Files of a test go to its own directory."""
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path / "media"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3 server, a process of this run."""
    from clipforge.devtools.testing.buckets import s3_server

    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: str, settings: Any) -> Bucket:
    """A bucket, which is the store of this test: MEDIA_ROOT has only what is unfinished, and copies."""
    from clipforge.devtools.testing.buckets import new_bucket
    from clipforge.storage_urls import backend_of

    made = new_bucket(s3_endpoint)
    settings.STORAGES = {**settings.STORAGES, "default": backend_of(made.url)}
    return made


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    """Nothing cached or counted by an earlier test, in Redis or in this process."""
    from clipforge.devtools.testing.state import forget_everything

    forget_everything()


@pytest.fixture(autouse=True)
def static_files_are_looked_up(settings: Any) -> None:
    """Every test client builds the middleware anew; listing all static files takes it 50 ms."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True)
def ledger_adds_up(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test with a database: the eight invariants of the ledger hold."""
    if not {"db", "transactional_db", "_django_db_helper"} & set(request.fixturenames) and (
        request.node.get_closest_marker("django_db") is None
    ):
        yield
        return
    request.getfixturevalue("_django_db_helper")  # set up before, so torn down after this one
    yield
    if request.node.get_closest_marker("breaks_ledger") is None:
        from credits import reconciling

        assert reconciling.breaches() == []


@pytest.fixture(scope="session")
def seeds(django_db_setup: None, django_db_blocker: Any) -> None:  # noqa: ARG001 - asks for the database
    """From now on, a test that commits leaves what a fresh database has."""
    from django.test import TransactionTestCase

    from clipforge.devtools.testing import seeds

    with django_db_blocker.unblock():
        seeds.keep()
    TransactionTestCase._fixture_teardown = lambda _: seeds.restore()  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def seeds_outlive_commits(request: pytest.FixtureRequest) -> None:
    marker = request.node.get_closest_marker("django_db")
    commits = marker is not None and marker.kwargs.get("transaction")
    if commits or "transactional_db" in request.fixturenames:
        request.getfixturevalue("seeds")


@pytest.fixture
def steady_links(settings: Any) -> None:
    """For tests that compare two answers of one export: its link stays the same for half of its life, and
    with the usual life one test in some thousands would see a new one between the two."""
    from clipforge.devtools.testing.state import STEADY_LINK_SECONDS

    settings.DOWNLOAD_URL_SECONDS = STEADY_LINK_SECONDS


@pytest.fixture
def vacuumed(db: None) -> None:  # noqa: ARG001 - asks for the database
    """For tests of plans, and of many rows: tables have no pages of earlier tests, and statistics know
    what is in them. An analysis outlives the rows that a test rolled back: PostgreSQL would join a
    hundred thousand new ones as if there were none."""
    from clipforge.devtools.testing import seeds

    seeds.vacuum()


@pytest.fixture
def organization(db: None) -> Organization:  # noqa: ARG001 - asks for the database
    from clipforge.devtools.testing.factories import make_organization

    return make_organization()


@pytest.fixture
def client_of() -> Callable[..., APIClient]:
    """A function: organization in, API client with a fresh key of that organization out."""
    from clipforge.devtools.testing.factories import make_client

    return make_client


@pytest.fixture
def api(organization: Organization, client_of: Callable[..., APIClient]) -> APIClient:
    """A client of `organization`."""
    return client_of(organization)


@pytest.fixture
def staff(db: None) -> Client:  # noqa: ARG001 - asks for the database
    """The browser of a superuser, who has shown the second factor: it costs each page a query."""
    from clipforge.devtools.testing.staff import make_staff, signed_in

    return signed_in(make_staff("superuser"))


@pytest.fixture
def anonymous() -> APIClient:
    from rest_framework.test import APIClient

    return APIClient()
