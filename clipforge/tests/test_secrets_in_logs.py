"""Every real service of the suite is searched for secrets when it ends; this shows that they would be found."""

from __future__ import annotations

from pathlib import Path

from clipforge.orgs import keys
from clipforge.testing.service import secrets_in_logs

ENVIRONMENT = {"SECRET_KEY": "s" * 50, "API_KEY_PEPPER": "p" * 50}


def test_a_planted_key_token_or_secret_is_found_in_any_log(tmp_path: Path):
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
