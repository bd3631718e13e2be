"""Signed, expiring links to the pictures of a project: each permits fetching them until it expires.

They never lead to the source, beside which the pictures are.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.core import signing
from django.db import transaction
from django.urls import reverse

from clipforge.common import storage
from clipforge.common.errors import Conflict, NotFound
from clipforge.common.links import Target, open_link
from clipforge.media.contracts import PICTURES, POSTERS
from clipforge.orgs import stored
from projects.models import Moment, Project

SALT = "projects.pictures"


def beginning_of(project: Project, moment_id: uuid.UUID | None = None) -> str:
    """The beginning of the storage keys of the pictures of a project, or of one of its moments."""
    of = f"moment-{moment_id}." if moment_id else ""
    return f"{project.source_key}.{of}"


def forget(project: Project, moment_ids: Iterable[uuid.UUID]) -> None:
    """Delete the posters of moments, if there are any."""
    if not project.source_key:
        return
    keys = {beginning_of(project, each) + name for each in moment_ids for name in POSTERS}
    posters = keys & {entry.key for entry in storage.beside(project.source_key)}
    if posters:
        storage.remove(posters)
        count_bytes(project)


def count_bytes(project: Project) -> None:
    """Count what the source takes with the pictures beside it, after there came some or went."""
    with transaction.atomic():
        rows = Project.objects.filter(pk=project.pk, source_key=project.source_key)
        if rows.select_for_update(no_key=True).first():
            rows.update(stored_bytes=storage.size_of(project.source_key))
            stored.settle(project.org_id)


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


def target_of(token: str, name: str) -> Target:
    """The picture that a token and a name lead to.

    Raises Forbidden for a token that is forged or has expired, NotFound for another name.
    """
    beginning, seconds_left = open_link(token, salt=SALT)
    if name not in PICTURES:
        raise NotFound
    return Target(f"{beginning}{name}", seconds_left)
