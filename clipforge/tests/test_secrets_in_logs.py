"""The logs of the whole suite are searched for secrets: those of every real service when it ends, those of
this process after every test. This shows that they would be found."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from clipforge.devtools.testing.leaks import SETTINGS, URLS, Leaks
from clipforge.devtools.testing.service import secrets_in_logs
from clipforge.orgs import keys
from clipforge.orgs.models import User

ENVIRONMENT = {"SECRET_KEY": "s" * 50, "API_KEY_PEPPER": "p" * 50}


def test_a_seeded_key_token_or_secret_is_found_in_any_log(tmp_path: Path):
    public_id, secret = keys.generate()
    (tmp_path / "logs").mkdir()
    (tmp_path / "service.log").write_text(f'"key_id": "{public_id}"\nGET {secret}\n')
    (tmp_path / "logs/postgresql.log").write_text("STATEMENT: SELECT 'pppp'\n" + "p" * 60)
    (tmp_path / "logs/redis.log.1").write_text("GET /files/ImFiYy9leHBvcnRzIg:1tABCD:x/clip.mp4")
    found = secrets_in_logs(tmp_path, ENVIRONMENT)
    assert sorted(line.partition(":")[0] for line in found) == [
        "postgresql.log",
        "redis.log.1",
        "service.log",
    ]


@pytest.fixture
def seeded(leaks: Leaks) -> logging.Logger:
    """A logger of its own, so that seeded secrets reach only the handlers under test."""
    logger = logging.Logger("seeded")  # noqa: LOG001 - it must not reach the root
    logger.addHandler(leaks)
    return logger


def test_text_without_a_secret_is_logged_unchanged(seeded: logging.Logger, leaks: Leaks):
    public_id, _ = keys.generate()
    seeded.info("key %s made", public_id, extra={"path": "/api/v1/me"})
    assert leaks.take() == []


def test_a_secret_in_the_sentence_beside_it_or_in_a_traceback_is_found(
    seeded: logging.Logger, leaks: Leaks
):
    _, key = keys.generate()
    seeded.info("key %s made", key)
    seeded.info("made", extra={"headers": {"Authorization": f"Bearer {key}"}})
    seeded.info("made", extra={"secret": key.rpartition("_")[2]})  # without what tells scanners
    try:
        raise ValueError(key)
    except ValueError:
        seeded.exception("failed")
    assert len(leaks.take()) == 4


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_found(seeded: logging.Logger, leaks: Leaks, settings: Any, name: str):
    setattr(settings, name, "correct horse battery staple")
    seeded.warning("starting with correct horse battery staple")
    assert len(leaks.take()) == 1


@pytest.mark.parametrize("name", URLS)
def test_the_password_of_a_server_is_found(
    seeded: logging.Logger, leaks: Leaks, settings: Any, name: str
):
    setattr(settings, name, "scheme://app:correct%20horse%20battery@host:1/0")
    seeded.warning("host:1 refused app")
    assert leaks.take() == []
    seeded.warning("connecting as app with correct horse battery")
    seeded.warning("connecting to app:correct%20horse%20battery@host")
    assert len(leaks.take()) == 2


@pytest.mark.parametrize("text", ["sk_live_4eC39HqLyjWD", "rk_test_4eC39HqLyjWD", "whsec_5WbX5k0v"])
def test_what_looks_like_one_of_stripes_is_found(seeded: logging.Logger, leaks: Leaks, text: str):
    seeded.warning("asked with %s", text)
    assert len(leaks.take()) == 1


def test_a_password_is_found_whether_it_was_set_or_only_tried(
    seeded: logging.Logger, leaks: Leaks, settings: Any
):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    user = User(username="ops")
    user.set_password("tr0ub4dor&3 is set")
    assert not user.check_password("hunter2 is only tried")
    seeded.info("welcome, tr0ub4dor&3 is set")
    seeded.info("wrong: hunter2 is only tried")
    assert len(leaks.take()) == 2


def test_log_records_of_the_whole_process_are_captured(leaks: Leaks):
    for name in ("", "clipforge.orgs", "django.server"):
        logging.getLogger(name).error("asked with sk_live_4eC39HqLyjWD")
    assert len(leaks.take()) == 3
