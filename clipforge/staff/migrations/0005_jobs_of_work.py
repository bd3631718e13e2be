"""Indexes on the queue's own table: what failed, and which job waits or runs for which work."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from clipforge.common.migrations import patient

INDEXES = {
    "staff_jobs_failed": "(id) WHERE status = 'failed'",
    "staff_jobs_of_work": (
        "((COALESCE(args ->> 'project_id', args ->> 'export_id')))"
        " WHERE status IN ('todo', 'doing')"
    ),
}


def add(apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Dropped first: a build that was interrupted leaves an invalid one behind."""
    remove(apps, schema_editor)
    with patient(schema_editor):
        for name, rest in INDEXES.items():
            schema_editor.execute(f"CREATE INDEX CONCURRENTLY {name} ON procrastinate_jobs {rest}")


def remove(apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    with patient(schema_editor):
        for name in INDEXES:
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("staff", "0004_rescue_runs"),
        ("procrastinate", "0041_post_retry_failed_job"),
    ]
    operations = [migrations.RunPython(add, remove)]
