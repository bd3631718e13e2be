"""`preflight` says what an upgrade would do, and changes nothing."""

from __future__ import annotations

import io
import json
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from clipforge.common.migrations import AddIndexOnline, UpdateInBatches
from clipforge.common.pending_migrations import pending_migrations
from clipforge.upgrading import readiness, schema
from clipforge.upgrading.statements import effects

pytestmark = pytest.mark.django_db


def preflight() -> Any:
    with (
        connection.cursor() as cursor
    ):  # a transaction, as of a test, sees others as they were first seen
        cursor.execute("SELECT pg_stat_clear_snapshot()")
    out = io.StringIO()
    call_command("preflight", json=True, stdout=out)
    return json.loads(out.getvalue())


def printed() -> str:
    out = io.StringIO()
    call_command("preflight", stdout=out)
    return out.getvalue()


def forget(app: str, first: str) -> None:
    """As on a database of an earlier release: it does not know that the migration ran, nor later ones."""
    applied = MigrationRecorder(connection).migration_qs
    applied.filter(app=app, name__gte=first).delete()


def says(findings: list[dict[str, str]], about: str) -> list[str]:
    return [each["says"] for each in findings if each["about"] == about]


def test_where_nothing_is_to_do_it_says_so_and_ends_well():
    result = preflight()
    assert (result["ok"], result["migrations"], result["steps"]) == (True, [], [])
    assert result["works_with_the_release_before"] is True
    assert set(result["versions"]) == {"release", "python", "postgresql", "redis"}
    assert result["versions"]["postgresql"].startswith("18.")
    assert "Migrations: none.\n" in printed()
    assert printed().endswith("Nothing was changed.\n")


def test_each_pending_migration_is_named_with_what_it_locks_and_stays_pending():
    forget("orgs", "0018_watermark")
    result = preflight()
    assert result["migrations"][0] == "orgs.0018_watermark"
    locks = {(step["effect"]["table"], step["effect"]["lock"]) for step in result["steps"]}
    assert ("orgs_tierlimits", "ACCESS EXCLUSIVE") in locks
    assert result["works_with_the_release_before"] is True
    text = printed()
    assert f"Migrations: {len(result['migrations'])}, orgs.0018_watermark to orgs." in text
    assert "everybody waits for a moment (ACCESS EXCLUSIVE)" in text
    assert "The release before works on the new schema." in text
    assert pending_migrations() == result["migrations"]


def test_of_all_sql_that_is_written_in_a_migration_the_lock_is_known():
    """That of Django has the forms of `test_statements`; that of people may have any."""
    loader = MigrationLoader(None)
    unknown, looked_at = [], 0
    for key in loader.graph._generate_plan(loader.graph.leaf_nodes(), at_end=True):
        for operation in loader.graph.nodes[key].operations:
            if isinstance(operation, migrations.RunSQL) and operation.sql:
                looked_at += 1
                scripts = [operation.sql] if isinstance(operation.sql, str) else operation.sql
                found = effects(map(str, scripts), set())
                unknown += [(key, each) for each in found if each.lock == "unknown"]
    assert looked_at > 60
    assert unknown == []


def test_what_is_done_beside_readers_and_writers_makes_nobody_wait():
    state = MigrationLoader(None).project_state()
    index = AddIndexOnline("project", models.Index(fields=["title"], name="i"))
    update = UpdateInBatches(
        "projects_project", "UPDATE projects_project SET title = '' WHERE true"
    )
    for operation in (index, update):
        (effect,) = schema.effects_of(operation, "projects", state, state, set())
        assert (effect.table, effect.waits.value) == ("projects_project", "nobody")


def test_a_new_schema_that_the_release_before_cannot_use_stops_the_upgrade_while_it_works(
    monkeypatch: Any,
):
    forget("orgs", "0018_watermark")
    monkeypatch.setattr(schema, "effects_of", _drops_a_column)
    # Other tests of this process may have left a connection open.
    with monkeypatch.context() as nobody:
        nobody.setattr(readiness, "clients", list)
        alone = preflight()
    assert (alone["ok"], alone["works_with_the_release_before"]) == (True, False)
    (first, *_) = says(alone["findings"], "old and new code")
    assert first == "orgs.0018_watermark: projects_project: it reads a column that is gone"
    params = {**connection.get_connection_params(), "application_name": "clipforge 2026.11.25"}
    with psycopg.connect(**params), pytest.raises(CommandError, match="1 to be done first: stop"):
        preflight()


def test_who_is_connected_is_told_by_release(settings: Any):
    settings.RELEASE = "2026.12.01"
    params = connection.get_connection_params()
    names = ["clipforge", "clipforge 2026.11.25", "clipforge 2026.12.01", "psql"]
    held = [psycopg.connect(**{**params, "application_name": name}) for name in names]
    try:
        found = {each.release: each.connections for each in readiness.clients()}
        old = [each.release for each in readiness.others(readiness.clients())]
    finally:
        for each in held:
            each.close()
    assert found.keys() >= {"unknown", "2026.11.25", "2026.12.01"}
    assert "psql" not in found
    assert (found["2026.11.25"], old.count("2026.12.01"), old.count("2026.11.25")) == (1, 0, 1)


def test_settings_that_are_missing_mistyped_or_to_be_taken_out(settings: Any, monkeypatch: Any):
    monkeypatch.setenv("STORAGE_ULR", "s3://bucket")
    settings.SECRET_KEY_FALLBACKS = ["x" * 50]
    settings.ALARM_EMAILS, settings.EMAIL_HOST = ["ops@example.com"], ""
    settings.RELEASE = "unknown"
    found = preflight()["findings"]
    assert says(found, "STORAGE_ULR") == ["nothing reads it; STORAGE_URL may be meant"]
    assert len(says(found, "SECRET_KEY_FALLBACKS")) == 1
    assert len(says(found, "EMAIL_HOST")) == 1
    assert len(says(found, "CLIPFORGE_VERSION")) == 1
    settings.ALARM_EMAILS = []
    assert len(says(preflight()["findings"], "ALARM_EMAILS, ALARM_WEBHOOK_URL")) == 1


def test_migrations_do_not_go_through_a_pooler(settings: Any):
    settings.DATABASE_POOLER = True
    assert preflight()["ok"] is True
    forget("orgs", "0018_watermark")
    with pytest.raises(CommandError, match="go past the pooler"):
        preflight()


def test_a_transaction_that_is_old_and_an_index_half_made_are_seen(monkeypatch: Any):
    monkeypatch.setattr(readiness, "LONG_TRANSACTION", 0)
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT 1")
        (said,) = [
            each
            for each in says(preflight()["findings"], "transaction")
            if f"process {other.info.backend_pid} (" in each
        ]
    assert "a migration waits for it" in said
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orgs_tierlimits ADD CONSTRAINT half CHECK (true) NOT VALID")
    assert says(preflight()["findings"], "orgs_tierlimits.half") == [
        "half made by a migration that was interrupted: run it again"
    ]


def _drops_a_column(*_: Any) -> list[Any]:
    dropped = 'ALTER TABLE "projects_project" DROP COLUMN "title" CASCADE'
    return list(effects([dropped], set()))
