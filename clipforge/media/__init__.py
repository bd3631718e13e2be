"""Probe, analyse and render video. Plain Python: no Django, a request in, a result out."""

from clipforge.media.contracts import (
    Analysis,
    Aspect,
    ErrorCode,
    Limits,
    MediaError,
    Rendered,
    RenderSpec,
    ScoredMoment,
    SourceInfo,
)
from clipforge.media.operations import analyse, probe, render

__all__ = [
    "Analysis",
    "Aspect",
    "ErrorCode",
    "Limits",
    "MediaError",
    "RenderSpec",
    "Rendered",
    "ScoredMoment",
    "SourceInfo",
    "analyse",
    "probe",
    "render",
]
