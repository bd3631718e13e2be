"""What the queue runs. The only module of this app that knows the queue."""

from __future__ import annotations

import logging
import time
import uuid

from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from clipforge.common import storage
from clipforge.jobs import sweeping
from projects import analysing
from projects.models import Project

logger = logging.getLogger(__name__)

# A file that nobody has written to for so long, and that no row knows, was left by a crash. Seconds.
ABANDONED_UPLOAD_SECONDS = 24 * 3600

# A job that failed comes again, whatever the fault: one that could not even claim its project is
# brought back by nothing else, and to one that had claimed it the fence says no.
COMES_AGAIN = RetryStrategy(wait=5)


@app.task(queue="analysis", name="projects.analyse", retry=COMES_AGAIN)
def analyse_project(project_id: str, fence: int) -> None:
    analysing.run(uuid.UUID(project_id), fence=fence, defer=defer_analysis)


def defer_analysis(pk: uuid.UUID, fence: int, *, priority: int = 0) -> None:
    """Queue the analysis in the caller's transaction: no commit, no task."""
    analyse_project.configure(priority=priority).defer(project_id=str(pk), fence=fence)


@app.periodic(cron="* * * * * */15")
@app.task(queue="maintenance", queueing_lock="projects.sweep", name="projects.sweep")
def sweep_projects(timestamp: int) -> None:
    """Take analyses from workers that stopped."""
    requeued, failed = sweeping.sweep(Project, defer=defer_analysis)
    if requeued or failed:
        logger.warning("swept analyses", extra={"requeued": requeued, "failed": failed})


@app.periodic(cron="17 * * * *")
@app.task(queue="maintenance", queueing_lock="projects.files", name="projects.remove_orphans")
def remove_orphans(timestamp: int) -> None:
    """Remove what broken uploads and failed commits left behind."""
    now = time.time()
    storage.remove_old_incoming(older_than_seconds=ABANDONED_UPLOAD_SECONDS, now=now)
    removed = storage.remove_orphans(
        "projects",
        exists=lambda ids: Project.objects.filter(pk__in=ids).values_list("pk", flat=True),
        older_than_seconds=ABANDONED_UPLOAD_SECONDS,
        now=now,
    )
    if removed:
        logger.warning("removed orphaned sources", extra={"removed": removed})
