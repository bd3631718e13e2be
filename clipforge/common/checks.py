"""System checks of a deployed service."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, register


@register(Tags.security, deploy=True)
def no_faultpoints(**_: Any) -> list[Error]:
    if not settings.FAULTPOINTS:
        return []
    return [
        Error(
            "FAULTPOINTS is set: this process ends itself in the middle of its work.",
            hint="Unset it. It is for tests only.",
            id="clipforge.E001",
        )
    ]


@register(Tags.security, deploy=True)
def nothing_is_sent_to_ourselves(**_: Any) -> list[Error]:
    if not settings.OUTBOUND_LOOPBACK:
        return []
    return [
        Error(
            "OUTBOUND_LOOPBACK is set: customers can have requests sent to this machine.",
            hint="Unset it. It is for tests and development only.",
            id="clipforge.E002",
        )
    ]
