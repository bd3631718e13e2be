"""Receivers, one line each."""

from __future__ import annotations

import uuid
from typing import Any

from django.dispatch import receiver

from clipforge.events import outbox
from clipforge.jobs.events import job_ended
from exports import selectors, services
from exports.models import Export
from projects.events import moments_replacing, project_deleting
from projects.models import Project


@receiver(project_deleting)
def drop_exports(sender: Any, project: Project, actor: str, **kwargs: Any) -> None:
    services.drop_exports_of(project=project, actor=actor)


@receiver(job_ended, sender=Export)
def record_end(sender: Any, job: Export, status: str, **kwargs: Any) -> None:
    outbox.record(f"export.{status.lower()}", job, org=job.org)


@receiver(moments_replacing)
def need_moments(sender: Any, project: Project, **kwargs: Any) -> set[uuid.UUID]:
    return selectors.exported_moments(project)
