"""The text of an API key: `cf_live_<id>_<secret><checksum>`, of a sandbox `cf_test_…`.

The prefix tells scanners and people what it is; the id finds the row; the checksum
(CRC-32, as in GitHub's tokens) refuses a mistyped key before the database is asked. The
secret carries 256 bits, so a fast keyed hash is right: slow ones are for passwords.
"""

from __future__ import annotations

import hmac
import secrets
import string
import zlib

from django.conf import settings

from clipforge.common.secret_formats import SecretFormat

PREFIX = "cf_live_"
# Of keys of a sandbox, for tests. All three are of one length.
TEST_PREFIX = "cf_test_"
# Of tokens, which stand in pages where everybody can read them.
TOKEN_PREFIX = "cf_page_"  # noqa: S105 - not a secret, how one begins
ID_LENGTH = 8
SECRET_LENGTH = 43  # base62: 43 * log2(62) = 256 bits
CHECKSUM_LENGTH = 6  # base62 digits that hold any CRC-32

SECRET_FORMATS = [
    SecretFormat(
        prefix,
        ID_LENGTH,
        "You pasted a whole API key. Only its public part was looked for, and nothing was kept, but "
        "a key that travels by mail or chat is no secret any more: revoke it and issue another.",
    )
    for prefix in (PREFIX, TEST_PREFIX, TOKEN_PREFIX)
]

PREFIXES = (PREFIX, TEST_PREFIX, TOKEN_PREFIX)

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def label(public_id: str, prefix: str = PREFIX) -> str:
    """The key as people are shown it: its prefix and public part."""
    return f"{prefix}{public_id}_…"


def without_prefix(text: str) -> str:
    """The public part, with whatever follows it; a text without a prefix as it is."""
    for prefix in PREFIXES:
        text = text.removeprefix(prefix)
    return text


def generate(prefix: str = PREFIX) -> tuple[str, str]:
    """A new key: its public id, and the whole text that is shown once."""
    public_id = _random(ID_LENGTH)
    body = f"{prefix}{public_id}_{_random(SECRET_LENGTH)}"
    return public_id, body + _checksum(body)


def public_id_of(key: str) -> str | None:
    """The id inside a well-formed key, None for any text that cannot be a key."""
    length = len(PREFIX) + ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH
    if len(key) != length or not key.startswith(PREFIXES) or not key.isascii():
        return None
    body, checksum = key[:-CHECKSUM_LENGTH], key[-CHECKSUM_LENGTH:]
    public_id, _, secret = body[len(PREFIX) :].partition("_")
    well_formed = len(public_id) == ID_LENGTH and (public_id + secret).isalnum()
    return public_id if well_formed and _checksum(body) == checksum else None


def digest(key: str) -> str:
    """The stored digest: HMAC-SHA256 under the pepper, which is not in the database."""
    return _digest(key, settings.API_KEY_PEPPER)


def matches(key: str, stored: str) -> bool:
    """Is it the key of this digest, under today's pepper or one that is being replaced?

    Compares in constant time.
    """
    return is_current(key, stored) or any(
        hmac.compare_digest(_digest(key, pepper), stored)
        for pepper in settings.API_KEY_PEPPER_FALLBACKS
    )


def is_current(key: str, stored: str) -> bool:
    """Is it the key of this digest under today's pepper? Compares in constant time."""
    return hmac.compare_digest(digest(key), stored)


def _digest(key: str, pepper: str) -> str:
    return hmac.digest(pepper.encode(), key.encode(), "sha256").hex()


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
