"""Migrations of tables that customers use meanwhile lock nobody out while an index is made or dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from clipforge.common.migrations import AddIndexOnline, DropFieldIndexOnline, RemoveIndexOnline

OURS = {
    config.label
    for config in apps.get_app_configs()
    if config.name.partition(".")[0] in {"clipforge", "credits", "projects", "exports", "billing"}
}

EXPLAINED = {
    # A row for each who ever paid, and none yet has the column that the condition asks for.
    "billing/0006_alerts: Create index billing_account_watched on field(s) org of model billingaccount"
}


def faults() -> Iterator[str]:
    """Of every migration on disk, in the order in which they run."""
    loader = MigrationLoader(None)
    state = ProjectState(real_apps=loader.unmigrated_apps)
    for app, name in loader.graph._generate_plan(loader.graph.leaf_nodes(), at_end=True):
        made: set[str] = set()
        for operation in loader.graph.nodes[app, name].operations:
            if isinstance(operation, migrations.CreateModel):
                made.add(operation.name_lower)
            if app in OURS and (fault := fault_of(operation, app, state, made)):
                yield f"{app}/{name}: {fault}"
            operation.state_forwards(app, state)


def fault_of(operation: Operation, app: str, state: ProjectState, made: set[str]) -> str | None:
    """What locks a table that is there already; `made` are those of the same migration."""
    if getattr(operation, "model_name_lower", None) in made:
        return None
    safe = isinstance(operation, AddIndexOnline | RemoveIndexOnline | DropFieldIndexOnline)
    if not safe and changes_an_index(operation, app, state):
        return operation.describe()
    return None


def changes_an_index(operation: Operation, app: str, state: ProjectState) -> bool:
    match operation:
        case migrations.AddIndex() | migrations.RemoveIndex():
            return True
        case migrations.AddConstraint():
            return isinstance(operation.constraint, models.UniqueConstraint | ExclusionConstraint)
        case migrations.AlterField():
            before = state.models[app, operation.model_name_lower].fields[operation.name]
            return has_index(before) != has_index(operation.field)
        case migrations.AddField():
            return has_index(operation.field)
        case migrations.AlterUniqueTogether() | migrations.AlterIndexTogether():
            return True
    return False


def has_index(field: Any) -> bool:
    return bool(field.unique or field.db_index)


def test_every_index_of_a_table_that_is_there_is_made_and_dropped_online():
    assert set(faults()) == EXPLAINED


TITLE = models.Index(fields=["title"], name="i")


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddIndex("project", TITLE),
        AddIndexConcurrently("project", TITLE),  # waits for its lock for ever
        migrations.RemoveIndex("project", "i"),
        migrations.AddConstraint("project", models.UniqueConstraint(fields=["title"], name="u")),
        migrations.AlterField("project", "title", models.TextField(db_index=True)),
        migrations.AddField("project", "code", models.TextField(unique=True)),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_what_would_lock_a_table_is_noticed_unless_the_table_is_new(operation: Operation):
    state = MigrationLoader(None).project_state()
    assert fault_of(operation, "projects", state, set()) == operation.describe()
    assert fault_of(operation, "projects", state, {"project"}) is None


@pytest.mark.parametrize(
    "operation",
    [
        AddIndexOnline("project", TITLE),
        migrations.AlterField("project", "title", models.TextField(default="")),
        migrations.AddField("project", "code", models.TextField(default="")),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_what_locks_nobody_out_is_no_fault(operation: Operation):
    state = MigrationLoader(None).project_state()
    assert fault_of(operation, "projects", state, set()) is None
