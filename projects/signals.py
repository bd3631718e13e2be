"""Receivers, one line each."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from clipforge.events import outbox
from clipforge.jobs.events import file_ending, job_ended
from projects.models import Project

# The event that tells of the end of a source, by the days that are left.
ENDING = {1: "project.expiring", 7: "project.ending"}


@receiver(job_ended, sender=Project)
def record_end(sender: Any, job: Project, status: str, **kwargs: Any) -> None:
    outbox.record(f"project.{status.lower()}", job, org=job.org)


@receiver(file_ending, sender=Project)
def record_ending(sender: Any, job: Project, days: int, **kwargs: Any) -> None:
    outbox.record(ENDING[days], job, org=job.org)
