"""Every documented call, and thousands that are not, against a running gunicorn by two customers.

By hand, with any number of cases: `FUZZ_EXAMPLES=1000 FUZZ_SEED=7 pytest -m long` and this file.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipforge.devtools.testing.service import ROOT, Service, running_service
from clipforge.devtools.testing.stripe import SECRET_KEY, running_stripe

pytestmark = [pytest.mark.slow, pytest.mark.faults]

PREPARE = """
import json
from django.utils import timezone
from billing.services import record_payment
from clipforge.orgs.models import Organization
from clipforge.devtools.testing.factories import *
from clipforge.devtools.testing.rows import make_told
keys = {}
for name in ("Alice", "Bob"):
    org = make_organization(name=name, credits_=100000, tier="ENTERPRISE")
    Organization.objects.update(rate_limit_override=1_000_000)
    for status in ("READY", "FAILED", "ANALYZING"):
        make_moment(make_project(org, status=status))
    for status in ("READY", "FAILED", "QUEUED"):
        make_export(make_project(org), status=status)
    paid = {"paid_on": timezone.now().date(), "reason": "paid by transfer", "actor": TESTER}
    record_payment(org=org, code="pack-100", reference=name, **paid)
    make_told(make_endpoint(org, f"https://{name}.example.com/"))
    keys[name] = make_api_key(org).secret
print(json.dumps(keys))
"""

# What the schema cannot say is refused with these: that a file is a video, that either of two
# members is given, that a cursor was one of ours. What violates the schema may meet another of them.
REFUSALS = [400, 401, 402, 403, 404, 406, 409, 411, 412, 413, 415, 422, 429]

CONFIG = """
[auth.wfc]
path = "{keys}"
peers = ["Alice", "Bob"]

[checks]
positive_data_acceptance.expected-statuses = {accepted}
negative_data_rejection.expected-statuses = {refused}
missing_required_header.expected-statuses = {refused}

# Each of these starts a child process that looks at what came: a hundred times dearer than the others.
[[operations]]
include-operation-id = "create_project"
generation.max-examples = {uploads}

# These can end the keys that the calls are made with; their own tests say what they refuse.
[[operations]]
include-operation-id = "revoke_key"
enabled = false

[[operations]]
include-operation-id = "revoke_key_family"
enabled = false

[[operations]]
include-operation-id = "rotate_key"
enabled = false
"""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_stripe(secret="whsec_fuzz") as stripe:
        environment = {
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_WEBHOOK_SECRET": "whsec_fuzz",
            "STRIPE_API_BASE": stripe.url,
        }
        with running_service(LOG_FORMAT="json", **environment) as running:
            yield running


def fuzz(service: Service, folder: Path, *, examples: int, seed: int, seconds: float) -> str:
    """Run all phases and all checks. What was said, which ends in a summary."""
    keys = json.loads(service.manage("shell", "-c", PREPARE).splitlines()[-1])
    entries = [
        {
            "name": name,
            "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {secret}"}],
        }
        for name, secret in keys.items()
    ]
    (folder / "keys.json").write_text(json.dumps({"auth": entries}))
    refused = [str(status) for status in REFUSALS]
    config = CONFIG.format(
        keys=folder / "keys.json",
        uploads=min(examples, 25),
        accepted=json.dumps(["2xx", "3xx", *refused]),
        refused=json.dumps(refused),
    )
    (folder / "config.toml").write_text(config)
    program = [str(Path(sys.executable).with_name("st")), "--config-file", "config.toml", "run"]
    options = {
        "--seed": str(seed),
        "--max-examples": str(examples),
        "--generation-database": "none",
        "--workers": "2",
        # The speed of this machine is not under test.
        "--request-timeout": "120",
        "--suppress-health-check": "too_slow",
    }
    done = subprocess.run(
        [
            *(*program, f"{service.url}/api/v1/schema", "--no-color", "--continue-on-failure"),
            *(word for option in options.items() for word in option),
        ],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "clipforge.devtools.testing.fuzz_hooks",
        },
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    return f"{done.stdout}\n{done.stderr}\nexit code {done.returncode}"


def assert_nothing_found(said: str, *, cases: int) -> None:
    assert "exit code 0" in said, said[-6000:]
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in said, said[-6000:]
    generated = re.search(r"(\d+) generated", said)
    assert generated, said
    assert int(generated[1]) >= cases


@pytest.mark.timeout(900)
def test_five_thousand_calls_find_nothing(service: Service, tmp_path: Path):
    assert_nothing_found(fuzz(service, tmp_path, examples=100, seed=1, seconds=800), cases=5000)
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line[:1] == "{"]
    answers = [line for line in lines if "status" in line and "route" in line]
    assert {line["status"] for line in answers if line["route"] == "billing-payment"} >= {200, 404}
    assert [line for line in answers if line["status"] >= 500] == []


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "seed", [int(os.environ.get("FUZZ_SEED", secrets.randbelow(2**16)))], ids="seed={}".format
)
def test_nor_do_as_many_as_one_likes(service: Service, tmp_path: Path, seed: int):
    examples = int(os.environ.get("FUZZ_EXAMPLES", "400"))
    said = fuzz(service, tmp_path, examples=examples, seed=seed, seconds=1700)
    assert_nothing_found(said, cases=20 * examples)
