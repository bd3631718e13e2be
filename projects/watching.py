"""Signed, expiring links to sources: for their organization, and for the pages on which staff watch them."""

from __future__ import annotations

from django.core import signing
from django.urls import reverse

from clipforge.common.errors import Conflict
from clipforge.common.links import Target, open_link
from projects import sources
from projects.models import Project

SALT = "projects.watching"


def signed_url(project: Project) -> str:
    """The path to the source, good for DOWNLOAD_URL_SECONDS. Raises Conflict where there is none."""
    if project.status == Project.Status.EXPIRED:
        raise Conflict("The source was deleted after its retention.", code="source_expired")
    if not project.source_key:
        raise Conflict("The source is not here: it was not fetched yet.", code="no_source")
    token = signing.TimestampSigner(salt=SALT).sign_object(project.source_key)
    return reverse("source-file", args=[token, _name_of(project)])


def _name_of(project: Project) -> str:
    """The name that the file came with, where that can stand in a path."""
    return sources.shown_name(project.source_name).strip(". ") or "source"


def target_of(token: str) -> Target:
    """The source that a token leads to. Raises Forbidden for one that is forged or has expired."""
    key, seconds_left = open_link(token, salt=SALT)
    return Target(key, seconds_left)
