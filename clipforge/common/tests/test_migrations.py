"""Changes of big tables that are made while the service runs, and again after a failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import (
    IntegrityError,
    NotSupportedError,
    OperationalError,
    connection,
    models,
    transaction,
)
from django.db.migrations import AddConstraint
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from clipforge.common.migrations import (
    AddCheckOnline,
    AddIndexOnline,
    DropFieldIndexOnline,
    RemoveIndexOnline,
    UpdateInBatches,
)
from clipforge.devtools.testing.factories import make_export, make_organization, make_project
from clipforge.devtools.testing.races import run_together, until_a_lock_is_waited_for
from clipforge.orgs.models import Organization
from exports.models import Export
from projects.models import Project

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "orgs_organization_by_tier"
ADD = AddIndexOnline("organization", models.Index(fields=["tier"], name=NAME))
REMOVE = RemoveIndexOnline("organization", NAME)


@pytest.fixture(autouse=True)
def no_index_is_left() -> Iterator[None]:
    yield
    execute(f'DROP INDEX IF EXISTS "{NAME}"')


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def index() -> tuple[bool, str] | None:
    """Whether it is valid, and its definition."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indisvalid, pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indexrelid = to_regclass(%s)",
            [NAME],
        )
        found: tuple[bool, str] | None = cursor.fetchone()
        return found


def states() -> tuple[ProjectState, ProjectState]:
    """Without the index, and with it."""
    before = MigrationLoader(connection).project_state()
    after = before.clone()
    ADD.state_forwards("orgs", after)
    return before, after


def add() -> None:
    before, after = states()
    with connection.schema_editor(atomic=False) as editor:
        ADD.database_forwards("orgs", editor, before, after)


def interrupt_a_build() -> None:
    """Leave an invalid index, as a concurrent build that fails does."""
    make_organization()
    make_organization()
    with pytest.raises(IntegrityError):
        execute(f'CREATE UNIQUE INDEX CONCURRENTLY "{NAME}" ON orgs_organization (tier)')
    left = index()
    assert left is not None
    assert left[0] is False


def test_an_index_is_built():
    add()
    built = (True, f"CREATE INDEX {NAME} ON public.orgs_organization USING btree (tier)")
    assert index() == built


def test_the_invalid_index_of_an_interrupted_build_is_replaced():
    interrupt_a_build()
    add()
    built = (True, f"CREATE INDEX {NAME} ON public.orgs_organization USING btree (tier)")
    assert index() == built


def test_an_index_that_was_built_but_not_recorded_is_kept():
    add()
    before = oid()
    add()
    assert oid() == before


def oid() -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)::oid", [NAME])
        return cursor.fetchone()


def test_an_index_is_removed_and_removing_it_again_is_no_failure():
    add()
    before, after = states()
    for _ in range(2):
        with connection.schema_editor(atomic=False) as editor:
            REMOVE.database_forwards("orgs", editor, after, before)
        assert index() is None


def test_adding_and_removing_can_be_undone():
    add()
    before, after = states()
    with connection.schema_editor(atomic=False) as editor:
        ADD.database_backwards("orgs", editor, after, before)
    assert index() is None
    with connection.schema_editor(atomic=False) as editor:
        REMOVE.database_backwards("orgs", editor, before, after)
    found = index()
    assert found is not None
    assert found[0] is True


def test_a_migration_that_is_one_transaction_is_refused_and_changes_nothing():
    before, after = states()
    with transaction.atomic():
        editor = connection.SchemaEditorClass(connection, atomic=False)
        with editor, pytest.raises(NotSupportedError):
            ADD.database_forwards("orgs", editor, before, after)
    assert index() is None


