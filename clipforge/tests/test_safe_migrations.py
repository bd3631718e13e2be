"""No migration locks a table that customers use, or breaks the code that still runs beside it."""

from __future__ import annotations

import io

import pytest
from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    ValidateConstraint,
)
from django.core.management import CommandError, call_command
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from clipforge.common.migrations import AddCheckOnline, AddIndexOnline, UpdateInBatches
from clipforge.devtools.management.commands import lint_migrations
from clipforge.devtools.testing.migration_lint import EXPLAINED, faults, faults_of

pytestmark = pytest.mark.django_db


def test_every_operation_on_a_table_that_is_there_is_safe_or_explained():
    assert set(faults()) == set(EXPLAINED)
    assert all(EXPLAINED.values())


def test_every_update_of_a_whole_table_can_be_run_where_there_are_rows():
    """On an empty table none is run, so that no other test would see what PostgreSQL refuses."""
    updates = [
        operation
        for migration in MigrationLoader(None).disk_migrations.values()
        for operation in migration.operations
        if isinstance(operation, UpdateInBatches)
    ]
    assert len(updates) >= 4
    with connection.cursor() as cursor:
        for each in updates:
            cursor.execute(f"EXPLAIN {each.update} AND {each.table}.id BETWEEN NULL AND NULL")


def test_the_command_names_an_unsafe_operation_and_an_explanation_that_fits_none(monkeypatch):
    (known, *others) = EXPLAINED
    monkeypatch.setattr(lint_migrations, "EXPLAINED", {**dict.fromkeys(others, "r"), "gone": "r"})
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 unsafe operations, 1 idle explanations"):
        call_command("lint_migrations", stdout=out)
    assert f"unsafe: {known}\nexplained, but not there: gone\n" in out.getvalue()


TITLE = models.Index(fields=["title"], name="i")
SHORT = models.CheckConstraint(condition=~models.Q(title=""), name="c")


@pytest.mark.parametrize(
    ("operation", "codes"),
    [
        (migrations.AddIndex("project", TITLE), ["CREATE_INDEX", "INDEX"]),
        # Waits for its lock for ever.
        (AddIndexConcurrently("project", TITLE), ["INDEX"]),
        (
            migrations.RemoveIndex("project", "projects_project_newest"),
            ["DROP_INDEX", "INDEX"],
        ),
        (
            migrations.AddConstraint(
                "project", models.UniqueConstraint(fields=["title"], name="u")
            ),
            ["ADD_UNIQUE", "INDEX"],
        ),
        (
            migrations.AlterField("project", "title", models.TextField(db_index=True)),
            ["ALTER_COLUMN", "CREATE_INDEX", "INDEX"],
        ),
        (
            migrations.AddField("project", "code", models.TextField(unique=True, null=True)),
            ["CREATE_INDEX", "INDEX"],
        ),
        # Reads every row under a lock that stops everybody.
        (migrations.AddConstraint("project", SHORT), ["ADD_CHECK"]),
        (
            migrations.AddField("project", "code", models.PositiveIntegerField(db_default=0)),
            ["ADD_CHECK"],
        ),
        # Safe only in two transactions, which AddCheckOnline sees to.
        (AddConstraintNotValid("project", SHORT), ["ADD_CHECK"]),
        (ValidateConstraint("project", "c"), ["ADD_CHECK"]),
        (migrations.RunSQL("ALTER TABLE x ADD CONSTRAINT c CHECK (y > 0)"), ["ADD_CHECK"]),
        (migrations.RunSQL("alter table x\n    add constraint c\n check (y > 0)"), ["ADD_CHECK"]),
        (migrations.RunSQL("ALTER TABLE x ADD CHECK(y > 0)"), ["ADD_CHECK"]),
        # The code that still runs looks for the old name.
        (migrations.RenameModel("Project", "Video"), ["RENAME_TABLE"]),
        (migrations.AlterModelTable("project", "videos"), ["RENAME_TABLE"]),
        (migrations.RenameField("project", "title", "name"), ["RENAME_COLUMN"]),
        (migrations.RunSQL('ALTER TABLE "x" RENAME COLUMN "y" TO "z"'), ["RENAME_COLUMN"]),
        (migrations.RunSQL("alter table x\n    rename to y"), ["RENAME_TABLE"]),
        (migrations.RunSQL("ALTER TABLE x RENAME y TO z"), ["RENAME_COLUMN"]),
        # Writes every row anew under a lock that stops everybody.
        (migrations.AlterField("project", "fence", models.TextField()), ["ALTER_COLUMN"]),
        # The code that still runs names no such column when it inserts a row.
        (
            migrations.AddField("project", "code", models.TextField(default="")),
            ["NOT_NULL"],
        ),
        # Reads every row, and the code that still runs may write NULL.
        (
            migrations.AlterField("project", "started_at", models.DateTimeField()),
            ["NOT_NULL"],
        ),
        # The code that still runs reads it.
        (migrations.RemoveField("project", "title"), ["DROP_COLUMN"]),
        (migrations.DeleteModel("moment"), ["DROP_TABLE"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Operation) else "",
)
def test_an_unsafe_operation_is_refused(operation: Operation, codes: list[str]):
    state = MigrationLoader(None).project_state()
    assert faults_of(operation, "projects", state, set()) == codes


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddIndex("project", TITLE),
        migrations.AddConstraint("project", SHORT),
        migrations.AddField("project", "code", models.TextField(default="")),
        migrations.RenameField("project", "title", "name"),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_a_table_of_the_same_migration_may_be_changed_in_any_way(operation: Operation):
    state = MigrationLoader(None).project_state()
    assert faults_of(operation, "projects", state, {"project"}) == []


def test_data_are_changed_by_the_models_of_the_migration_only():
    def imported(apps: object, schema_editor: object) -> None:
        Project.objects.update(title="")  # type: ignore[name-defined]  # noqa: F821 - is not run

    state = MigrationLoader(None).project_state()
    found = faults_of(migrations.RunPython(imported), "projects", state, set())
    assert found == ["RUNPYTHON_MODEL_IMPORT"]


@pytest.mark.parametrize(
    "operation",
    [
        AddIndexOnline("project", TITLE),
        AddCheckOnline("project", SHORT),
        migrations.AlterField("project", "title", models.CharField(max_length=200, default="")),
        migrations.AlterField("project", "status", models.CharField(max_length=16)),
        migrations.AddField("project", "code", models.TextField(db_default="")),
        migrations.AddField("project", "code", models.TextField(null=True)),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_a_safe_operation_is_no_fault(operation: Operation):
    state = MigrationLoader(None).project_state()
    assert faults_of(operation, "projects", state, set()) == []
