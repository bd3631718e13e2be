"""The limits on signing in to the admin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.test import Client

from clipforge.common.cache.backend import default_cache
from clipforge.devtools.testing.factories import make_user
from clipforge.devtools.testing.redis_server import RedisServer, redis_server
from clipforge.devtools.testing.state import be_patient

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    """Attempts are counted by the clock: no test shall meet the end of one of its five minutes."""
    with time_machine.travel("2026-11-24 12:00:30Z", tick=False):
        yield


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    """Hundreds of attempts would take a minute of honest hashing."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def attempt(name: str, tried: str = "wrong", address: str = "10.0.0.1") -> int:
    form = {"username": name, "password": tried}
    return int(Client().post(LOGIN, form, REMOTE_ADDR=address).status_code)


def test_a_right_password_signs_in():
    user = make_user(email="staff@example.com", is_staff=True)
    user.set_password("right")
    user.save()
    assert attempt("staff@example.com", "right") == 302


def test_the_eleventh_attempt_on_one_name_is_refused_from_wherever_it_comes():
    statuses = [attempt(" Staff@Example.com", address=f"10.0.0.{n}") for n in range(10)]
    assert statuses == [200] * 10
    assert attempt("staff@example.com", address="10.9.9.9") == 429
    assert attempt("other@example.com", address="10.9.9.9") == 200


@pytest.mark.parametrize(
    "alike", ["\uff53taff@example.com", "sta\ufb00@example.com", "\U0001d4e2taff@example.com"]
)
def test_letters_that_look_alike_make_no_other_name_to_guess_at(alike):
    for n in range(10):
        attempt("staff@example.com", address=f"10.0.0.{n}")
    assert attempt(alike, address="10.9.9.9") == 429


def test_the_twenty_first_attempt_of_one_address_is_refused_whatever_the_name():
    assert [attempt(f"name{n}") for n in range(20)] == [200] * 20
    assert attempt("another") == 429
    assert attempt("another", address="10.0.0.2") == 200


def test_a_forged_address_in_a_header_changes_nothing():
    client = Client()
    for n in range(20):
        client.post(LOGIN, {"username": f"name{n}"}, headers={"X-Forwarded-For": f"10.1.1.{n}"})
    response = client.post(LOGIN, {"username": "x"}, headers={"X-Forwarded-For": "10.2.2.2"})
    assert response.status_code == 429


def test_who_is_refused_is_told_when_to_come_back():
    for n in range(20):
        attempt(f"name{n}")
    response = Client().post(LOGIN, {"username": "x"}, REMOTE_ADDR="10.0.0.1")
    assert 1 <= int(response["Retry-After"]) <= 300
    assert "Too many attempts to sign in" in response.content.decode()
    assert "minute" in response.content.decode()


def test_looking_at_the_page_is_no_attempt():
    client = Client()
    assert {client.get(LOGIN).status_code for _ in range(30)} == {200}


@pytest.fixture
def redis(settings: Any) -> Iterator[RedisServer]:
    """The attempts are counted in a Redis of this test alone."""
    with redis_server() as server:
        options = {**settings.CACHES["counters"], "LOCATION": server.url}
        settings.CACHES = {**settings.CACHES, "counters": options}
        be_patient("counters")
        yield server


def test_a_full_redis_forgets_no_attempt(redis: RedisServer):
    assert [attempt("staff", address=f"10.0.0.{n}") for n in range(5)] == [200] * 5
    redis.fill()
    assert [attempt("staff", address=f"10.0.0.{n}") for n in range(5)] == [200] * 5
    assert attempt("staff", address="10.9.9.9") == 429
    client = redis.patient_client()
    lives = [client.ttl(key) for key in client.keys("ratelimit:*")]
    assert 0 < min(lives) <= max(lives) <= 5 * 60 + 5


def test_without_redis_both_limits_stay(redis: RedisServer):
    assert attempt("name0") == 200
    redis.kill()
    assert [attempt(f"name{n}") for n in range(1, 21)] == [200] * 20
    assert attempt("another") == 429
    others = [attempt("staff@example.com", address=f"10.0.1.{n}") for n in range(10)]
    assert others == [200] * 10
    assert attempt(" Staff@Example.com", address="10.9.9.9") == 429
    assert attempt("other@example.com", address="10.9.9.9") == 200
    assert default_cache().redis.ping()
