"""Migrations of this release that the database does not have yet."""

from __future__ import annotations

from django.db import connection
from django.db.migrations.executor import MigrationExecutor


def pending_migrations() -> list[str]:
    """Their names, as `app.name`, in the order in which they would be applied.

    Loads the whole graph of migrations: 60 ms of CPU. Raises django.db.Error without a database.
    """
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
