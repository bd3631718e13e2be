"""Signed addresses of CloudFront, and cookies: its edges let through what has one, and nothing else.

Signed as AWS describes it: RSA over SHA-1, which is what the edges verify. A link has a canned policy, of
one address and its end; cookies have a custom one, of all files of a folder.
"""

from __future__ import annotations

import base64
import functools
import json
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.conf import settings

# What a query takes in place of what base64 has.
_QUERY = bytes.maketrans(b"+=/", b"-_~")


class Distribution(NamedTuple):
    """Where it is reached, and the key that signs: one of the key group that it trusts."""

    url: str
    key_id: str
    key_file: str

    def link(self, path: str, query: dict[str, str], *, ends_at: int) -> str:
        """The address of a file that is good until then. `path` begins with a slash and is quoted."""
        address = f"{self.url}{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        signed = {
            "Expires": str(ends_at),
            "Signature": self._signature(_policy(address, ends_at)),
            "Key-Pair-Id": self.key_id,
        }
        return f"{address}{'&' if query else '?'}{urlencode(signed, safe='~')}"

    def cookies(self, folder: str, *, ends_at: int) -> dict[str, str]:
        """Names and values of the cookies with which all files below a path are fetched until then."""
        policy = _policy(f"{self.url}{folder}*", ends_at)
        return {
            "CloudFront-Policy": _encoded(policy),
            "CloudFront-Signature": self._signature(policy),
            "CloudFront-Key-Pair-Id": self.key_id,
        }

    def _signature(self, policy: bytes) -> str:
        key = _private_key(self.key_file)
        return _encoded(key.sign(policy, padding.PKCS1v15(), hashes.SHA1()))  # noqa: S303 - the edges verify that


def edge() -> Distribution:
    """The distribution of the settings."""
    return Distribution(
        settings.DELIVERY_URL, settings.CLOUDFRONT_KEY_ID, settings.CLOUDFRONT_KEY_FILE
    )


@functools.lru_cache(maxsize=4)
def _private_key(path: str) -> rsa.RSAPrivateKey:
    """Raises ValueError for what is no RSA key without a password, OSError for what cannot be read."""
    key = serialization.load_pem_private_key(Path(path).read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("CloudFront takes RSA keys")
    return key


def _policy(resource: str, ends_at: int) -> bytes:
    """Without blanks: the edges make the canned one anew, by the byte."""
    statement = {
        "Resource": resource,
        "Condition": {"DateLessThan": {"AWS:EpochTime": ends_at}},
    }
    return json.dumps({"Statement": [statement]}, separators=(",", ":")).encode()


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).translate(_QUERY).decode()
