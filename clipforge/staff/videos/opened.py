"""The videos that a person opened in this session, and the reason that was given first.

Nothing of a video is shown before: not its pictures, nor its words.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest

WATCH = "staff.watch_videos"
KEY = "videos"
# Of a session: the oldest are asked for again.
MOST = 200


def reason_of(request: HttpRequest) -> str:
    """The reason that was given in this session; empty before."""
    return str(_kept(request).get("reason", ""))


def is_open(request: HttpRequest, project_id: uuid.UUID) -> bool:
    """Whether the person may watch it now. Who lost the permission meanwhile may not."""
    return request.user.has_perm(WATCH) and str(project_id) in _kept(request).get("opened", ())


def remember(request: HttpRequest, project_id: uuid.UUID, reason: str) -> None:
    opened = [each for each in _kept(request).get("opened", ()) if each != str(project_id)]
    request.session[KEY] = {"reason": reason, "opened": [*opened, str(project_id)][-MOST:]}


def _kept(request: HttpRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.session.get(KEY, {})
    return found
