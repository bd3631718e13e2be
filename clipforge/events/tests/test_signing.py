"""Signatures, as the verifiers of others see them: of Python, of JavaScript and of openssl."""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from clipforge.common import secret_formats
from clipforge.devtools.testing.factories import TESTER, make_endpoint, make_organization
from clipforge.devtools.testing.receivers import Received, Receiver
from clipforge.events import services, signing
from clipforge.events.models import Endpoint
from clipforge.events.tests.makers import happen, send

pytestmark = pytest.mark.django_db

PAGE = Path(django_settings.BASE_DIR) / "clipforge/docs/webhooks.md"


def printed(language: str) -> str:
    """The commands of the page in this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    return str(found)


def sent_to(endpoint: Endpoint, receiver: Receiver) -> Received:
    happen(endpoint.org)
    send(endpoint)
    return receiver.received[-1]


def ran(argv: list[str], **options: Any) -> str:
    return str(subprocess.run(argv, capture_output=True, text=True, check=True, **options).stdout)


@pytest.fixture
def endpoint(receiver: Receiver) -> Endpoint:
    return make_endpoint(make_organization(), receiver.url())


# --- the verifiers ------------------------------------------------------------------------------


def test_the_python_of_the_page_takes_a_request_that_was_sent_and_none_that_was_altered(
    endpoint: Endpoint, receiver: Receiver
):
    got = sent_to(endpoint, receiver)
    names: dict[str, Any] = {}
    exec(printed("python"), names)  # noqa: S102 - our own page
    take: Callable[..., dict[str, Any]] = names["take"]
    secret = signing.secret_of(endpoint.salt)
    assert take(got.body, got.headers, secret)["type"] == "project.ready"
    other = signing.secret_of(signing.new_salt())
    late = {**got.headers, "webhook-timestamp": str(int(got.headers["webhook-timestamp"]) + 1)}
    for body, headers, key in [
        (got.body + b" ", got.headers, secret),
        (got.body, late, secret),
        (got.body, {**got.headers, "webhook-id": "another"}, secret),
        (got.body, got.headers, other),
    ]:
        with pytest.raises(WebhookVerificationError):
            take(body, headers, key)


def node_modules() -> str | None:
    """Where Node finds the package `standardwebhooks`; None: nowhere."""
    if not (shutil.which("node") and shutil.which("npm")):
        return None
    root = ran(["npm", "root", "-g"]).strip()
    return root if Path(root, "standardwebhooks").is_dir() else None


def test_the_javascript_of_the_page_takes_a_request_that_was_sent(
    endpoint: Endpoint, receiver: Receiver
):
    modules = node_modules()
    if modules is None:
        pytest.skip("no Node with the package standardwebhooks: npm install -g standardwebhooks")
    got = sent_to(endpoint, receiver)
    given = json.dumps([got.body.decode(), got.headers, signing.secret_of(endpoint.salt)])
    program = f"""{printed("javascript")}
        const [body, headers, secret] = JSON.parse(process.argv[1]);
        const low = Object.fromEntries(Object.entries(headers).map(([k, v]) => [k.toLowerCase(), v]));
        let altered = "taken";
        try {{ take(body + " ", low, secret) }} catch (error) {{ altered = error.name }}
        console.log(take(body, low, secret).type, altered);
    """
    said = ran(["node", "-e", program, given], env={**os.environ, "NODE_PATH": modules})
    assert said.split() == ["project.ready", "WebhookVerificationError"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_the_openssl_of_the_page_makes_the_signature_that_was_sent(
    endpoint: Endpoint, receiver: Receiver, tmp_path: Path
):
    got = sent_to(endpoint, receiver)
    (tmp_path / "body.json").write_bytes(got.body)
    variables = {
        "PATH": os.environ["PATH"],
        "SECRET": signing.secret_of(endpoint.salt),
        "ID": got.headers["webhook-id"],
        "TIMESTAMP": got.headers["webhook-timestamp"],
    }
    made = ran(["bash", "-euo", "pipefail", "-c", printed("bash")], cwd=tmp_path, env=variables)
    assert got.headers["webhook-signature"] == f"v1,{made.strip()}"


# --- secrets --------------------------------------------------------------------------------------


def test_a_secret_is_made_of_a_salt_and_of_a_key_that_is_not_in_the_database(settings: Any):
    salt = signing.new_salt()
    secret = signing.secret_of(salt)
    assert re.fullmatch(r"whsec_[0-9A-Za-z]{32}", secret)
    assert signing.secret_of(salt) == secret
    assert salt not in secret
    settings.API_KEY_PEPPER = "another " * 10
    assert signing.secret_of(salt) != secret
    assert len({signing.secret_of(signing.new_salt()) for _ in range(100)}) == 100


def test_a_secret_is_kept_out_of_searches_and_of_stored_texts():
    secret = signing.secret_of(signing.new_salt())
    shown, warning = secret_formats.public_part(f"why does {secret} fail")
    assert (shown, "rotate it" in warning) == ("whsec_", True)
    assert secret_formats.redacted(f"it is {secret}!", "…") == "it is …!"


def rotate(endpoint: Endpoint) -> str:
    return services.rotate_secret(
        endpoint=endpoint, reason="a colleague left us", actor=TESTER
    ).secret


def fits(got: Received, secrets: list[str]) -> list[bool]:
    found = []
    for secret in secrets:
        try:
            Webhook(secret).verify(got.body, got.headers)
            found.append(True)
        except WebhookVerificationError:
            found.append(False)
    return found


def test_after_a_rotation_both_secrets_fit_for_a_day(endpoint: Endpoint, receiver: Receiver):
    first = signing.secret_of(endpoint.salt)
    second = rotate(endpoint)
    got = sent_to(endpoint, receiver)
    assert got.headers["webhook-signature"].count("v1,") == 2
    assert fits(got, [first, second]) == [True, True]
    endpoint.refresh_from_db()
    endpoint.former_salts[0]["until"] = timezone.now().isoformat()
    endpoint.save()
    got = sent_to(endpoint, receiver)
    assert got.headers["webhook-signature"].count("v1,") == 1
    assert fits(got, [first, second]) == [False, True]


def test_who_rotates_again_because_the_answer_was_lost_is_still_told(
    endpoint: Endpoint, receiver: Receiver
):
    """Of six secrets the last four sign: the newest, and three before it."""
    secrets = [signing.secret_of(endpoint.salt), *(rotate(endpoint) for _ in range(5))]
    got = sent_to(endpoint, receiver)
    assert fits(got, secrets) == [False, False, True, True, True, True]


def test_a_former_secret_is_good_until_its_day_is_over():
    now = timezone.now()
    former = signing.Former(salt="s", until=(now + datetime.timedelta(days=1)).isoformat())
    edge = datetime.datetime.fromisoformat(former["until"])
    tick = datetime.timedelta(microseconds=1)
    found = [signing.still_good([former], each) for each in (edge - tick, edge, edge + tick)]
    assert found == [[former], [], []]


def test_while_the_pepper_is_replaced_the_secret_of_before_still_verifies(settings):
    settings.API_KEY_PEPPER = "old pepper " * 5
    salt = signing.new_salt()
    secret = signing.secret_of(salt)
    settings.API_KEY_PEPPER, old = "new pepper " * 5, settings.API_KEY_PEPPER
    settings.API_KEY_PEPPER_FALLBACKS = [old]
    now = datetime.datetime.now(datetime.UTC)
    headers = signing.signed_headers("msg_1", '{"type":"x"}', salts=[salt], at=now)
    assert len(headers["webhook-signature"].split()) == 2
    for known in (secret, signing.secret_of(salt)):
        assert Webhook(known).verify('{"type":"x"}', headers) == {"type": "x"}
    settings.API_KEY_PEPPER_FALLBACKS = []
    headers = signing.signed_headers("msg_1", '{"type":"x"}', salts=[salt], at=now)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify('{"type":"x"}', headers)
