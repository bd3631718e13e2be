"""Receivers, one line each."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from clipforge.events import outbox
from clipforge.jobs.events import job_ended
from projects.models import Project


@receiver(job_ended, sender=Project)
def record_end(sender: Any, job: Project, status: str, **kwargs: Any) -> None:
    outbox.record(f"project.{status.lower()}", job, org=job.org)