def test_locks_are_waited_for_with_patience_and_the_timeout_is_put_back(monkeypatch):
    execute("SET lock_timeout = '1234ms'")
    execute("SET statement_timeout = '4321ms'")
    seen = []
    build = models.Index.create_sql

    def create_sql(*args: Any, **kwargs: Any) -> Any:
        seen.append(timeouts())
        return build(*args, **kwargs)

    monkeypatch.setattr(models.Index, "create_sql", create_sql)
    try:
        add()
        assert seen == [("10min", "0")]
        assert timeouts() == ("1234ms", "4321ms")
    finally:
        connection.close()


def timeouts() -> Any:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
        )
        return cursor.fetchone()


def test_the_index_of_a_foreign_key_is_dropped_as_django_would_but_online():
    loader = MigrationLoader(connection)
    drop = loader.disk_migrations["orgs", "0005_keys_by_time"].operations[-1]
    assert isinstance(drop, DropFieldIndexOnline)
    before, after = (
        loader.project_state([("orgs", name)])
        for name in ("0004_staff_actions", "0005_keys_by_time")
    )
    there = indexes_of_keys()

    def run(way: Any, *states: ProjectState) -> dict[str, bool]:
        with connection.schema_editor(atomic=False) as editor:
            way("orgs", editor, *states)
        return indexes_of_keys()

    made_by_django = run(super(DropFieldIndexOnline, drop).database_forwards, after, before)
    (name,) = made_by_django.keys() - there.keys()
    assert "organization_id" in name
    assert run(drop.database_forwards, before, after) == there
    assert run(drop.database_forwards, before, after) == there  # again, after a failure
    assert run(drop.database_backwards, after, before) == made_by_django
    assert run(drop.database_forwards, before, after) == there


def indexes_of_keys() -> dict[str, bool]:
    """Whether each is valid."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexrelid::regclass::text, indisvalid FROM pg_index"
            " WHERE indrelid = 'orgs_apikey'::regclass"
        )
        return dict(cursor.fetchall())


# --- a CHECK -----------------------------------------------------------------------------

CHECK = "orgs_organization_name_fits"
# Waits for advisory lock 1 at the row "old", so that a test decides how long the rows are read.
STOPPING_CHECK = """
    CREATE OR REPLACE FUNCTION name_fits(name text) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
        IF name = 'old' THEN PERFORM pg_advisory_xact_lock_shared(1); END IF;
        RETURN name <> 'bad';
    END $$
"""


@pytest.fixture
def name_fits() -> Iterator[models.CheckConstraint]:
    execute(STOPPING_CHECK)
    fits = models.Func(models.F("name"), function="name_fits", output_field=models.BooleanField())
    yield models.CheckConstraint(condition=fits, name=CHECK)
    execute(f'ALTER TABLE orgs_organization DROP CONSTRAINT IF EXISTS "{CHECK}"')
    execute("DROP FUNCTION name_fits")


def apply(operation: Operation) -> None:
    before = MigrationLoader(connection).project_state()
    after = before.clone()
    operation.state_forwards("orgs", after)
    with connection.schema_editor(atomic=False) as editor:
        operation.database_forwards("orgs", editor, before, after)


def is_validated() -> bool | None:
    """None when there is no such constraint."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT convalidated FROM pg_constraint WHERE conname = %s", [CHECK])
        found: tuple[bool] | None = cursor.fetchone()
        return found[0] if found else None


def write_while_rows_are_read(operation: Operation) -> list[str] | type[Exception]:
    """The names of all organizations, as a writer leaves them that comes while the rows are read.

    Instead of them the error of one that is kept waiting.
    """
    make_organization(name="old")
    other = make_organization(name="other")
    held, wrote = threading.Event(), threading.Event()

    def hold() -> None:
        execute("SELECT pg_advisory_lock(1)")
        held.set()
        assert wrote.wait(120)
        execute("SELECT pg_advisory_unlock(1)")

    def migrate() -> None:
        assert held.wait(120)
        apply(operation)

    def write() -> None:
        try:
            until_a_lock_is_waited_for()
            execute("SET lock_timeout = '1s'")
            make_organization(name="new")
            Organization.objects.filter(pk=other.pk).update(name="changed")
        finally:
            wrote.set()

    acts = (hold, migrate, write)
    *others, written = run_together(3, lambda number: acts[number]())
    assert others == [None, None]
    if isinstance(written, Exception):
        return type(written)
    return sorted(Organization.objects.values_list("name", flat=True))


