"""Signed, expiring links: whoever has one may fetch what its token names, until it ends."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from django.conf import settings
from django.core import signing

from clipforge.common.errors import Forbidden


class Opened(NamedTuple):
    """The object that was signed, and for how long the link is good from now on: a second at least."""

    value: Any
    seconds_left: int


class Target(NamedTuple):
    """A stored file that a link leads to, for so many seconds from now on."""

    key: str
    seconds_left: int


def open_link(token: str, *, salt: str) -> Opened:
    """Raises Forbidden for a token that is forged (`link_invalid`) or has expired (`link_expired`)."""
    try:
        value = signing.TimestampSigner(salt=salt).unsign_object(
            token, max_age=settings.DOWNLOAD_URL_SECONDS
        )
    except signing.SignatureExpired:
        raise Forbidden(
            "This link has expired. Ask the API for a new one.", code="link_expired"
        ) from None
    except signing.BadSignature:
        raise Forbidden("This link is not valid.", code="link_invalid") from None
    signed_at = signing.b62_decode(token.rsplit(":", 2)[1])
    return Opened(value, max(1, signed_at + settings.DOWNLOAD_URL_SECONDS - int(time.time())))
