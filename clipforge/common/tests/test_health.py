"""GET /health/live, /health/ready, /health: what a load balancer asks."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from clipforge.common.api import health

READY = ["/health", "/health/ready"]

OK = {"database": "ok", "migrations": "ok", "cache": "ok", "disk": "ok"}

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch):
    """A process that has not looked at its migrations yet, and a disk with room, whatever this one has."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(100, 50, 50))
    health._state.clear()
    yield
    health._state.clear()


@contextmanager
def database_at(host: Path) -> Iterator[None]:
    """The database is looked for in a folder where there is none."""
    connection.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(connection.settings_dict, "HOST", str(host))
        yield
        connection.close()


@contextmanager
def cache_at(settings: Any, url: str) -> Iterator[None]:
    """Redis is looked for where there is none."""
    before = settings.CACHES
    settings.CACHES = {"default": {**before["default"], "LOCATION": url}}
    yield
    settings.CACHES = before
    assert caches["default"].get("health") is None


def checked(client: Any, path: str, status: int) -> Any:
    response = client.get(path)
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    assert "no-store" in response["Cache-Control"]
    return response


@pytest.mark.django_db
@pytest.mark.parametrize("path", READY)
def test_all_is_well(client, path):
    assert checked(client, path, 200).json() == {"status": "ok", "checks": OK}


def test_live_needs_neither_database_nor_cache(client):
    # No database mark: a query would fail this test.
    assert checked(client, "/health/live", 200).json() == {"status": "ok"}


@pytest.mark.django_db
def test_head_is_enough_for_a_probe(client):
    for path in (*READY, "/health/live"):
        response = client.head(path)
        assert (response.status_code, response.content) == (200, b"")


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_health_can_only_be_read(client, method):
    for path in (*READY, "/health/live"):
        response = getattr(client, method)(path)
        assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")


@pytest.mark.django_db
def test_the_migrations_are_looked_at_once(client, django_assert_num_queries):
    client.get("/health")
    with django_assert_num_queries(1):  # SELECT 1
        client.get("/health")


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nonexistent/redis.sock"])
def test_without_redis_it_is_degraded_and_still_200(client, settings, url):
    with cache_at(settings, url):
        body = checked(client, "/health", 200).json()
    assert body == {"status": "degraded", "checks": {**OK, "cache": "unreachable"}}
    assert checked(client, "/health", 200).json()["status"] == "ok"


@pytest.mark.django_db(transaction=True)
def test_without_a_database_it_is_down_and_live_all_the_same(client, tmp_path):
    with database_at(tmp_path):
        response = checked(client, "/health", 503)
        assert checked(client, "/health/live", 200).json() == {"status": "ok"}
    assert response.json() == {
        "status": "down",
        "checks": {**OK, "database": "unreachable", "migrations": "unreachable"},
    }
    assert response["Retry-After"] == "5"
    assert checked(client, "/health", 200).json()["status"] == "ok"


@pytest.mark.django_db(transaction=True)
def test_a_process_that_was_ready_is_down_when_it_loses_its_database(client, tmp_path):
    assert client.get("/health").status_code == 200
    with database_at(tmp_path):
        body = checked(client, "/health", 503).json()
    assert body["checks"] == {**OK, "database": "unreachable"}


@pytest.mark.django_db
def test_a_missing_migration_is_down_until_it_is_applied(client):
    recorder = MigrationRecorder(connection)
    ((app, newest),) = MigrationLoader(connection).graph.leaf_nodes("orgs")
    recorder.record_unapplied(app, newest)
    body = checked(client, "/health", 503).json()
    assert body["status"] == "down"
    assert body["checks"] == {**OK, "migrations": "not applied: run manage.py migrate"}
    recorder.record_applied(app, newest)
    assert checked(client, "/health", 200).json()["status"] == "ok"


@pytest.mark.django_db
@pytest.mark.parametrize(("free", "disk"), [(10, "ok"), (9, "nearly full"), (0, "nearly full")])
def test_a_disk_with_less_than_a_tenth_free_is_degraded(client, monkeypatch, free, disk):
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(100, 100 - free, free))
    body = checked(client, "/health", 200).json()
    assert body["checks"]["disk"] == disk
    assert body["status"] == ("ok" if disk == "ok" else "degraded")


@pytest.mark.django_db
@pytest.mark.parametrize(("percent", "disk"), [(50, "ok"), (51, "nearly full"), (0, "ok")])
def test_how_much_has_to_be_free_is_a_setting(client, settings, percent, disk):
    settings.DISK_WARNING_PERCENT = percent
    assert checked(client, "/health", 200).json()["checks"]["disk"] == disk


@pytest.mark.django_db
def test_a_place_for_files_that_cannot_be_made_is_degraded(client, settings, tmp_path):
    (tmp_path / "file").touch()
    settings.MEDIA_ROOT = tmp_path / "file" / "media"
    body = checked(client, "/health", 200).json()
    assert body == {"status": "degraded", "checks": {**OK, "disk": "unreachable"}}


@pytest.mark.django_db
def test_health_says_nothing_of_names_addresses_or_passwords(client, settings):
    with cache_at(settings, "redis://:secret@127.0.0.1:1/0"):
        text = client.get("/health").content.decode()
    assert "secret" not in text
    assert "127.0.0.1" not in text
