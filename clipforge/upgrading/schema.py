"""Migrations that are pending: what each locks, for about how long, and whether earlier code goes on beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.contrib.postgres.operations import NotInTransactionMixin
from django.db import DatabaseError, connection
from django.db.migrations import RunPython
from django.db.migrations.executor import MigrationExecutor

from clipforge.common.migrations import UpdateInBatches
from clipforge.upgrading import statements
from clipforge.upgrading.statements import Effect, Lasts, Waits

# Of a table that is not in memory, on the disk of a small machine; what is known is its size only.
READ_BYTES_A_SECOND = 200 << 20
WRITE_BYTES_A_SECOND = 40 << 20
# Its rows are found by an index and each is written, with its log.
BATCH_ROWS_A_SECOND = 20_000


class Step(NamedTuple):
    """One effect of one migration. `seconds` is about how long it lasts; None: nobody can tell."""

    migration: str
    effect: Effect
    rows: int
    bytes: int
    seconds: float | None


class Table(NamedTuple):
    rows: int
    bytes: int


class Ahead(NamedTuple):
    """The migrations to come, by name, and their effects on tables in use; none of an empty database."""

    migrations: list[str]
    steps: list[Step]
    is_new: bool

    @property
    def breaking(self) -> list[str]:
        """Everything on the new schema that the earlier release would stumble over, each as a sentence."""
        return sorted(
            {
                f"{step.migration}: {step.effect.table}: {step.effect.breaks}"
                for step in self.steps
                if step.effect.breaks
            }
        )


def ahead() -> Ahead:
    """Raises django.db.Error without a database. Runs no statement of a migration."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    names = [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
    tables = sizes()
    if not plan or not tables:
        return Ahead(names, [], is_new=not tables)
    state = executor.loader.project_state(list(executor.loader.applied_migrations))
    made: set[str] = set()
    steps: list[Step] = []
    for name, (migration, _) in zip(names, plan, strict=True):
        for operation in migration.operations:
            after = state.clone()
            operation.state_forwards(migration.app_label, after)
            found = effects_of(operation, migration.app_label, state, after, made)
            steps += [_step(name, effect, tables) for effect in found]
            state = after
    return Ahead(names, list(dict.fromkeys(steps)), is_new=False)


def effects_of(
    operation: Any, app_label: str, before: Any, after: Any, made: set[str]
) -> list[Effect]:
    """Those of one operation of a migration."""
    match operation:
        case NotInTransactionMixin():
            table = _table_of(operation, app_label, after)
            beside = Effect(table, statements.SHARE_UPDATE, Waits.NOBODY, Lasts.READING)
            return [] if table in made else [beside]
        case UpdateInBatches():
            return [Effect(operation.table, "rows", Waits.NOBODY, Lasts.REWRITING)]
        case RunPython():
            return [Effect("rows, by code", "rows", Waits.WRITERS, Lasts.UNKNOWN)]
    try:
        with connection.schema_editor(collect_sql=True, atomic=False) as editor:
            operation.database_forwards(app_label, editor, before, after)
    except (ValueError, DatabaseError) as error:  # it looks for what an earlier step would make
        reason = str(error).splitlines()[0][:100]
        return [
            Effect(f"{operation.describe()} ({reason})", "unknown", Waits.EVERYBODY, Lasts.UNKNOWN)
        ]
    return list(statements.effects(editor.collected_sql, made))


def _table_of(operation: Any, app_label: str, state: Any) -> str:
    model = state.models.get((app_label, operation.model_name_lower))
    named = model.options.get("db_table") if model else None
    return str(named or f"{app_label}_{operation.model_name_lower}")


def sizes() -> dict[str, Table]:
    """Tables of this database, with their rows as the planner counted them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, greatest(reltuples, 0)::bigint, pg_table_size(oid) FROM pg_class"
            " WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace"
        )
        return {name: Table(rows, size) for name, rows, size in cursor.fetchall()}


def _step(migration: str, effect: Effect, tables: Mapping[str, Table]) -> Step:
    rows, size = tables.get(effect.table, Table(0, 0))
    seconds: dict[Lasts, float | None] = {
        Lasts.A_MOMENT: 0.0,
        Lasts.READING: size / READ_BYTES_A_SECOND,
        Lasts.REWRITING: (
            rows / BATCH_ROWS_A_SECOND if effect.lock == "rows" else size / WRITE_BYTES_A_SECOND
        ),
        Lasts.UNKNOWN: None,
    }
    return Step(migration, effect, rows, size, seconds[effect.lasts])
