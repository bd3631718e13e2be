"""Probe, analyse and render video. Plain Python: no Django, a request in, a result out."""

from clipforge.media.contracts import (
    Analysis,
    Aspect,
    Choice,
    Chosen,
    ErrorCode,
    Layout,
    Limits,
    MediaError,
    MomentKind,
    Rendered,
    RenderSpec,
    ScoredMoment,
    Snap,
    SourceInfo,
    WarningCode,
)
from clipforge.media.operations import analyse, choose, illustrate, place, probe, render

__all__ = [
    "Analysis",
    "Aspect",
    "Choice",
    "Chosen",
    "ErrorCode",
    "Layout",
    "Limits",
    "MediaError",
    "MomentKind",
    "RenderSpec",
    "Rendered",
    "ScoredMoment",
    "Snap",
    "SourceInfo",
    "WarningCode",
    "analyse",
    "choose",
    "illustrate",
    "place",
    "probe",
    "render",
]
