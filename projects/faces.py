"""The face model of this installation: `FACE_MODEL`, and what is said where it is missing."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.core import checks

from clipforge.media.reframing import models
from clipforge.media.reframing.models import FaceModel, FaceModelMissing

logger = logging.getLogger(__name__)


def model() -> FaceModel | None:
    """The model that clips follow people with; None where it is turned off, or where it is missing."""
    if not settings.FACE_MODEL:
        return None
    try:
        return models.find(settings.FACE_MODEL)
    except FaceModelMissing as missing:
        logger.warning("no faces: %s", missing)
        return None


@checks.register()
def face_model_is_there(**_: Any) -> list[checks.CheckMessage]:
    try:
        if settings.FACE_MODEL:
            models.find(settings.FACE_MODEL)
    except FaceModelMissing as missing:
        return [
            checks.Warning(
                f"FACE_MODEL: {missing}. Clips follow movement, and not people.",
                hint="Install the package or name another model; empty turns it off.",
                id="exports.W001",
            )
        ]
    return []
