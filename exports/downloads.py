"""Signed, expiring download URLs: each permits fetching one file until it expires."""

from __future__ import annotations

from django.conf import settings
from django.core import signing
from django.urls import reverse
from django.utils import timezone

from clipforge.common.errors import Conflict, Forbidden
from exports.models import Export

SALT = "exports.download"


def signed_url(export: Export) -> str:
    """The path to the export's file, good for settings.DOWNLOAD_URL_SECONDS.

    Raises Conflict unless there is a file: `not_ready`, or `expired` after the retention.
    """
    retained = export.expires_at is None or timezone.now() < export.expires_at
    if export.status == Export.Status.EXPIRED or not retained:
        raise Conflict(
            "The file was deleted after its retention time. Export the moment again.",
            code="export_expired",
        )
    if export.status != Export.Status.READY:
        raise Conflict(
            f"The export is {export.status}; it can be downloaded once it is READY.",
            code="export_not_ready",
        )
    token = signing.dumps(export.file_key, salt=SALT)
    return reverse("download-file", args=[token, f"{export.pk}.{export.extension}"])


def key_of(token: str) -> str:
    """The storage key inside a token. Raises Forbidden for a forged or expired one."""
    try:
        key: str = signing.loads(token, salt=SALT, max_age=settings.DOWNLOAD_URL_SECONDS)
    except signing.SignatureExpired:
        raise Forbidden(
            "This download link has expired. Ask the API for a new one.", code="link_expired"
        ) from None
    except signing.BadSignature:
        raise Forbidden("This download link is not valid.", code="link_invalid") from None
    return key
