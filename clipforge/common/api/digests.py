"""Digests that a client sends along (RFC 9530): a SHA-256, compared with that of the bytes received.

`Content-Digest` and `Repr-Digest` speak of the whole body, as generic clients compute it. A client
that has only the digest of the file, because a library makes its body, may send that: a match with
either means that it came whole.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping

from clipforge.common.errors import Invalid

HEADERS = ("Content-Digest", "Repr-Digest")
ALGORITHM = "sha-256"

# A member of a dictionary of structured fields (RFC 9651) that is a byte sequence; parameters are ignored.
_KEY = r"[a-z*][a-z0-9_.*-]*"
_MEMBER = re.compile(
    rf" *({_KEY})=:([A-Za-z0-9+/]*={{0,2}}):(?:; *{_KEY}(?:=[^,;]*)?)* *", re.ASCII
)


def expected_digests(headers: Mapping[str, str]) -> dict[str, bytes]:
    """Header to the SHA-256 that it gives; empty if the client sent none of them.

    Raises Invalid for one that cannot be read, or that gives no SHA-256: what is not checked must
    not look as if it were.
    """
    return {name: _parse(name, headers[name]) for name in HEADERS if headers.get(name) is not None}


def require_match(expected: Mapping[str, bytes], *, body: bytes, file: bytes | None) -> None:
    """Raises Invalid unless each is the digest of the body, or of the file in it."""
    wrong = [name for name, digest in expected.items() if digest not in {body, file}]
    if wrong:
        received = body if file is None else file
        raise Invalid(
            f"The digest in {' and '.join(wrong)} is not that of what arrived. Nothing was stored or "
            "charged; send the file again.",
            code="digest_mismatch",
            received=f"{ALGORITHM}=:{base64.b64encode(received).decode()}:",
        )


def _parse(name: str, value: str) -> bytes:
    digests: dict[str, bytes] = {}
    for member in value.split(","):
        found = _MEMBER.fullmatch(member.replace("\t", " "))
        if found is None:
            raise _malformed(name)
        try:
            digests[found[1]] = base64.b64decode(found[2], validate=True)
        except binascii.Error:
            raise _malformed(name) from None
    digest = digests.get(ALGORITHM, b"")
    if len(digest) != hashlib.sha256().digest_size:
        raise _malformed(name)
    return digest


def _malformed(name: str) -> Invalid:
    return Invalid(
        f"{name} must be {ALGORITHM}=:BASE64:, the SHA-256 of the file or of the whole body.",
        code="invalid_digest",
    )
