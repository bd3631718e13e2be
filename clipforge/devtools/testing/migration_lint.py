"""Operations of migrations that lock customers out, or break the code that still runs.

The SQL of each operation is checked by django-migration-linter, with one rule more (ADD_CHECK).
It cannot see from the SQL with how much patience an index is built: that rule is here too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    NotInTransactionMixin,
    ValidateConstraint,
)
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django_migration_linter import MigrationLinter
from django_migration_linter.sql_analyser.analyser import analyse_sql_statements
from django_migration_linter.sql_analyser.base import Check, CheckMode, CheckType
from django_migration_linter.sql_analyser.postgresql import PostgresqlAnalyser

from clipforge.common.migrations import (
    AddCheckOnline,
    AddIndexOnline,
    AddUniqueOnline,
    DropFieldIndexOnline,
    RemoveIndexOnline,
)

OURS = {
    config.label
    for config in apps.get_app_configs()
    if config.name.partition(".")[0] in {"clipforge", "credits", "projects", "exports", "billing"}
}

_EARLY = "ran before there were customers"
# Migrations that were applied before a rule existed. A new one belongs here only with a reason why it
# makes no request wait and the code that still runs goes on; else it is made another way.
EXPLAINED = {
    # A row for each who ever paid, and none yet has the column that the condition asks for.
    "billing/0006_alerts: CREATE_INDEX: Create index billing_account_watched on field(s) org of model billingaccount": _EARLY,
    "billing/0006_alerts: INDEX: Create index billing_account_watched on field(s) org of model billingaccount": _EARLY,
    "billing/0006_alerts: ADD_CHECK: Add field low_balance_threshold to billingaccount": _EARLY,
    "billing/0009_crossings: ADD_CHECK: Add field crossings to billingaccount": _EARLY,
    "credits/0003_count_open_holds: ADD_CHECK: Create constraint credits_account_open_holds_positive on model creditaccount": _EARLY,
    "credits/0004_credit_reversals: ADD_CHECK: Create constraint credits_account_debt_positive on model creditaccount": _EARLY,
    # Five rows, one a tier, which only the staff write.
    "orgs/0003_cached_rows_and_scoped_limits: ADD_CHECK: Add field uploads_per_minute to tierlimits": _EARLY,
    "orgs/0003_cached_rows_and_scoped_limits: NOT_NULL: Add field uploads_per_minute to tierlimits": _EARLY,
    "orgs/0003_cached_rows_and_scoped_limits: ADD_CHECK: Add field exports_per_minute to tierlimits": _EARLY,
    "orgs/0003_cached_rows_and_scoped_limits: NOT_NULL: Add field exports_per_minute to tierlimits": _EARLY,
    "orgs/0011_resolution: ADD_CHECK: Add field max_resolution to tierlimits": _EARLY,
    "orgs/0013_queued_jobs: ADD_CHECK: Add field queued_jobs to tierlimits": "five rows, which only the staff write",
    # A row for each of the staff.
    "orgs/0007_session_version: ADD_CHECK: Add field session_version to user": _EARLY,
    "staff/0006_payments_by_two: ALTER_COLUMN: Alter field ticket on moneyrequest": _EARLY,
    "staff/0006_payments_by_two: ADD_CHECK: Create constraint staff_moneyrequest_kind_fits on model moneyrequest": _EARLY,
    "staff/0013_refund_requests: ADD_CHECK: Add field refund_amount to approvalrequest": "A request for each large movement of credits, and all of them empty in it: a hundred rows.",
}

ONLINE = (AddCheckOnline, AddIndexOnline, AddUniqueOnline, DropFieldIndexOnline, RemoveIndexOnline)

# The word COLUMN may be left out, which the linter does not know.
RENAMED_COLUMN = re.compile(r"ALTER TABLE .* RENAME (?!TO |CONSTRAINT )")
VALIDATED_CHECK = re.compile(r"ALTER TABLE .* ADD .*\bCHECK ?\((?!.*NOT VALID)")


class OnlineAnalyser(PostgresqlAnalyser):
    """The linter's rules, and two more: any form of RENAME, and a CHECK that is validated at once."""

    migration_checks = [
        *PostgresqlAnalyser.migration_checks,
        Check(
            code="RENAME_COLUMN",
            fn=lambda sql, **_: RENAMED_COLUMN.search(sql),
            message="RENAMING columns",
            mode=CheckMode.ONE_LINER,
            type=CheckType.ERROR,
        ),
        Check(
            code="ADD_CHECK",
            fn=lambda sql, **_: VALIDATED_CHECK.search(sql),
            message="ADDING a CHECK that is validated at once",
            mode=CheckMode.ONE_LINER,
            type=CheckType.ERROR,
        ),
    ]


def faults() -> Iterator[str]:
    """Those of every migration on disk, in the order in which they run."""
    loader = MigrationLoader(None)
    state = ProjectState(real_apps=loader.unmigrated_apps)
    for app, name in loader.graph._generate_plan(loader.graph.leaf_nodes(), at_end=True):
        made: set[str] = set()
        for operation in loader.graph.nodes[app, name].operations:
            if isinstance(operation, migrations.CreateModel):
                made.add(operation.name_lower)
            if app in OURS:
                for code in faults_of(operation, app, state, made):
                    yield f"{app}/{name}: {code}: {operation.describe()}"
            operation.state_forwards(app, state)


def faults_of(operation: Operation, app: str, state: ProjectState, made: set[str]) -> list[str]:
    """The codes of the rules that it breaks; `made` are the models of the same migration.

    A table made in the same migration is empty, and no code reads it yet.
    """
    model = getattr(operation, "model_name_lower", None) or getattr(operation, "name_lower", None)
    if model in made or isinstance(operation, ONLINE):
        return []
    if isinstance(operation, migrations.RunPython):
        issues = MigrationLinter.get_runpython_model_import_issues(operation.code)
        return sorted({issue.code for issue in issues})
    codes = set(codes_of(sql_of(operation, app, state)))
    if isinstance(operation, AddConstraintNotValid | ValidateConstraint):
        codes.add("ADD_CHECK")  # holds its lock through the rest of the transaction: AddCheckOnline
    if changes_an_index(operation, app, state):
        codes.add("INDEX")
    return sorted(codes)


def codes_of(statements: list[str]) -> Iterable[str]:
    # The rules are written for capitals on one line, as Django writes; people do not.
    lines = [" ".join(statement.split()).upper() for statement in statements]
    errors, _, warnings = analyse_sql_statements(OnlineAnalyser, lines)
    return (issue.code for issue in [*errors, *warnings])


def sql_of(operation: Operation, app: str, state: ProjectState) -> list[str]:
    """The statements that it would run on a table as `state` has it. Runs none of them.

    Of Django's own concurrent operations none: they refuse the transaction that a test is.
    """
    if isinstance(operation, NotInTransactionMixin):
        return []
    after = state.clone()
    operation.state_forwards(app, after)
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        operation.database_forwards(app, editor, state, after)
    return list(editor.collected_sql)


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
