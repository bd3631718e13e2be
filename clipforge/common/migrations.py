"""Changes of big tables while customers read and write them.

In a migration of its own with `atomic = False`:

    operations = [AddIndexOnline("clip", models.Index(fields=["org"], name="clip_org"))]
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    NotInTransactionMixin,
    RemoveIndexConcurrently,
    ValidateConstraint,
)
from django.db.migrations import AddConstraint, AlterField, RunPython
from django.db.models import Index, UniqueConstraint

# A concurrent build waits for transactions older than itself, the longest of which is a report or a
# backup. Readers and writers do not wait behind it meanwhile, so this may take long.
LOCK_TIMEOUT = "10min"
# Rows that an UpdateInBatches has locked at the same time.
BATCH = 5000


class AddIndexOnline(AddIndexConcurrently):
    """AddIndexConcurrently that can be run again after a failure.

    A build that failed or was interrupted leaves an INVALID index behind, which costs every write and
    serves no read: it is dropped first. One that was finished, but not recorded, is kept.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        with patient(schema_editor):
            valid = validity(schema_editor, self.index.name)
            if valid is False:
                schema_editor.execute(_drop(schema_editor, self.index.name))
            if not valid:
                super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        self._ensure_not_in_transaction(schema_editor)
        with patient(schema_editor):
            schema_editor.execute(_drop(schema_editor, self.index.name))


class AddUniqueOnline(NotInTransactionMixin, AddConstraint):
    """AddConstraint of a partial UniqueConstraint, whose index is built beside readers and writers.

    Can be run again, as AddIndexOnline. Rows that are alike make it fail: clear them up, and run it again.
    """

    constraint: UniqueConstraint

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        self._ensure_not_in_transaction(schema_editor)
        model = to_state.apps.get_model(app_label, self.model_name)
        with patient(schema_editor):
            valid = validity(schema_editor, self.constraint.name)
            if valid is False:
                schema_editor.execute(_drop(schema_editor, self.constraint.name))
            if not valid:
                statement = str(self.constraint.create_sql(model, schema_editor))
                before, made, after = statement.partition("CREATE UNIQUE INDEX")
                schema_editor.execute(f"{before}{made} CONCURRENTLY{after}", params=None)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        self._ensure_not_in_transaction(schema_editor)
        with patient(schema_editor):
            schema_editor.execute(_drop(schema_editor, self.constraint.name))


class RemoveIndexOnline(RemoveIndexConcurrently):
    """RemoveIndexConcurrently that can be run again: an index that is gone already is no failure."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        self._ensure_not_in_transaction(schema_editor)
        with patient(schema_editor):
            schema_editor.execute(_drop(schema_editor, self.name))

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        index = to_state.models[app_label, self.model_name_lower].get_index_by_name(self.name)
        AddIndexOnline(self.model_name, index).database_forwards(
            app_label, schema_editor, from_state, to_state
        )


class DropFieldIndexOnline(AlterField):
    """AlterField to `db_index=False` of a foreign key, without a lock that others wait for.

    Give it the field as it shall be; nothing else of it may change. Can be run again.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        index = self._index(app_label, schema_editor, from_state)
        with patient(schema_editor):
            schema_editor.execute(_drop(schema_editor, index.name))

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        index = self._index(app_label, schema_editor, from_state)
        AddIndexOnline(self.model_name, index).database_forwards(
            app_label, schema_editor, from_state, to_state
        )

    def _index(self, app_label: str, schema_editor: Any, state: Any) -> Index:
        """The one that Django makes for a foreign key, under Django's name for it."""
        model = state.apps.get_model(app_label, self.model_name)
        column = model._meta.get_field(self.name).column
        name = schema_editor._create_index_name(model._meta.db_table, [column])
        return Index(fields=[self.name], name=name)


class AddCheckOnline(NotInTransactionMixin, AddConstraintNotValid):
    """AddConstraint of a CHECK, without a lock that others wait for while the rows are read.

    It is added NOT VALID, which reads no row and holds for every write from then on, and validated
    afterwards, while others read and write. Can be run again: one that was added already is only
    validated. A row that breaks it stops the migration, and the constraint stays NOT VALID.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        # The lock of the first step would be held until the second has read every row.
        self._ensure_not_in_transaction(schema_editor)
        table = from_state.apps.get_model(app_label, self.model_name)._meta.db_table
        if not _has_constraint(schema_editor, table, self.constraint.name):
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        validate = ValidateConstraint(self.model_name, self.constraint.name)
        with patient(schema_editor):
            validate.database_forwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        return f"Create and validate constraint {self.constraint.name} on model {self.model_name}"


class UpdateInBatches(RunPython):
    """An UPDATE of a whole table, a few thousand rows at a time, each batch committed.

    `update` ends in a condition that the batch is added to, and changes no row twice: a migration
    that was interrupted can be run again.
    """

    def __init__(self, table: str, update: str, *, batch: int = BATCH) -> None:
        self.table, self.update, self.batch = table, update, batch
        super().__init__(self._run, RunPython.noop, atomic=False)

    def _run(self, apps: Any, schema_editor: Any) -> None:
        after: Any = None
        with patient(schema_editor), schema_editor.connection.cursor() as cursor:
            while ids := self._next(cursor, after):
                after = ids[-1]
                cursor.execute(
                    f"{self.update} AND {self.table}.id BETWEEN %s AND %s", [ids[0], after]
                )

    def _next(self, cursor: Any, after: Any) -> list[Any]:
        later = "" if after is None else "WHERE id > %(after)s"
        cursor.execute(
            f"SELECT id FROM {self.table} {later} ORDER BY id LIMIT {self.batch}",  # noqa: S608 - ours
            {"after": after},
        )
        return [pk for (pk,) in cursor.fetchall()]


@contextmanager
def patient(schema_editor: Any) -> Iterator[None]:
    """Wait for locks for LOCK_TIMEOUT, and for the statement itself for as long as it takes."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
        )
        before = cursor.fetchone()
        _set_timeouts(cursor, LOCK_TIMEOUT, "0")
        try:
            yield
        finally:
            _set_timeouts(cursor, *before)


def validity(schema_editor: Any, name: str) -> bool | None:
    """Whether the index is usable; None when there is no such index."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(quote_ident(%s))",
            [name],
        )
        row = cursor.fetchone()
    return None if row is None else bool(row[0])


def _has_constraint(schema_editor: Any, table: str, name: str) -> bool:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_constraint"
            " WHERE conrelid = to_regclass(quote_ident(%s)) AND conname = %s)",
            [table, name],
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def _set_timeouts(cursor: Any, lock: str, statement: str) -> None:
    cursor.execute(
        "SELECT set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false)",
        [lock, statement],
    )


def _drop(schema_editor: Any, name: str) -> str:
    return f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(name)}"
