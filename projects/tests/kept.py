"""Kept features of made-up sources, in which it is known who talks when."""

from __future__ import annotations

import numpy as np

from clipforge.media.kept import keep
from clipforge.media.tests import tracks
from projects.models import Project, ProjectFeatures

# Two talks in two calm minutes.
TALKS = ((20.0, 50.0), (80.0, 105.0))


def keep_features(
    project: Project, *spoken: tuple[float, float], content: bytes | None = None
) -> None:
    """Give the project features of its length, with talk at these times (TALKS unless told)."""
    seconds = project.duration
    sound = tracks.sound(seconds, *(spoken or TALKS))
    sound.level[:] += np.random.default_rng(0).uniform(-3, 3, len(sound.level))
    packed = keep(sound, tracks.picture(seconds), seconds, exact_cuts=True)
    ProjectFeatures.objects.create(
        project=project, org=project.org, format=1, content=packed if content is None else content
    )
