"""The address of a store, read for Django's STORAGES. The settings read one; commands name others.

    (empty)                                     MEDIA_ROOT
    file:///srv/media                           another folder
    s3://bucket/prefix?endpoint=https://…       S3, or what speaks as it does

Keys of S3 are no part of an address: boto3 finds them where it does by itself, as AWS_ACCESS_KEY_ID or
as the role of the machine.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

LOCAL = "clipforge.common.storage.local.LocalStorage"
S3 = "clipforge.common.storage.s3.S3Storage"
# What may come after the question mark of an address, and what the back end calls it.
OPTIONS = {"endpoint": "endpoint_url", "region": "region_name", "addressing": "addressing_style"}
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def backend_of(url: str) -> dict[str, Any]:
    """The entry of STORAGES for the store at this address. Raises ValueError with a sentence."""
    if not url:
        return {"BACKEND": LOCAL}
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return {"BACKEND": LOCAL, "OPTIONS": {"location": unquote(parts.path)}}
    if parts.scheme != "s3":
        raise ValueError("must be like s3://bucket?endpoint=https://host, or file:///folder")
    if "@" in parts.netloc:
        raise ValueError("has a key or password in it; set AWS_ACCESS_KEY_ID and its secret")
    if not BUCKET.fullmatch(parts.netloc):
        raise ValueError("names no bucket: 3 to 63 small letters, digits, dots and hyphens")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(given.keys() - OPTIONS.keys()):
        raise ValueError(f"has {unknown[0]!r}, which is none of {', '.join(sorted(OPTIONS))}")
    endpoint = given.get("endpoint", "")
    if "endpoint" in given and not re.fullmatch(r"https?://[^\s/@?#]+/?", endpoint):
        raise ValueError("has an endpoint that is not like https://host")
    if given.get("addressing", "auto") not in {"auto", "path", "virtual"}:
        raise ValueError("has an addressing that is none of auto, path, virtual")
    return {
        "BACKEND": S3,
        "OPTIONS": {
            "bucket_name": parts.netloc,
            "location": parts.path.strip("/"),
            **{OPTIONS[name]: value for name, value in given.items()},
        },
    }
