"""Indexes on tables that are in use: added and removed while customers read and write.

In a migration of its own with `atomic = False`:

    operations = [AddIndexOnline("export", models.Index(fields=["org"], name="exports_export_org"))]
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently

# A concurrent build waits for transactions older than itself, the longest of which is a report or a
# backup. Nobody who reads or writes waits behind it meanwhile, so this may take long.
LOCK_TIMEOUT = "10min"


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


def _set_timeouts(cursor: Any, lock: str, statement: str) -> None:
    cursor.execute(
        "SELECT set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false)",
        [lock, statement],
    )


def _drop(schema_editor: Any, name: str) -> str:
    return f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(name)}"
