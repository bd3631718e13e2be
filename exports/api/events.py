"""The events of exports, with the body that `GET /exports/{id}` has."""

from __future__ import annotations

from rest_framework.renderers import JSONRenderer

from clipforge.events.registry import EventType, register
from exports import selectors
from exports.api.serializers import ExportSerializer
from exports.models import Export

# A link opens the file to whoever has it, and has ended when an event is sent again: GET has one.
NO_LINK = {"download_url": None, "download_expires_at": None}


def body(export: Export) -> bytes:
    """As it is now in the database, whatever the instance knows; without a link."""
    found = selectors.get_export(export.org, export.pk)
    return bytes(JSONRenderer().render({**ExportSerializer(found).data, **NO_LINK}))


for name, told_when in {
    "ready": "The file is there.",
    "failed": "The render failed; `error` says why, and nothing was charged.",
    "cancelled": "The render was stopped, or the project is deleted.",
    "ending": "The file is deleted within a week.",
    "expiring": "The file is deleted within a day.",
}.items():
    register(
        EventType(name=f"export.{name}", told_when=told_when, body=body, answer=ExportSerializer)
    )
