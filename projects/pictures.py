"""Signed, expiring links to the pictures of a project: each permits fetching them until it expires.

They never lead to the source, beside which the pictures are.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.conf import settings
from django.core import signing
from django.urls import reverse

from clipforge.common import storage
from clipforge.common.errors import Conflict, Forbidden, NotFound
from clipforge.media.contracts import PICTURES, POSTERS
from projects.models import Moment, Project

SALT = "projects.pictures"


def beginning_of(project: Project, moment_id: uuid.UUID | None = None) -> str:
    """The beginning of the storage keys of the pictures of a project, or of one of its moments."""
    of = f"moment-{moment_id}." if moment_id else ""
    return f"{project.source_key}.{of}"


def forget(project: Project, moment_ids: Iterable[uuid.UUID]) -> None:
    """Delete the posters of moments."""
    for moment_id in moment_ids:
        for name in POSTERS:
            storage.path_of(beginning_of(project, moment_id) + name).unlink(missing_ok=True)


def signed_url(project: Project, name: str, *, moment: Moment | None = None) -> str:
    """The path to one of the PICTURES, or to a poster of the moment, good for DOWNLOAD_URL_SECONDS.

    Raises Conflict before the project was analysed.
    """
    if project.status not in Project.ANALYSED:
        raise Conflict(
            f"The project is {project.status}; it has pictures once it is READY or EMPTY.",
            code="project_not_ready",
        )
    token = signing.TimestampSigner(salt=SALT).sign_object(
        beginning_of(project, moment.pk if moment else None)
    )
    return reverse("picture-file", args=[token, name])


def key_of(token: str, name: str) -> str:
    """The storage key of the picture that a token and a name lead to.

    Raises Forbidden for a token that is forged or has expired, NotFound for another name.
    """
    try:
        beginning: str = signing.loads(token, salt=SALT, max_age=settings.DOWNLOAD_URL_SECONDS)
    except signing.SignatureExpired:
        raise Forbidden(
            "This link has expired. Ask the API for a new one.", code="link_expired"
        ) from None
    except signing.BadSignature:
        raise Forbidden("This link is not valid.", code="link_invalid") from None
    if name not in PICTURES:
        raise NotFound
    return f"{beginning}{name}"
