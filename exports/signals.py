"""Receivers, one line each."""

from __future__ import annotations

import uuid
from typing import Any

from django.dispatch import receiver

from clipforge.events import outbox
from clipforge.jobs.events import file_ending, job_ended
from exports import selectors, services
from exports.models import Export
from projects.events import moment_deleting, moments_replacing, project_deleting, source_expiring
from projects.models import Moment, Project

# The event that tells of the end of a file, by the days that are left.
ENDING = {1: "export.expiring", 7: "export.ending"}


@receiver(project_deleting)
def drop_exports(sender: Any, project: Project, actor: str, **kwargs: Any) -> None:
    services.drop_exports_of(project=project, actor=actor)


@receiver(job_ended, sender=Export)
def record_end(sender: Any, job: Export, status: str, **kwargs: Any) -> None:
    outbox.record(f"export.{status.lower()}", job, org=job.org)


@receiver(moments_replacing)
def need_moments(sender: Any, project: Project, **kwargs: Any) -> set[uuid.UUID]:
    return selectors.exported_moments(project)


@receiver(moment_deleting)
def forget_moment(sender: Any, moment: Moment, **kwargs: Any) -> None:
    services.forget_moment(moment=moment)


@receiver(file_ending, sender=Export)
def record_ending(sender: Any, job: Export, days: int, **kwargs: Any) -> None:
    outbox.record(ENDING[days], job, org=job.org)


@receiver(source_expiring)
def need_source(sender: Any, project: Project, **kwargs: Any) -> bool:
    return selectors.open_exports_of(project)
