"""Drills: passwords of the servers are replaced while somebody works with the old one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from clipforge.common.cache.redis import RedisError
from clipforge.devtools.testing.redis_server import redis_server

ROLES = "owner", "a", "b"


def test_redis_takes_both_passwords_until_the_old_one_is_taken_away():
    with redis_server() as server:

        def client(password: str) -> Any:
            return server.patient_client(password=password)

        admin = server.patient_client()
        admin.execute_command("ACL", "SETUSER", "default", "resetpass", ">old")
        before = client("old")
        before.set("counted", 1)
        admin.execute_command("ACL", "SETUSER", "default", ">new")
        for password in ("old", "new"):  # web and workers are restarted one by one
            assert client(password).incr("counted") >= 2
        admin.execute_command("ACL", "SETUSER", "default", "<old")
        # Whoever is still connected goes on; nobody else comes in with the old one.
        assert before.incr("counted") == 4
        assert client("new").incr("counted") == 5
        with pytest.raises(RedisError):
            client("old").get("counted")


@pytest.fixture
def roles(db: None) -> Iterator[dict[str, str]]:
    """One that owns everything and nobody signs in as, and two that are signed in as."""
    names = {role: f"drill_{secrets.token_hex(4)}_{role}" for role in ROLES}
    with sign_in() as admin:
        admin.execute(f"CREATE ROLE {names['owner']} NOLOGIN")
        admin.execute(f"GRANT CREATE ON SCHEMA public TO {names['owner']}")
        for role in ("a", "b"):
            admin.execute(f"CREATE ROLE {names[role]} LOGIN IN ROLE {names['owner']}")
            admin.execute(f"ALTER ROLE {names[role]} SET role = '{names['owner']}'")
        try:
            yield names
        finally:
            admin.execute(f"DROP OWNED BY {names['owner']} CASCADE")
            for role in ROLES[::-1]:
                admin.execute(f"DROP ROLE {names[role]}")


def sign_in(role: str | None = None) -> Any:
    known = {
        name: value
        for name, value in connection.get_connection_params().items()
        if name in {"dbname", "user", "password", "host", "port"}
    }
    return psycopg.connect(**(known | ({"user": role} if role else {})), autocommit=True)


def test_two_roles_of_one_owner_take_turns_and_nobody_is_cut_off(roles: dict[str, str]):
    with sign_in() as admin, sign_in(roles["a"]) as before:
        before.execute("CREATE TABLE drill_rows (number int)")
        before.execute("INSERT INTO drill_rows VALUES (1)")
        with sign_in(roles["b"]) as after:  # web and workers are restarted one by one
            for each in (before, after):
                each.execute("INSERT INTO drill_rows VALUES (2)")
            after.execute("ALTER TABLE drill_rows ADD COLUMN text text")  # as a migration does
            admin.execute(f"ALTER ROLE {roles['a']} NOLOGIN")
            with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
                sign_in(roles["a"])
            before.execute("INSERT INTO drill_rows VALUES (3)")
            (count,) = after.execute("SELECT count(*) FROM drill_rows").fetchone()
        assert count == 4
