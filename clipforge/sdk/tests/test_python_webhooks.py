"""The Python SDK believes what ClipForge signed, and nothing else."""

from __future__ import annotations

import datetime
import json

import clipforge_sdk as sdk
import pytest
from standardwebhooks import Webhook

from clipforge.events.signing import new_salt, secret_of

BODY = json.dumps({"id": "e-1", "type": "project.ready", "data": {"title": "Grüße"}})


def signed(secret: str, *, age: int = 0, body: str = BODY) -> dict[str, str]:
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age)
    return {
        "Webhook-Id": "e-1",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": Webhook(secret).sign("e-1", at, body),
    }


def test_an_event_that_was_signed_with_the_secret_is_believed():
    secret = secret_of(new_salt())
    event = sdk.verify_webhook(BODY.encode(), signed(secret), secret)
    assert event["type"] == "project.ready"


@pytest.mark.parametrize(
    "spoilt",
    [
        {"Webhook-Signature": "v1"},
        {"Webhook-Signature": "v1,not base64"},
        {"Webhook-Signature": "v1," + "A" * 44},
        {"Webhook-Id": "e-2"},
        {"Webhook-Timestamp": "yesterday"},
        {"Webhook-Id": ""},
    ],
    ids=str,
)
def test_another_signature_is_not(spoilt):
    secret = secret_of(new_salt())
    with pytest.raises(sdk.InvalidSignature):
        sdk.verify_webhook(BODY, signed(secret) | spoilt, secret)


def test_neither_is_another_body_another_secret_or_what_is_old():
    secret = secret_of(new_salt())
    for body, headers, known in (
        (BODY + " ", signed(secret), secret),
        (b"\xff", signed(secret), secret),
        (BODY, signed(secret), secret_of(new_salt())),
        (BODY, signed(secret, age=301), secret),
    ):
        with pytest.raises(sdk.InvalidSignature):
            sdk.verify_webhook(body, headers, known)
