"""The speech model of this installation: `SPEECH_MODEL`, and what is said where it is missing."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.core import checks

from clipforge.media.speech import models
from clipforge.media.speech.models import ModelMissing, SpeechModel

logger = logging.getLogger(__name__)


def model(language: str | None) -> SpeechModel | None:
    """The model that writes transcripts; None where they are turned off, or where it is missing.

    `language` is that of the source, where the customer named it.
    """
    if not settings.SPEECH_MODEL:
        return None
    try:
        return replace(models.find(settings.SPEECH_MODEL), language=language)
    except ModelMissing as missing:
        logger.warning("no transcript: %s", missing)
        return None


@checks.register()
def speech_model_is_there(**_: Any) -> list[checks.CheckMessage]:
    try:
        if settings.SPEECH_MODEL:
            models.find(settings.SPEECH_MODEL)
    except ModelMissing as missing:
        return [
            checks.Warning(
                f"SPEECH_MODEL: {missing}. Projects are analysed without transcripts.",
                hint="Install the package or name another model; empty turns transcripts off.",
                id="projects.W001",
            )
        ]
    return []
