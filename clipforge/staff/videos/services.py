"""Watching the video of a customer: with a reason, which the audit keeps."""

from __future__ import annotations

from clipforge.audit.actor import Actor
from clipforge.audit.models import AuditEntry
from clipforge.audit.services import write_entry
from projects.models import Project


def note_watching(*, project: Project, reason: str, actor: Actor) -> AuditEntry:
    """Leave the row that says who looked at the video, its pictures and its words, and why."""
    return write_entry(
        actor=actor,
        verb="watch_video",
        subject=project,
        org=project.org,
        after={"source": project.source_name},
        reason=reason,
    )
