"""An index on the queue's own table: which entry waits or runs for which job.

For the kinds whose task names its job `job_id`; `staff_jobs_of_work` is for the two that are older.
"""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from clipforge.common.migrations import patient

NAME = "jobs_entries_of_jobs"
# Nothing of the older kinds is in it: their entries cost nothing more to write.
REST = "((args ->> 'job_id')) WHERE status IN ('todo', 'doing') AND (args ->> 'job_id') IS NOT NULL"


def add(apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Dropped first: a build that was interrupted leaves an invalid one behind."""
    remove(apps, schema_editor)
    with patient(schema_editor):
        schema_editor.execute(f"CREATE INDEX CONCURRENTLY {NAME} ON procrastinate_jobs {REST}")


def remove(apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    with patient(schema_editor):
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {NAME}")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("procrastinate", "0041_post_retry_failed_job")]
    operations = [migrations.RunPython(add, remove)]
