"""Signed, expiring download URLs: each permits fetching one file until it expires."""

from __future__ import annotations

import datetime
import functools
import time
from typing import NamedTuple

from django.conf import settings
from django.core import signing
from django.urls import reverse
from django.utils import timezone

from clipforge.common import storage
from clipforge.common.errors import Conflict
from clipforge.common.links import Target, open_link
from clipforge.media.contracts import PICTURES
from exports.models import Export

SALT = "exports.download"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def signed_url(export: Export, picture: str | None = None) -> str:
    """The path to the export's file, or to one of its PICTURES, good for settings.DOWNLOAD_URL_SECONDS.

    Raises Conflict unless there is a file: `not_ready`, or `expired` after the retention.
    """
    now = timezone.now()
    if export.status == Export.Status.EXPIRED or (
        export.expires_at is not None and now >= export.expires_at
    ):
        raise Conflict(
            "The file was deleted after its retention time. Export the moment again.",
            code="export_expired",
        )
    if export.status != Export.Status.READY:
        raise Conflict(
            f"The export is {export.status}; it can be downloaded once it is READY.",
            code="export_not_ready",
        )
    name = picture or _name_of(export)
    return _path(export.file_key, name, signing.TimestampSigner(salt=SALT))


def link_to(key: str) -> str:
    """The path to the file with this key, whatever row it is of: for those who look after the store."""
    return _path(key, key.rsplit("/", 1)[-1], signing.TimestampSigner(salt=SALT))


class Link(NamedTuple):
    path: str
    ends_at: datetime.datetime


def steady_link(export: Export) -> Link | None:
    """The path to the file as it is shown with the export; None where there is no file.

    The same for half of its life, so that an answer which has nothing else new is the same: it is
    good for at least the other half.
    """
    now = timezone.now()
    if not is_downloadable(export, now):
        return None
    begins = int(time.time()) // _half() * _half()
    ends_at = EPOCH + datetime.timedelta(seconds=begins + settings.DOWNLOAD_URL_SECONDS)
    if export.expires_at is not None:
        ends_at = min(ends_at, export.expires_at)
    path = _steady_path(settings.SECRET_KEY, begins, export.file_key, _name_of(export))
    return Link(path, ends_at)


def seconds_steady(ends_at: datetime.datetime, *, since: float, most: float) -> float:
    """How long steady links of which the first ends then stay the same, and good; `most` at the most.

    From `since` on, which is before they were made: below 0 for those that were made for the next half.
    """
    return min(most, _half() - since % _half(), ends_at.timestamp() - since)


def _half() -> int:
    return max(1, settings.DOWNLOAD_URL_SECONDS // 2)


def is_downloadable(export: Export, now: datetime.datetime) -> bool:
    retained = export.expires_at is None or now < export.expires_at
    return export.status == Export.Status.READY and retained


class _SteadySigner(signing.TimestampSigner):
    """Signs with a time that stays the same."""

    def __init__(self, *, key: str, begins: int) -> None:
        super().__init__(key=key, salt=SALT)
        self.begins = begins

    def timestamp(self) -> str:
        return signing.b62_encode(self.begins)


# What is polled is shown again and again: to sign it takes as long as to write all else of an export.
@functools.lru_cache(maxsize=4096)
def _steady_path(key: str, begins: int, file_key: str, name: str) -> str:
    return _path(file_key, name, _SteadySigner(key=key, begins=begins))


def _path(file_key: str, name: str, signer: signing.TimestampSigner) -> str:
    return reverse("download-file", args=[signer.sign_object(file_key), name])


def _name_of(export: Export) -> str:
    return f"{export.download_name or export.pk}.{export.extension}"


def target_of(token: str, name: str) -> Target:
    """The file that a token and a name lead to.

    Raises Forbidden for a token that is forged or has expired.
    """
    key, seconds_left = open_link(token, salt=SALT)
    # To the pictures of a clip its link leads as well: the last part of the path says which file.
    return Target(storage.companion_of(key, name) if name in PICTURES else key, seconds_left)
