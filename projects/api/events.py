"""The events of projects, with the body that `GET /projects/{id}` has."""

from __future__ import annotations

from rest_framework.renderers import JSONRenderer

from clipforge.events.registry import EventType, register
from projects import selectors
from projects.api.serializers import ProjectSerializer
from projects.models import Project


def body(project: Project) -> bytes:
    """As it is now in the database, whatever the instance knows."""
    found = selectors.get_project(project.org, project.pk)
    return bytes(JSONRenderer().render(ProjectSerializer(found).data))


for name, told_when in {
    "ready": "The analysis found moments.",
    "empty": "The analysis found nothing worth clipping; nothing was charged.",
    "failed": "The analysis failed; `error` says why, and nothing was charged.",
    "cancelled": "The analysis was stopped, or the project is deleted.",
    "ending": "The source is deleted within a week; moments and finished exports stay.",
    "expiring": "The source is deleted within a day; moments and finished exports stay.",
}.items():
    register(
        EventType(name=f"project.{name}", told_when=told_when, body=body, answer=ProjectSerializer)
    )
