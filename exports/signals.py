"""Receivers, one line each."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from exports import services
from projects.events import project_deleting
from projects.models import Project


@receiver(project_deleting)
def drop_exports(sender: Any, project: Project, actor: str, **kwargs: Any) -> None:
    services.drop_exports_of(project=project, actor=actor)