def test_a_check_is_validated_while_others_write(name_fits):
    names = write_while_rows_are_read(AddCheckOnline("organization", name_fits))
    assert names == ["changed", "new", "old"]
    assert is_validated() is True


def test_the_check_of_django_keeps_writers_waiting(name_fits):
    """The control of the test above: the writer does come while the rows are read."""
    names = write_while_rows_are_read(AddConstraint("organization", name_fits))
    assert names is OperationalError
    assert is_validated() is True


def test_a_check_that_a_row_breaks_holds_for_new_rows_and_is_validated_once_that_is_mended(
    name_fits,
):
    bad = make_organization(name="bad")
    online = AddCheckOnline("organization", name_fits)
    for _ in range(2):
        with pytest.raises(IntegrityError):
            apply(online)
        assert is_validated() is False
    with pytest.raises(IntegrityError):
        Organization.objects.create(name="bad", slug="second")
    Organization.objects.filter(pk=bad.pk).update(name="good")
    apply(online)
    assert is_validated() is True


def test_a_check_can_be_taken_back(name_fits):
    online = AddCheckOnline("organization", name_fits)
    apply(online)
    before = MigrationLoader(connection).project_state()
    after = before.clone()
    online.state_forwards("orgs", after)
    with connection.schema_editor(atomic=False) as editor:
        online.database_backwards("orgs", editor, after, before)
    assert is_validated() is None


def test_a_check_in_a_migration_that_is_one_transaction_is_refused(name_fits):
    with transaction.atomic(), pytest.raises(NotSupportedError):
        apply(AddCheckOnline("organization", name_fits))
    assert is_validated() is None


# --- rows -------------------------------------------------------------------------------

RENAMED = [f"{number} renamed" for number in range(7)]


def rename(batch: int) -> list[int]:
    """Run it over all organizations. Returns how many rows each of its UPDATEs changed."""
    sql = "UPDATE orgs_organization SET name = name || ' renamed' WHERE name NOT LIKE '%%renamed'"
    return run(UpdateInBatches("orgs_organization", sql, batch=batch))


def run(update: Operation) -> list[int]:
    changed = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if sql.lstrip().startswith("UPDATE"):
            changed.append(context["cursor"].rowcount)
        return result

    with connection.schema_editor(atomic=False) as editor, connection.execute_wrapper(note):
        state = MigrationLoader(connection).project_state()
        update.database_forwards("orgs", editor, state, state)
    return changed


@pytest.mark.parametrize(("batch", "changed"), [(3, [3, 3, 1]), (7, [7]), (100, [7])])
def test_rows_are_updated_a_batch_at_a_time_and_none_is_left_out(batch: int, changed: list[int]):
    for number in range(7):
        make_organization(name=str(number))
    assert rename(batch) == changed
    assert sorted(Organization.objects.values_list("name", flat=True)) == RENAMED


def test_what_an_interrupted_update_changed_already_is_not_changed_again():
    for name in ["0", "1 renamed", "2", "3", "4 renamed", "5", "6"]:
        make_organization(name=name)
    assert sum(rename(3)) == 5
    assert sorted(Organization.objects.values_list("name", flat=True)) == RENAMED


def test_what_old_rows_were_charged_is_taken_from_their_holds():
    for status in ["READY", "EMPTY", "ANALYZING", "UPLOADED"]:
        make_project(status=status)
    make_export(Project.objects.get(status="READY"))
    for model in (Project, Export):
        model.objects.update(charged=0)
        name = (model._meta.app_label, "0008_charged_of_old_rows")
        (update,) = MigrationLoader(connection).disk_migrations[name].operations
        assert run(update) == [1]
        assert model.objects.get(status="READY").charged == 1
