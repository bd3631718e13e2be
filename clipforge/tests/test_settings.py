"""Settings fail loudly. Each case is a process of its own, as settings are read once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PRODUCTION = {
    "DATABASE_URL": "postgresql://none@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "SECRET_KEY": "secret-" * 8,
    "API_KEY_PEPPER": "pepper-" * 8,
}


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"DATABASE_URL": "postgresql://x"}, "DATABASE_URL is set but REDIS_URL is not"),
        ({"REDIS_URL": "redis://x"}, "REDIS_URL is set but DATABASE_URL is not"),
        ({**PRODUCTION, "DATABASE_URL": "mysql://x"}, "DATABASE_URL must start with postgresql://"),
        ({**PRODUCTION, "REDIS_URL": "localhost"}, "REDIS_URL must start with redis://"),
        ({**PRODUCTION, "ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS must name the hosts"),
        ({**PRODUCTION, "SECRET_KEY": ""}, "SECRET_KEY is not set"),
        ({**PRODUCTION, "API_KEY_PEPPER": "short"}, "API_KEY_PEPPER must have at least 50"),
        ({**PRODUCTION, "SECRET_KEY_FALLBACKS": "short"}, "SECRET_KEY_FALLBACKS has 1 of fewer"),
        ({**PRODUCTION, "DEBUG": "yes"}, 'DEBUG is "yes"; it must be "true" or "false"'),
        (
            {**PRODUCTION, "WORK_LEASE_SECONDS": "1m"},
            'WORK_LEASE_SECONDS is "1m"; it must be a whole',
        ),
        (
            {**PRODUCTION, "WORK_LEASE_SECONDS": "0"},
            "WORK_LEASE_SECONDS is 0; it must be at least 1",
        ),
        ({**PRODUCTION, "LLM_URL": "https://llm.test/v1"}, "Set both LLM_URL and LLM_MODEL"),
        (
            {**PRODUCTION, "LLM_URL": "https://key@llm.test/v1", "LLM_MODEL": "m"},
            "LLM_URL must be like https://host/v1",
        ),
        ({**PRODUCTION, "STORAGE_URL": "s3://B"}, "STORAGE_URL names no bucket"),
        (
            {**PRODUCTION, "STORAGE_URL": "s3://bucket", "DELIVERY_URL": "https://f.test"},
            "Set DELIVERY_URL, CLOUDFRONT_KEY_ID and CLOUDFRONT_KEY_FILE, or none",
        ),
        ({**PRODUCTION, "LLM_API_KEY": "sk-clé"}, "LLM_API_KEY has characters that no header"),
        ({**PRODUCTION, "LOG_LEVEL": "LOUD"}, 'LOG_LEVEL is "LOUD"; it must be one of'),
    ],
)
def test_a_bad_value_stops_the_process_with_a_sentence(environment: dict[str, str], sentence: str):
    done = manage("check", **environment)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_not_there_is_one_clear_error():
    done = manage("migrate", **PRODUCTION)
    assert done.returncode == 1
    assert "the database cannot be used" in done.stderr
    assert "Connection refused" in done.stderr
    assert "Traceback" not in done.stderr


def test_production_settings_pass_every_deployment_check():
    done = manage(
        "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION, ALLOWED_HOSTS="example.com"
    )
    assert done.returncode == 0, done.stderr


def test_where_urls_are_set_nothing_is_started(tmp_path: Path):
    manage("check", **PRODUCTION, CLIPFORGE_DATA=str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_secrets_of_the_embedded_stack_are_made_once_and_kept_private(tmp_path: Path):
    show = "from django.conf import settings; print(settings.SECRET_KEY, settings.API_KEY_PEPPER)"
    first, second = (
        subprocess.run(
            [sys.executable, "-c", show],
            cwd=ROOT,
            env={
                "DJANGO_SETTINGS_MODULE": "clipforge.settings",
                "CLIPFORGE_DATA": str(tmp_path / "data"),
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    )
    assert first == second
    assert len({*first}) == 2
    assert all(len(secret) >= 50 for secret in first)
    kept = tmp_path / "data" / "secrets"
    assert kept.stat().st_mode & 0o077 == 0
    assert [path.stat().st_mode & 0o777 for path in kept.iterdir()] == [0o600, 0o600]


def test_options_in_the_database_url_are_kept():
    url = f"{PRODUCTION['DATABASE_URL']}?sslmode=verify-full&sslrootcert=/ca.pem"
    show = "from django.conf import settings; print(settings.DATABASES['default']['OPTIONS'])"
    done = subprocess.run(
        [sys.executable, "-c", show],
        cwd=ROOT,
        env={
            **PRODUCTION,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "clipforge.settings",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'sslmode': 'verify-full', 'sslrootcert': '/ca.pem'" in done.stdout
    assert "lock_timeout=5000" in done.stdout


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (PRODUCTION, "True __Host-sessionid __Host-csrftoken True True None False"),
        # A name with that prefix is taken over HTTPS only.
        ({**PRODUCTION, "HTTPS": "false"}, "True sessionid csrftoken False True None False"),
        ({}, "False sessionid csrftoken False True None False"),
    ],
)
def test_staff_show_a_second_factor_and_sessions_are_bound_to_the_host_where_it_is_served(
    environment: dict[str, str], expected: str, tmp_path: Path
):
    show = (
        "from django.conf import settings as s; print(s.STAFF_SECOND_FACTOR, s.SESSION_COOKIE_NAME,"
        "s.CSRF_COOKIE_NAME, s.SESSION_COOKIE_SECURE, s.SESSION_COOKIE_HTTPONLY,"
        "s.SESSION_COOKIE_DOMAIN, s.SESSION_SAVE_EVERY_REQUEST)"
    )
    done = subprocess.run(
        [sys.executable, "-c", show],
        cwd=ROOT,
        env={
            "DJANGO_SETTINGS_MODULE": "clipforge.settings",
            "CLIPFORGE_DATA": str(tmp_path / "data"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected
