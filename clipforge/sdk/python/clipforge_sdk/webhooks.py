"""Webhooks, as ClipForge signs them: after Standard Webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from standardwebhooks import Webhook, WebhookVerificationError

from clipforge_sdk.errors import ClipForgeError
from clipforge_sdk.generated import models


class InvalidSignature(ClipForgeError):
    """The request was not sent by ClipForge with this secret, or it is older than five minutes."""


def verify_webhook(
    body: bytes | str, headers: Mapping[str, str], secret: str
) -> models.WebhookEvent:
    """The event in a request to your endpoint. Raises InvalidSignature.

    `body` is what arrived, byte by byte, before anything parsed it; `secret` begins with `whsec_`.
    `event["type"]` says which event it is. An event may come twice, with the same `id`.
    """
    webhook = Webhook(secret)
    try:
        event = webhook.verify(body, dict(headers))
    except (WebhookVerificationError, ValueError) as error:  # also of what is no base64, no UTF-8
        raise InvalidSignature(str(error)) from error
    return cast("models.WebhookEvent", event)
