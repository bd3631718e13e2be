"""Secrets of endpoints, and the signed headers of a request, after Standard Webhooks.

A secret has to be known in clear whenever something is signed, so a hash of it would not do. It is
not stored at all: it is derived, from a random salt in the row of the endpoint and a key that is in
the environment. Who reads the database alone, or the environment alone, can sign nothing.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import TypedDict

from django.conf import settings
from standardwebhooks import Webhook

from clipforge.common.secret_formats import SecretFormat
from clipforge.events.models import Endpoint

PREFIX = "whsec_"
# 192 bits; Standard Webhooks asks for 24 to 64 bytes. In base64 without padding.
SECRET_BYTES = 24

SECRET_FORMAT = SecretFormat(
    PREFIX,
    0,
    "You pasted the secret of a webhook endpoint. Nothing was kept, but a secret that travels by mail "
    "or chat is none any more: rotate it.",
)


def new_salt() -> str:
    """A random salt whose secret has only letters and digits: a double click selects it whole."""
    while True:
        salt = secrets.token_hex(32)
        if secret_of(salt).removeprefix(PREFIX).isalnum():
            return salt


def secret_of(salt: str, *, pepper: str | None = None) -> str:
    """The secret, as the customer has it: `whsec_…`. Under today's pepper unless another is given."""
    # The words keep it apart from the digests of API keys, which are made with the same key.
    text = f"webhook secret\0{salt}".encode()
    key = settings.API_KEY_PEPPER if pepper is None else pepper
    derived = hmac.new(key.encode(), text, hashlib.sha512).digest()
    return PREFIX + base64.b64encode(derived[:SECRET_BYTES]).decode()


class Former(TypedDict):
    """The salt of a secret that was rotated, and until when it signs beside the current one."""

    salt: str
    until: str


def still_good(former: Sequence[Former], now: datetime.datetime) -> list[Former]:
    return [each for each in former if now < datetime.datetime.fromisoformat(each["until"])]


def salts_of(endpoint: Endpoint, now: datetime.datetime) -> list[str]:
    """Whose secrets sign: the current one's, and those of former ones that are still good."""
    former = still_good(endpoint.former_salts, now)
    return [endpoint.salt, *(each["salt"] for each in former)]


def signed_headers(
    message_id: str, body: str, *, salts: Sequence[str], at: datetime.datetime
) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` and `webhook-signature`, with a signature for each salt.

    While the pepper is being replaced there is one more of each: customers have the secret of before.
    """
    peppers = [settings.API_KEY_PEPPER, *settings.API_KEY_PEPPER_FALLBACKS]
    signatures = [
        Webhook(secret_of(salt, pepper=pepper)).sign(message_id, at, body)
        for salt in salts
        for pepper in peppers
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
